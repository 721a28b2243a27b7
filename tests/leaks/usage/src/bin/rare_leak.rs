//! One request in two hundred times out and its buffer stays in the list of those in flight; the corrected code takes it out.

use std::collections::HashMap;
use std::hint::black_box;

use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 1_700;
const TIMES_OUT: u64 = 200;

#[derive(Default)]
struct Server {
    in_flight: HashMap<u64, Vec<u8>>,
}

impl Server {
    fn begin(&mut self, id: u64) {
        self.in_flight.insert(id, vec![id as u8; 1_000]);
    }

    fn end(&mut self, id: u64) {
        black_box(self.in_flight.remove(&id));
    }
}

fn main() {
    leak_harness::run(|run| {
        let mut server = Server::default();
        let mut newest = 0u64;
        for () in run.beats() {
            for _ in times(REQUESTS_PER_BEAT) {
                newest += 1;
                server.begin(newest);
                let done = newest.saturating_sub(300);
                if !done.is_multiple_of(TIMES_OUT) {
                    server.end(done);
                }
                if run.healthy() {
                    server.end(newest.saturating_sub(3_000));
                }
            }
        }
    });
}
