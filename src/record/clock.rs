//! The monotonic clock, counted from the first allocation of the process.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// 0 before [`start`].
static STARTED_NS: AtomicU64 = AtomicU64::new(0);

/// Called once, before anything is recorded; later calls change nothing.
pub(crate) fn start() {
    // Relaxed: a number that stands for itself, and written before anything is timed.
    let _ = STARTED_NS.compare_exchange(0, raw_ns().max(1), Ordering::Relaxed, Ordering::Relaxed);
}

/// Nanoseconds since [`start`]; 0 before it.
pub(crate) fn now_ns() -> u64 {
    match STARTED_NS.load(Ordering::Relaxed) {
        0 => 0,
        started => raw_ns().saturating_sub(started),
    }
}

/// Nanoseconds since some moment before the process; 0 where the system has no such clock. Not by
/// `std::time`, which panics there.
pub(crate) fn raw_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime fills the struct that it is given.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) } != 0 {
        return 0;
    }
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
}
