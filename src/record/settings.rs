//! The sampling interval: from the environment, from the program, and what the bounds made of it.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::config::{
    DEFAULT_INTERVAL, DEFAULT_TICK_NS, MAX_LIVE_SAMPLES, parse_interval, parse_tick,
};

// All relaxed: each number stands for itself, and a thread that reads an old interval samples
// rightly at the old interval.
static INTERVAL: AtomicU32 = AtomicU32::new(DEFAULT_INTERVAL);
/// What the owner asked for; the interval is above it while the table of live samples is full.
static WANTED: AtomicU32 = AtomicU32::new(DEFAULT_INTERVAL);
static LARGEST: AtomicU32 = AtomicU32::new(DEFAULT_INTERVAL);
static WAS_OFF: AtomicBool = AtomicBool::new(false);
static ENVIRONMENT_IS_BAD: AtomicBool = AtomicBool::new(false);
static TICK_NS: AtomicU64 = AtomicU64::new(DEFAULT_TICK_NS);
static TICK_IS_BAD: AtomicBool = AtomicBool::new(false);
static DOUBLINGS: AtomicU64 = AtomicU64::new(0);
static DOUBLE_AT: AtomicUsize = AtomicUsize::new(FIRST_DOUBLING);

/// Live samples at which the interval doubles for the first time: an eighth before the table is
/// full. Each further doubling comes when another eighth of the rest is used up. So from one to
/// the next 7/4 times as many bytes are allocated, and the table never fills; were it half of the
/// rest, it would be no more bytes than before, and the table full after 17 doublings.
const FIRST_DOUBLING: usize = MAX_LIVE_SAMPLES / 8 * 7;

/// Live samples below which a doubled interval halves: a quarter of the table, so that from there to
/// the next doubling the program must allocate several times what it holds.
const HALVE_BELOW: usize = MAX_LIVE_SAMPLES / 4;

/// Takes the interval from `HEAPWATCH_INTERVAL` and the tick from `HEAPWATCH_TICK`.
pub(crate) fn read_environment() {
    if let Some(value) = environment(c"HEAPWATCH_INTERVAL") {
        match parse_interval(value) {
            Some(interval) => {
                INTERVAL.store(interval, Ordering::Relaxed);
                WANTED.store(interval, Ordering::Relaxed);
                // Nothing was sampled at the default yet.
                LARGEST.store(interval, Ordering::Relaxed);
                WAS_OFF.store(interval == 0, Ordering::Relaxed);
            }
            None => ENVIRONMENT_IS_BAD.store(true, Ordering::Relaxed),
        }
    }
    if let Some(value) = environment(c"HEAPWATCH_TICK") {
        match parse_tick(value) {
            Some(tick_ns) => TICK_NS.store(tick_ns, Ordering::Relaxed),
            None => TICK_IS_BAD.store(true, Ordering::Relaxed),
        }
    }
}

/// Not by `std::env`, whose lock the calling thread may hold while it allocates. In a program that runs
/// with other rights than its caller's, the caller's environment says nothing.
fn environment(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: getauxval reads a table of the process; getenv with a C string; the answer is a C string
    // that stays until the environment is changed, and this runs on the first allocation of the
    // process.
    unsafe {
        if libc::getauxval(libc::AT_SECURE) != 0 {
            return None;
        }
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
    }
}

/// Nanoseconds between two points of the history.
pub(crate) fn tick_ns() -> u64 {
    TICK_NS.load(Ordering::Relaxed)
}

/// Changes the tick. Deaths that were counted in the old one are to be forgotten.
pub(crate) fn set_tick_ns(tick_ns: u64) {
    TICK_NS.store(tick_ns.max(1), Ordering::Relaxed);
}

/// Whether `HEAPWATCH_TICK` was set to something that is no tick.
pub(crate) fn tick_is_bad() -> bool {
    TICK_IS_BAD.load(Ordering::Relaxed)
}

/// The tick that a time falls into.
pub(crate) fn tick_of(ns: u64) -> u32 {
    (ns / tick_ns()).min(u64::from(u32::MAX)) as u32
}

/// Whether `HEAPWATCH_INTERVAL` was set to something that is no interval.
pub(crate) fn environment_is_bad() -> bool {
    ENVIRONMENT_IS_BAD.load(Ordering::Relaxed)
}

pub(crate) fn interval() -> u32 {
    INTERVAL.load(Ordering::Relaxed)
}

/// The largest interval that live samples may have been taken at.
pub(crate) fn largest_interval() -> u32 {
    LARGEST.load(Ordering::Relaxed)
}

/// Whether sampling was off for a while.
pub(crate) fn was_off() -> bool {
    WAS_OFF.load(Ordering::Relaxed)
}

/// How often the bound on live samples doubled the interval.
pub(crate) fn doublings() -> u64 {
    DOUBLINGS.load(Ordering::Relaxed)
}

pub(crate) fn set_interval(interval: u32) {
    WANTED.store(interval, Ordering::Relaxed);
    INTERVAL.store(interval, Ordering::Relaxed);
    LARGEST.fetch_max(interval, Ordering::Relaxed);
    WAS_OFF.fetch_or(interval == 0, Ordering::Relaxed);
    DOUBLE_AT.store(FIRST_DOUBLING, Ordering::Relaxed);
}

/// Whether the interval is above what the owner asked for.
pub(crate) fn is_doubled() -> bool {
    let wanted = WANTED.load(Ordering::Relaxed);
    wanted != 0 && interval() > wanted
}

/// Starts a forked child, whose table of live samples is empty, with the interval asked for.
pub(crate) fn undouble() {
    INTERVAL.store(WANTED.load(Ordering::Relaxed), Ordering::Relaxed);
    DOUBLE_AT.store(FIRST_DOUBLING, Ordering::Relaxed);
    DOUBLINGS.store(0, Ordering::Relaxed);
}

/// Halves a doubled interval once when the table of live samples is nearly empty, of
/// [`MAX_LIVE_SAMPLES`] parts.
pub(crate) fn speed_up_when_empty(live_samples: usize) {
    if live_samples < HALVE_BELOW && is_doubled() {
        let interval = interval();
        let halved = (interval / 2).max(WANTED.load(Ordering::Relaxed));
        // An interval that the owner sets at this moment stands.
        let _ = INTERVAL.compare_exchange(interval, halved, Ordering::Relaxed, Ordering::Relaxed);
        DOUBLE_AT.store(FIRST_DOUBLING, Ordering::Relaxed);
    }
}

/// Doubles the interval when the table of live samples runs full, of [`MAX_LIVE_SAMPLES`] parts.
/// Samples keep the weight that they were taken with, so the sums stay unbiased.
pub(crate) fn slow_down_when_full(live_samples: usize) {
    let limit = DOUBLE_AT.load(Ordering::Relaxed);
    if live_samples < limit {
        return;
    }
    // Past all that is used up: where the table's parts changed, that is more than one threshold.
    let used = limit.max(live_samples);
    let next = used + MAX_LIVE_SAMPLES.saturating_sub(used).div_ceil(8).max(1);
    // Only one thread per threshold.
    if DOUBLE_AT
        .compare_exchange(limit, next, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
    {
        let interval = interval();
        let doubled = interval.saturating_mul(2);
        let replaced =
            INTERVAL.compare_exchange(interval, doubled, Ordering::Relaxed, Ordering::Relaxed);
        if replaced.is_ok() {
            LARGEST.fetch_max(doubled, Ordering::Relaxed);
            DOUBLINGS.fetch_add(1, Ordering::Relaxed);
        }
    }
}
