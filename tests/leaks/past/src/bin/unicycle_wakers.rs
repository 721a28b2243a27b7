//! unicycle 0.10.1 does not free a task that holds its own waker when its set is dropped.
//! <https://github.com/udoprog/unicycle/issues/30>, fixed in 0.10.2.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use leak_harness::times;
use tokio::runtime::Runtime;
use tokio::time::sleep_until;
use unicycle::FuturesUnordered;

const REQUESTS_PER_BEAT: u64 = 6;
const REPLICAS: u8 = 3;

/// A question to a replica, of which only the first answers in time; keeps its waker, as futures written by hand do.
struct Question {
    replica: u8,
    buffer: [u8; 512],
    waker: Option<Waker>,
}

impl Future for Question {
    type Output = u8;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<u8> {
        if self.replica == 0 && self.waker.is_some() {
            return Poll::Ready(self.buffer[0]);
        }
        if self.waker.is_none() {
            context.waker().wake_by_ref();
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        runtime.block_on(async {
            loop {
                sleep_until(run.next_beat().into()).await;
                for request in times(REQUESTS_PER_BEAT) {
                    black_box(first_answer(request).await);
                }
            }
        })
    });
}

async fn first_answer(request: u64) -> Option<u8> {
    let mut questions = FuturesUnordered::new();
    for replica in 0..REPLICAS {
        questions.push(Question {
            replica,
            buffer: [request as u8; 512],
            waker: None,
        });
    }
    questions.next().await
}
