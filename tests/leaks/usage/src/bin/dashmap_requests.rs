//! A map of requests in flight keeps those that fail; the corrected code takes them out either way.

use std::thread;

use dashmap::DashMap;
use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 36;
const WORKERS: u64 = 4;
/// One request in three fails.
const FAILING: u64 = 3;

struct InFlight {
    path: String,
    body: Vec<u8>,
}

type Requests = DashMap<u64, InFlight>;

fn main() {
    leak_harness::run(|run| {
        let requests = Requests::new();
        let mut newest = 0;
        for () in run.beats() {
            let first = newest + 1;
            newest += times(REQUESTS_PER_BEAT).end;
            thread::scope(|scope| {
                for worker in 0..WORKERS {
                    let (requests, healthy) = (&requests, run.healthy());
                    scope.spawn(move || {
                        let ids = (first..=newest).filter(|id| id % WORKERS == worker);
                        ids.for_each(|id| handle(requests, id, healthy));
                    });
                }
            });
        }
    });
}

fn handle(requests: &Requests, id: u64, always_finish: bool) {
    begin(requests, id);
    if answer(requests, id).is_ok() || always_finish {
        requests.remove(&id);
    }
}

fn begin(requests: &Requests, id: u64) {
    let path = format!("/api/v1/accounts/{id}/statement");
    let body = vec![id as u8; 700];
    requests.insert(id, InFlight { path, body });
}

fn answer(requests: &Requests, id: u64) -> Result<usize, ()> {
    if id.is_multiple_of(FAILING) {
        return Err(());
    }
    requests
        .get(&id)
        .map(|one| one.path.len() + one.body.len())
        .ok_or(())
}
