//! loole 0.3.0 keeps what it notes of a receiver that waits until its time is over.
//! <https://github.com/mahdi-shojaee/loole/issues/4>, fixed in 0.3.1.

use std::time::Duration;

use leak_harness::times;
use loole::Receiver;

const LOOKS_PER_BEAT: u64 = 160;

fn main() {
    leak_harness::run(|run| {
        let (sender, receiver) = loole::unbounded::<u64>();
        for () in run.beats() {
            times(LOOKS_PER_BEAT).for_each(|_| look(&receiver));
            assert!(!sender.is_full());
        }
    });
}

fn look(receiver: &Receiver<u64>) {
    let nothing = receiver.recv_timeout(Duration::from_nanos(5));
    assert!(nothing.is_err());
}
