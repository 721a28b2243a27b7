//! A soak: a program that does all that programs do with memory runs next to itself over bare jemalloc. Its blocks
//! must keep their contents, its counts must be exact, and its memory must stay flat and near that of the bare one.
//!
//! In full: `cargo test --test soak -- --ignored --nocapture`.
#![cfg(all(feature = "server", target_os = "linux"))]

mod common;
#[path = "common/http.rs"]
mod http;

#[path = "soak/checks.rs"]
mod checks;
#[path = "soak/forks.rs"]
mod forks;
#[path = "soak/held.rs"]
mod held;
#[path = "soak/plugins.rs"]
mod plugins;
#[path = "soak/program.rs"]
mod program;
#[path = "soak/side_by_side.rs"]
mod side_by_side;
#[path = "soak/workers.rs"]
mod workers;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use common::{child, my_turn};
use tikv_jemallocator::Jemalloc;

/// One executable for both sides, so that nothing but the allocator differs: the environment says which one a
/// process runs over.
#[derive(Debug)]
struct Either {
    heapwatch: heapwatch::Alloc,
    bare: Jemalloc,
}

#[global_allocator]
static ALLOC: Either = Either {
    heapwatch: heapwatch::Alloc::new(),
    bare: Jemalloc,
};

/// Set in a process that runs over bare jemalloc.
const BARE: &str = "HEAPWATCH_SOAK_BARE";

/// Whether this process runs over bare jemalloc.
#[inline]
fn bare() -> bool {
    const UNKNOWN: u8 = 0;
    const HEAPWATCH: u8 = 1;
    const JEMALLOC: u8 = 2;
    static CHOICE: AtomicU8 = AtomicU8::new(UNKNOWN);
    // Relaxed: each thread that finds it unknown would find the same.
    match CHOICE.load(Ordering::Relaxed) {
        UNKNOWN => {
            // SAFETY: asked on the first allocation, before the program has other threads. std's way allocates.
            let bare = unsafe { !libc::getenv(c"HEAPWATCH_SOAK_BARE".as_ptr()).is_null() };
            CHOICE.store(if bare { JEMALLOC } else { HEAPWATCH }, Ordering::Relaxed);
            bare
        }
        choice => choice == JEMALLOC,
    }
}

// SAFETY: a process asks one and the same allocator from its first allocation to its last.
unsafe impl GlobalAlloc for Either {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            if bare() {
                self.bare.alloc(layout)
            } else {
                self.heapwatch.alloc(layout)
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            if bare() {
                self.bare.alloc_zeroed(layout)
            } else {
                self.heapwatch.alloc_zeroed(layout)
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe {
            if bare() {
                self.bare.dealloc(ptr, layout)
            } else {
                self.heapwatch.dealloc(ptr, layout)
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            if bare() {
                self.bare.realloc(ptr, layout, new_size)
            } else {
                self.heapwatch.realloc(ptr, layout, new_size)
            }
        }
    }
}

/// Runs the test of this name as the program on both sides, for this long, and checks what was seen.
fn soak(test: &str, length: Duration) {
    if child::is_child() {
        return program::run();
    }
    let _turn = my_turn();
    let seen = side_by_side::run(test, length);
    checks::check(&seen);
}

/// All of the soak but its length. What fails here is broken at once, not after a while.
#[test]
fn smoke() {
    soak("smoke", Duration::from_secs(8));
}

/// Memory that is never given back, tables that fill up, counts that drift and races that are rare fail here.
#[test]
#[ignore = "20 minutes, or the length that HEAPWATCH_SOAK_SECONDS says"]
fn in_full() {
    let seconds = std::env::var("HEAPWATCH_SOAK_SECONDS").map_or(1200, |text| {
        let seconds = text.parse().ok().filter(|seconds| *seconds >= 8);
        seconds.expect("HEAPWATCH_SOAK_SECONDS is a number of seconds, at least 8")
    });
    soak("in_full", Duration::from_secs(seconds));
}
