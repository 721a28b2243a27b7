//! Every request leaves its latency in a `Vec` for a percentile; the corrected code keeps the last ones.

use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 900;
const KEPT: usize = 100_000;

fn main() {
    leak_harness::run(|run| {
        let mut latencies = Vec::new();
        for () in run.beats() {
            for request in times(REQUESTS_PER_BEAT) {
                note(&mut latencies, request % 50);
            }
            if run.healthy() && latencies.len() > KEPT {
                latencies.drain(..KEPT / 2);
            }
        }
    });
}

fn note(latencies: &mut Vec<u64>, millis: u64) {
    latencies.push(millis);
}
