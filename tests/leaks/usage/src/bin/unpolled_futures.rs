//! Requests to a replica are started in a set that nobody polls to the end; the corrected code does.

use std::time::Duration;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use leak_harness::times;
use tokio::runtime::Runtime;
use tokio::time::{sleep, sleep_until};

const REQUESTS_PER_BEAT: u64 = 13;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        runtime.block_on(async {
            let mut mirrored = FuturesUnordered::new();
            loop {
                sleep_until(run.next_beat().into()).await;
                for id in times(REQUESTS_PER_BEAT) {
                    mirrored.push(mirror(id));
                }
                if run.healthy() {
                    while mirrored.next().now_or_never().flatten().is_some() {}
                }
            }
        })
    });
}

async fn mirror(id: u64) -> usize {
    let body = [id as u8; 512];
    sleep(Duration::from_millis(30)).await;
    body.len()
}
