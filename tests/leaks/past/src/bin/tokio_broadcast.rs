//! tokio 0.2.20 does not free what a receiver of a broadcast waits with, nor the task that it wakes.
//! <https://github.com/tokio-rs/mini-redis/issues/38>, fixed in 0.2.21.

use std::time::{Duration, Instant};

use leak_harness::times;
use tokio02::runtime::Runtime;
use tokio02::sync::broadcast::{self, Receiver};
use tokio02::time::{delay_for, timeout};

const CONNECTIONS_PER_BEAT: u64 = 17;

fn main() {
    let mut runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        runtime.block_on(async {
            let (shutdown, _) = broadcast::channel::<()>(1);
            loop {
                delay_for(run.next_beat().saturating_duration_since(Instant::now())).await;
                times(CONNECTIONS_PER_BEAT).for_each(|id| accept(id, shutdown.subscribe()));
            }
        })
    });
}

fn accept(id: u64, shutdown: Receiver<()>) {
    tokio02::spawn(serve(id, shutdown));
}

/// Serves until shutdown or, as here, until there is nothing more to serve.
async fn serve(id: u64, mut shutdown: Receiver<()>) {
    let mut buffer = [id; 40];
    let _done = timeout(Duration::from_millis(20), shutdown.recv()).await;
    buffer[1] = 1;
    assert_eq!(buffer[1], 1);
}
