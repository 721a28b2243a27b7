//! A producer outpaces the consumer of an unbounded channel; the corrected one has a bound and drops the surplus.

use std::hint::black_box;

use leak_harness::times;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio::time::{Duration, sleep, sleep_until};

const PRODUCED_PER_BEAT: u64 = 60;
const CONSUMED_PER_BEAT: u64 = 48;
const BEAT: Duration = Duration::from_millis(10);
const BOUND: usize = 256;

type Event = Vec<u8>;

enum Producer {
    Unbounded(UnboundedSender<Event>),
    Bounded(Sender<Event>),
}

enum Consumer {
    Unbounded(UnboundedReceiver<Event>),
    Bounded(Receiver<Event>),
}

impl Producer {
    fn produce(&self, id: u64) {
        let event = vec![id as u8; 480];
        match self {
            Self::Unbounded(sender) => drop(sender.send(event)),
            Self::Bounded(sender) => drop(sender.try_send(event)),
        }
    }
}

impl Consumer {
    async fn receive(&mut self) -> Option<Event> {
        match self {
            Self::Unbounded(receiver) => receiver.recv().await,
            Self::Bounded(receiver) => receiver.recv().await,
        }
    }
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        let (producer, consumer) = queue(run.healthy());
        runtime.spawn(consume(consumer));
        runtime.block_on(async {
            loop {
                sleep_until(run.next_beat().into()).await;
                times(PRODUCED_PER_BEAT).for_each(|id| producer.produce(id));
            }
        })
    });
}

fn queue(bounded: bool) -> (Producer, Consumer) {
    if bounded {
        let (sender, receiver) = channel(BOUND);
        (Producer::Bounded(sender), Consumer::Bounded(receiver))
    } else {
        let (sender, receiver) = unbounded_channel();
        (Producer::Unbounded(sender), Consumer::Unbounded(receiver))
    }
}

async fn consume(mut consumer: Consumer) {
    loop {
        sleep(BEAT).await;
        for _ in times(CONSUMED_PER_BEAT) {
            black_box(consumer.receive().await);
        }
    }
}
