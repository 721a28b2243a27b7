//! The monotonic clock, counted from the first allocation of the process.

use std::sync::OnceLock;
use std::time::Instant;

static STARTED: OnceLock<Instant> = OnceLock::new();

/// Called once, before anything is recorded; later calls change nothing.
pub(crate) fn start() {
    let _ = STARTED.set(Instant::now());
}

/// Nanoseconds since [`start`]; 0 before it.
pub(crate) fn now_ns() -> u64 {
    STARTED
        .get()
        .map_or(0, |started| started.elapsed().as_nanos() as u64)
}
