//! tokio 1.10.0 does not free the task of a `spawn_blocking` whose result nobody waits for.
//! <https://github.com/tokio-rs/tokio/issues/4062>, fixed in 1.10.1.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use leak_harness::times;
use tokio::runtime::Builder;
use tokio::task;
use tokio::time::sleep_until;

const UPLOADS_PER_BEAT: u64 = 14;

fn main() {
    let runtime = Builder::new_multi_thread()
        .max_blocking_threads(4)
        .enable_time()
        .build()
        .expect("a runtime");
    leak_harness::run(|run| {
        runtime.block_on(async {
            loop {
                sleep_until(run.next_beat().into()).await;
                times(UPLOADS_PER_BEAT).for_each(|n| store([n as u8; 512]));
            }
        })
    });
}

/// Leaves the upload to a thread that may block, as on a disk, and forgets about it.
fn store(upload: [u8; 512]) {
    task::spawn_blocking(move || {
        thread::sleep(Duration::from_millis(1));
        black_box(checksum(&upload))
    });
}

fn checksum(upload: &[u8]) -> u64 {
    upload
        .iter()
        .fold(0, |sum, byte| sum * 31 % 65_521 + u64::from(*byte))
}
