//! An inner allocator that tracks its blocks, in one of several ways, over `System`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::hint::black_box;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names the process's [`Kind`].
pub(crate) const KIND: &CStr = c"HEAPWATCH_TEST_INNER";

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Tracks nothing: `System` as it is.
    None = 1,
    /// Locks a map of its blocks after each allocation and before each free.
    Lock,
    /// Locks around the whole of each call, nested allocations included.
    LockThroughout,
    /// Allocates and frees whenever a block is freed.
    AllocateInDealloc,
}

const KINDS: [Kind; 4] = [
    Kind::None,
    Kind::Lock,
    Kind::LockThroughout,
    Kind::AllocateInDealloc,
];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        self.c_name().to_str().unwrap()
    }

    fn c_name(self) -> &'static CStr {
        match self {
            Kind::None => c"none",
            Kind::Lock => c"lock",
            Kind::LockThroughout => c"lock throughout",
            Kind::AllocateInDealloc => c"allocate in dealloc",
        }
    }

    /// This process's; the one that tracks nothing where none is named.
    fn here() -> Kind {
        static HERE: AtomicU8 = AtomicU8::new(0);
        // Relaxed: whoever finds out comes to the same answer.
        let here = HERE.load(Ordering::Relaxed);
        if let Some(kind) = KINDS.into_iter().find(|kind| *kind as u8 == here) {
            return kind;
        }
        // SAFETY: C strings; no test changes its own environment.
        let kind = unsafe {
            let name = libc::getenv(KIND.as_ptr());
            let named = |kind: &Kind| !name.is_null() && CStr::from_ptr(name) == kind.c_name();
            KINDS.into_iter().find(named).unwrap_or(Kind::None)
        };
        HERE.store(kind as u8, Ordering::Relaxed);
        kind
    }
}

#[derive(Default)]
struct Blocks {
    /// Sizes by address.
    live: HashMap<usize, usize>,
    /// What was said of the last frees.
    frees: Vec<String>,
}

/// Frees of blocks, or with sizes, that were never allocated.
static UNKNOWN: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn unknown_frees() -> usize {
    UNKNOWN.load(Ordering::Relaxed)
}

static BLOCKS: Mutex<Option<Blocks>> = Mutex::new(None);

thread_local! {
    /// Whether this thread is at its tracking: its allocations are then let through.
    static TRACKING: Cell<bool> = const { Cell::new(false) };
}

/// The lock, and the flag for as long as it is held.
struct Tracking(MutexGuard<'static, Option<Blocks>>);

impl Tracking {
    /// Unless this thread is at it already.
    fn begin() -> Option<Tracking> {
        if Kind::here() == Kind::None || TRACKING.replace(true) {
            return None;
        }
        Some(Tracking(
            BLOCKS.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    fn blocks(&mut self) -> &mut Blocks {
        self.0.get_or_insert_with(Blocks::default)
    }

    fn allocated(&mut self, address: usize, size: usize) {
        let blocks = self.blocks();
        blocks.live.insert(address, size);
        if blocks.live.len().is_multiple_of(64) {
            drop(black_box(format!("{} live", blocks.live.len())));
        }
    }

    fn freed(&mut self, address: usize, size: usize) {
        let blocks = self.blocks();
        if blocks.live.remove(&address) != Some(size) {
            UNKNOWN.fetch_add(1, Ordering::Relaxed);
        }
        if Kind::here() == Kind::AllocateInDealloc {
            if blocks.frees.len() == 100 {
                blocks.frees.clear();
            }
            blocks.frees.push(format!("{size} bytes at {address:x}"));
        }
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        TRACKING.set(false);
    }
}

pub(crate) struct Tracker;

// SAFETY: System's blocks.
unsafe impl GlobalAlloc for Tracker {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let throughout = (Kind::here() == Kind::LockThroughout).then(Tracking::begin);
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc(layout) };
        let tracking = throughout.unwrap_or_else(Tracking::begin);
        if let Some(mut tracking) = tracking
            && !block.is_null()
        {
            tracking.allocated(block as usize, layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let mut tracking = Tracking::begin();
        if let Some(tracking) = &mut tracking {
            tracking.freed(ptr as usize, layout.size());
        }
        if Kind::here() != Kind::LockThroughout {
            drop(tracking.take());
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let mut tracking = Tracking::begin();
        // SAFETY: the caller's promise.
        let block = unsafe { System.realloc(ptr, layout, new_size) };
        if let Some(tracking) = &mut tracking
            && !block.is_null()
        {
            tracking.freed(ptr as usize, layout.size());
            tracking.allocated(block as usize, new_size);
        }
        block
    }
}
