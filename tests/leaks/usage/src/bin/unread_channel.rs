//! A loop selects over its channels but for one, whose messages nobody takes; the corrected one takes them.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use leak_harness::times;

const EVENTS_PER_BEAT: u64 = 18;

struct Events {
    work: Sender<u64>,
    audit: Sender<[u64; 64]>,
}

fn main() {
    leak_harness::run(|run| {
        let (work, to_do) = unbounded();
        let (audit, audited) = unbounded();
        let events = Events { work, audit };
        let healthy = run.healthy();
        thread::spawn(move || serve(&to_do, &audited, healthy));
        for () in run.beats() {
            times(EVENTS_PER_BEAT).for_each(|id| emit(&events, id));
        }
    });
}

fn emit(events: &Events, id: u64) {
    let _closed = events.work.send(id);
    let _closed = events.audit.send([id; 64]);
}

fn serve(to_do: &Receiver<u64>, audited: &Receiver<[u64; 64]>, both: bool) {
    let audited = if both {
        audited.clone()
    } else {
        crossbeam_channel::never()
    };
    loop {
        select! {
            recv(to_do) -> id => drop(black_box(id)),
            recv(audited) -> line => drop(black_box(line)),
            default(Duration::from_millis(50)) => {}
        }
    }
}
