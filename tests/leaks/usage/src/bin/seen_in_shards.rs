//! Ids that were seen are noted in a sharded map for ever; the corrected code forgets old ones.

use std::thread;

use dashmap::DashMap;
use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 400;
const WORKERS: u64 = 2;
const KEPT: u64 = 50_000;

type Seen = DashMap<u64, u64>;

fn main() {
    leak_harness::run(|run| {
        let seen = Seen::new();
        let mut newest = 0;
        for () in run.beats() {
            let first = newest + 1;
            newest += times(REQUESTS_PER_BEAT).end;
            thread::scope(|scope| {
                for worker in 0..WORKERS {
                    let seen = &seen;
                    scope.spawn(move || {
                        (first..=newest)
                            .filter(|id| id % WORKERS == worker)
                            .for_each(|id| note(seen, id))
                    });
                }
            });
            if run.healthy() {
                seen.retain(|_, id| *id + KEPT > newest);
            }
        }
    });
}

fn note(seen: &Seen, id: u64) {
    seen.insert(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8 ^ id, id);
}
