//! A program in which heapwatch does not start with the first allocation, but when a test says so.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const EARLY: usize = 64 << 20;

/// Blocks from before [`Late::begin`]: an area that is only filled, never given back.
struct Area(UnsafeCell<[u8; EARLY]>);

// SAFETY: each byte is handed out once.
unsafe impl Sync for Area {}

static AREA: Area = Area(UnsafeCell::new([0; EARLY]));
static USED: AtomicUsize = AtomicUsize::new(0);

fn early(layout: Layout) -> *mut u8 {
    let start = AREA.0.get().cast::<u8>();
    let align = |at: usize| (start as usize + at).next_multiple_of(layout.align()) - start as usize;
    // Relaxed: the number alone says whose the bytes are.
    let taken = USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        let end = align(used).checked_add(layout.size())?;
        (end <= EARLY).then_some(end)
    });
    match taken {
        // SAFETY: within the area.
        Ok(used) => unsafe { start.add(align(used)) },
        Err(_) => ptr::null_mut(),
    }
}

fn is_early(block: *mut u8) -> bool {
    (block as usize).wrapping_sub(AREA.0.get() as usize) < EARLY
}

/// An allocator that is not asked for anything before [`Late::begin`].
pub struct Late<A> {
    inner: A,
    begun: AtomicBool,
}

impl<A> Late<A> {
    pub const fn new(inner: A) -> Late<A> {
        Late {
            inner,
            begun: AtomicBool::new(false),
        }
    }

    /// From the next allocation on the inner allocator serves.
    pub fn begin(&self) {
        // Relaxed: on which side of it an allocation is does not matter.
        self.begun.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }
}

// SAFETY: a block is the area's, which hands each byte out once, or the inner allocator's, which
// keeps the contract; its address tells which of the two it goes back to.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Late<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.has_begun() {
            return early(layout);
        }
        // SAFETY: the caller's promise.
        unsafe { self.inner.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if !is_early(ptr) {
            // SAFETY: the caller's promise.
            unsafe { self.inner.dealloc(ptr, layout) }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !self.has_begun() {
            // Never used before, so zero as the area was.
            return early(layout);
        }
        // SAFETY: the caller's promise.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; the new block has room for what is copied.
        unsafe {
            if !is_early(ptr) {
                return self.inner.realloc(ptr, layout, new_size);
            }
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(ptr, new, layout.size().min(new_size));
            }
            new
        }
    }
}
