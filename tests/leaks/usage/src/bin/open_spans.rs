//! The span of each request is kept with its session, which is fine, and its sessions for ever, which is not.

use std::collections::VecDeque;

use leak_harness::times;
use tracing::Span;

const REQUESTS_PER_BEAT: u64 = 17;
const KEPT: usize = 100;

fn main() {
    tracing_subscriber::fmt().with_writer(std::io::sink).init();
    leak_harness::run(|run| {
        let mut sessions = VecDeque::new();
        let mut newest = 0;
        for () in run.beats() {
            for _ in times(REQUESTS_PER_BEAT) {
                newest += 1;
                sessions.push_back(open(newest));
                if run.healthy() && sessions.len() > KEPT {
                    sessions.pop_front();
                }
            }
        }
    });
}

fn open(id: u64) -> Span {
    let agent =
        "Mozilla/5.0 (X11; Linux x86_64) like all the others of its kind, and long as they are";
    tracing::info_span!(
        "session",
        id,
        agent,
        path = "/api/v1/accounts/statement",
        tenant = "a tenant with a name"
    )
}
