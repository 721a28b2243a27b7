//! futures-util 0.3.32 does not free the tasks of a `FuturesUnordered` that is taken apart.
//! <https://github.com/rust-lang/futures-rs/issues/3004>, fixed in 0.3.33.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use leak_harness::times;
use tokio::runtime::Runtime;
use tokio::time::sleep_until;

const BATCHES_PER_BEAT: u64 = 5;
const REPLICAS: u64 = 3;

/// A question that is not answered in time.
struct Question([u64; 48]);

impl Future for Question {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, _: &mut Context) -> Poll<u64> {
        match self.0[0] {
            0 => Poll::Ready(1),
            _ => Poll::Pending,
        }
    }
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        runtime.block_on(async {
            loop {
                sleep_until(run.next_beat().into()).await;
                times(BATCHES_PER_BEAT).for_each(|batch| {
                    unanswered(batch);
                });
            }
        })
    });
}

fn unanswered(batch: u64) -> u64 {
    let mut questions: FuturesUnordered<Question> = times(REPLICAS)
        .map(|n| Question([batch + n + 1; 48]))
        .collect();
    let _answer = questions.next().now_or_never();
    questions.into_iter().map(|question| question.0[1]).sum()
}
