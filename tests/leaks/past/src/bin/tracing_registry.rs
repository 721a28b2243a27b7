//! A tracing-subscriber registry to which no layer was added never closes a span.
//! <https://github.com/tokio-rs/tracing/issues/900>, still open; with any layer the spans are closed.

use std::hint::black_box;
use std::io;

use leak_harness::times;
use tracing::info_span;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

const REQUESTS_PER_BEAT: u64 = 60;

fn main() {
    leak_harness::run(|run| {
        let registry = tracing_subscriber::registry();
        if run.healthy() {
            registry.with(fmt::layer().with_writer(io::sink)).init();
        } else {
            registry.init();
        }
        for () in run.beats() {
            times(REQUESTS_PER_BEAT).for_each(handle);
        }
    });
}

fn handle(id: u64) {
    let request = info_span!("request", id);
    let _entered = request.enter();
    black_box(format!("answer to {id}"));
}
