//! Paths with ids in them are interned; the corrected code interns the route.

use std::hint::black_box;

use lasso::ThreadedRodeo;
use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 60;

fn main() {
    leak_harness::run(|run| {
        let names = ThreadedRodeo::default();
        let mut newest = 0u64;
        for () in run.beats() {
            for _ in times(REQUESTS_PER_BEAT) {
                newest += 1;
                route(&names, newest, run.healthy());
            }
        }
    });
}

fn route(names: &ThreadedRodeo, id: u64, by_route: bool) {
    let path = match by_route {
        true => format!("/api/v1/{}/:id/documents", id % 12),
        false => format!("/api/v1/{}/{id:060}/documents", id % 12),
    };
    black_box(names.get_or_intern(path));
}
