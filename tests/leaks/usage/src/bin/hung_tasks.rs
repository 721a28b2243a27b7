//! A task per client waits for an answer that never comes; the corrected one waits for a second at most.

use std::future::pending;
use std::time::Duration;

use leak_harness::times;
use tokio::runtime::Runtime;
use tokio::time::{sleep, sleep_until, timeout};

const CLIENTS_PER_BEAT: u64 = 18;
/// One answer in three never comes.
const LOST: u64 = 3;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        let limit = if run.healthy() {
            Duration::from_secs(1)
        } else {
            Duration::MAX
        };
        let mut newest = 0;
        runtime.block_on(async {
            loop {
                sleep_until(run.next_beat().into()).await;
                for _ in times(CLIENTS_PER_BEAT) {
                    newest += 1;
                    accept(newest, limit);
                }
            }
        })
    });
}

fn accept(id: u64, limit: Duration) {
    tokio::spawn(client(id, limit));
}

async fn client(id: u64, limit: Duration) {
    let mut buffer = [0u8; 1_024];
    let _answered = timeout(limit, backend(id, &mut buffer)).await;
    assert!(buffer[0] <= 1);
}

async fn backend(id: u64, buffer: &mut [u8]) {
    sleep(Duration::from_millis(20)).await;
    if id.is_multiple_of(LOST) {
        pending::<()>().await;
    }
    buffer[0] = 1;
}
