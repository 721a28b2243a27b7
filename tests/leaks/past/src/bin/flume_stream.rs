//! flume 0.10.9 notes a waiting stream anew each time it is polled.
//! <https://github.com/zesterer/flume/issues/88>, fixed in 0.10.14.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use flume::r#async::RecvStream;
use futures_util::stream::Stream;
use leak_harness::times;

const POLLS_PER_BEAT: u64 = 450;

fn main() {
    leak_harness::run(|run| {
        let (sender, receiver) = flume::unbounded::<u64>();
        let mut commands = receiver.into_stream();
        for () in run.beats() {
            times(POLLS_PER_BEAT).for_each(|_| look(&mut commands));
            assert!(!sender.is_disconnected());
        }
    });
}

/// What a `select!` over commands and other work does each time there is other work.
fn look(commands: &mut RecvStream<'_, u64>) {
    let mut context = Context::from_waker(Waker::noop());
    let polled = Pin::new(commands).poll_next(&mut context);
    assert_eq!(polled, Poll::Pending);
}
