//! An audit trail is one `String` that is appended to; the corrected code starts another when it is full.

use std::fmt::Write;

use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 90;
const FULL: usize = 1 << 20;

#[derive(Default)]
struct Audit {
    text: String,
}

impl Audit {
    fn note(&mut self, id: u64) {
        let _ = writeln!(
            self.text,
            "request {id:08} by user {:05} was answered with {}: all is well",
            id % 977,
            200 + id % 4
        );
    }
}

fn main() {
    leak_harness::run(|run| {
        let mut audit = Audit::default();
        let mut newest = 0;
        for () in run.beats() {
            for _ in times(REQUESTS_PER_BEAT) {
                newest += 1;
                audit.note(newest);
            }
            if run.healthy() && audit.text.len() > FULL {
                audit.text.clear();
            }
        }
    });
}
