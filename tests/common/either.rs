//! One program over two allocators, so that a test can compare it under heapwatch with itself
//! without.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::CStr;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// What [`bare`] sets.
pub const BARE: &CStr = c"HEAPWATCH_TEST_BARE";

/// Two allocators of which one serves a process from its first allocation to its last: the first,
/// or the second where an environment variable is set.
pub struct Either<A, B> {
    first: A,
    second: B,
    variable: &'static CStr,
    choice: AtomicU8,
}

const OPEN: u8 = 0;
const FIRST: u8 = 1;
const SECOND: u8 = 2;

impl<A, B> Either<A, B> {
    pub const fn new(first: A, second: B, variable: &'static CStr) -> Either<A, B> {
        Either {
            first,
            second,
            variable,
            choice: AtomicU8::new(OPEN),
        }
    }

    #[inline]
    fn is_first(&self) -> bool {
        // Relaxed: every thread that reads it comes to the same answer.
        match self.choice.load(Ordering::Relaxed) {
            FIRST => true,
            SECOND => false,
            _ => self.choose(),
        }
    }

    #[cold]
    #[inline(never)]
    fn choose(&self) -> bool {
        let first = !is_set(self.variable);
        let choice = if first { FIRST } else { SECOND };
        self.choice.store(choice, Ordering::Relaxed);
        first
    }
}

/// Whether an environment variable is set, asked without an allocation.
pub fn is_set(variable: &CStr) -> bool {
    // SAFETY: a C string; no test changes its own environment.
    !unsafe { libc::getenv(variable.as_ptr()) }.is_null()
}

// SAFETY: all blocks of a process are one allocator's, which keeps the contract.
unsafe impl<A: GlobalAlloc, B: GlobalAlloc> GlobalAlloc for Either<A, B> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            match self.is_first() {
                true => self.first.alloc(layout),
                false => self.second.alloc(layout),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.is_first() {
                true => self.first.dealloc(ptr, layout),
                false => self.second.dealloc(ptr, layout),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            match self.is_first() {
                true => self.first.alloc_zeroed(layout),
                false => self.second.alloc_zeroed(layout),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            match self.is_first() {
                true => self.first.realloc(ptr, layout, new_size),
                false => self.second.realloc(ptr, layout, new_size),
            }
        }
    }
}

/// The same command without heapwatch.
pub fn bare(command: &mut Command) -> &mut Command {
    command.env(BARE.to_str().unwrap(), "1")
}

/// Whether this process runs without heapwatch.
pub fn is_bare() -> bool {
    is_set(BARE)
}

/// Sets the interval, in a process that has one.
pub fn set_interval(bytes: u64) {
    if !is_bare() {
        heapwatch::set_interval(bytes).unwrap();
    }
}
