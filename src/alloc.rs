//! The allocator that a program sets as its global one. Fast paths only: whatever is not a
//! countdown or an address check is `record`'s.
#![allow(unsafe_code)]

#[cfg(feature = "jemalloc")]
mod jemalloc;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use crate::Error;
use crate::config::MAX_INTERVAL;
use crate::record::unwind::Registers;
use crate::record::{self, live, region, settings, thread};

#[cfg(feature = "jemalloc")]
use jemalloc::Jemalloc as Inner;
#[cfg(not(feature = "jemalloc"))]
use std::alloc::System as Inner;

/// A global allocator that samples allocations, over jemalloc or any other allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// ```
///
/// Memory comes from the inner allocator, so its speed and its settings are the program's as before.
/// Only sampled blocks of at most 32 KiB, one in 512 KiB of allocations, are placed by heapwatch
/// itself:
///
/// ```
/// use std::alloc::System;
///
/// #[global_allocator]
/// static ALLOC: heapwatch::Alloc<System> = heapwatch::Alloc::over(System);
/// ```
///
/// The environment variable `HEAPWATCH_INTERVAL` and [`set_interval`](crate::set_interval) say how
/// often to sample.
#[derive(Debug)]
pub struct Alloc<A = Inner> {
    inner: A,
}

impl Alloc {
    /// Over jemalloc; without the feature `jemalloc`, over the system's allocator.
    pub const fn new() -> Self {
        Alloc { inner: Inner }
    }
}

impl Default for Alloc {
    fn default() -> Self {
        Alloc::new()
    }
}

impl<A> Alloc<A> {
    /// Over another allocator, which serves everything but small sampled blocks.
    ///
    /// Any correct allocator will do, also one with locks of its own or one that allocates while it
    /// allocates or frees: heapwatch holds no lock while it calls the inner allocator.
    pub const fn over(inner: A) -> Self {
        Alloc { inner }
    }
}

// SAFETY: a block is either the inner allocator's, which keeps the contract, or lies in the region
// with the alignment, size and zeroing that were asked for. Its address tells which of the two it goes
// back to. Nothing here unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Alloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if thread::count_down(layout.size()) {
            // SAFETY: the caller's promise.
            return unsafe { self.inner.alloc(layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.alloc_slow(layout, false) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if thread::count_down(layout.size()) {
            // SAFETY: the caller's promise.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.alloc_slow(layout, true) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if region::may_contain(ptr) {
            // SAFETY: the caller's promise.
            return unsafe { self.dealloc_slow(ptr, layout) };
        }
        // Nearly all alignments are at most a word's, and jemalloc's wrapper asks that again: so both
        // become one branch, behind which the alignment does not matter.
        if layout.align() <= align_of::<usize>() {
            if layout.size() <= region::MAX_SMALL {
                // SAFETY: the caller's promise; the block is not in the region.
                return unsafe { self.inner.dealloc(ptr, layout) };
            }
        } else if !region::is_large(layout.size(), layout.align()) {
            // SAFETY: as above.
            return unsafe { self.inner.dealloc(ptr, layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.dealloc_large(ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Not short-circuited: a realloc of a sampled block is an allocation like any other.
        let may_be_sampled = may_be_sampled(ptr, layout);
        if thread::count_down(new_size) & !may_be_sampled {
            // SAFETY: the caller's promise; the block is not in the region, so it is the inner's.
            return unsafe { self.inner.realloc(ptr, layout, new_size) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.realloc_slow(ptr, layout, new_size) }
    }
}

/// Whether a block may have a sample: it lies where small samples do, or is large.
#[inline(always)]
fn may_be_sampled(ptr: *mut u8, layout: Layout) -> bool {
    region::may_contain(ptr) || region::is_large(layout.size(), layout.align())
}

impl<A: GlobalAlloc> Alloc<A> {
    /// # Safety
    ///
    /// As [`GlobalAlloc::alloc`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_slow(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        let here = Registers::here();
        // SAFETY: the caller's promise.
        unsafe {
            match record::draw(&here) {
                None => self.alloc_inner(layout, zeroed),
                Some(interval) => self.alloc_sampled(&here, layout, zeroed, interval),
            }
        }
    }

    /// An allocation that the draw has picked. Where it cannot be sampled, it is served all the same,
    /// and counted as lost.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::alloc`].
    #[inline(always)]
    unsafe fn alloc_sampled(
        &self,
        here: &Registers,
        layout: Layout,
        zeroed: bool,
        interval: u32,
    ) -> *mut u8 {
        let is_large = region::is_large(layout.size(), layout.align());
        if !is_large {
            let block = record::allocate(here, layout, zeroed, interval);
            if !block.is_null() {
                return block;
            }
        }
        // SAFETY: the caller's promise.
        let block = unsafe { self.alloc_inner(layout, zeroed) };
        if block.is_null() {
            // An allocation that nobody can serve is the program's failure, not a loss.
        } else if is_large {
            record::allocated(here, block.addr(), layout.size(), interval);
        } else {
            record::count_refused();
        }
        block
    }

    /// # Safety
    ///
    /// As [`GlobalAlloc::alloc`].
    #[inline]
    unsafe fn alloc_inner(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        // SAFETY: the caller's promise. Zeroing is left to the inner allocator, which knows when
        // fresh pages are zero already.
        unsafe {
            if zeroed {
                self.inner.alloc_zeroed(layout)
            } else {
                self.inner.alloc(layout)
            }
        }
    }

    /// Apart from the slow path, as it mostly has nothing to do.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::dealloc`].
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_large(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; the block is not in the region.
        unsafe {
            if live::may_have(ptr.addr()) {
                self.dealloc_slow(ptr, layout);
            } else {
                self.inner.dealloc(ptr, layout);
            }
        }
    }

    /// # Safety
    ///
    /// As [`GlobalAlloc::dealloc`].
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_slow(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; the block goes back to the allocator that it came from.
        unsafe {
            if let Some(place) = region::find(ptr) {
                record::settle(ptr.addr());
                region::free(place);
            } else {
                // Only a large block gets here, unless it comes from another copy of this crate.
                record::settle(ptr.addr());
                self.inner.dealloc(ptr, layout);
            }
        }
    }

    /// A realloc is a free and an allocation at the call site of the realloc: with the new size
    /// and a new draw, which was made before. If it fails, everything is as it was.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`].
    #[cold]
    #[inline(never)]
    unsafe fn realloc_slow(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let here = Registers::here();
        let interval = if thread::is_due() {
            record::draw(&here)
        } else {
            None
        };
        let stays = interval.is_none() || region::is_large(new_size, layout.align());
        // SAFETY: the caller's promise.
        unsafe {
            if stays && !region::contains(ptr) {
                self.realloc_inner(&here, ptr, layout, new_size, interval)
            } else {
                self.realloc_moving(&here, ptr, layout, new_size, interval)
            }
        }
    }

    /// The inner allocator's block remains the inner allocator's, which may resize it in place.
    ///
    /// A function of its own, as the next one, so that the draw before needs little stack.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`], and the block is the inner's.
    #[inline(never)]
    unsafe fn realloc_inner(
        &self,
        here: &Registers,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
        interval: Option<u32>,
    ) -> *mut u8 {
        let may_have =
            region::is_large(layout.size(), layout.align()) && live::may_have(ptr.addr());
        let old = if may_have {
            record::take(ptr.addr())
        } else {
            None
        };
        // SAFETY: the caller's promise.
        let block = unsafe { self.inner.realloc(ptr, layout, new_size) };
        if block.is_null() {
            if let Some(old) = old {
                record::put_back(old);
            }
            return block;
        }
        if let Some(old) = old {
            record::freed(&old);
        }
        if let Some(interval) = interval {
            record::allocated(here, block.addr(), new_size, interval);
        }
        block
    }

    /// Into the region, within it, or out of it: by a copy of at most 32 KiB.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`].
    #[inline(never)]
    unsafe fn realloc_moving(
        &self,
        here: &Registers,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
        interval: Option<u32>,
    ) -> *mut u8 {
        if let Some(interval) = interval
            && region::fits(ptr, layout, new_size)
        {
            record::settle(ptr.addr());
            record::allocated(here, ptr.addr(), new_size, interval);
            return ptr;
        }
        // SAFETY: the caller's promise: with the alignment it is a layout. Both blocks have at least
        // as many bytes as are copied, and the new one is not part of the old one.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let block = match interval {
                None => self.inner.alloc(new_layout),
                Some(interval) => self.alloc_sampled(here, new_layout, false, interval),
            };
            if !block.is_null() {
                ptr::copy_nonoverlapping(ptr, block, layout.size().min(new_size));
                self.dealloc(ptr, layout);
            }
            block
        }
    }
}

/// Sets the mean number of bytes between two samples: 0 turns sampling off, 1 samples every
/// allocation, the default is 524,288 (512 KiB).
///
/// Smaller intervals see smaller things and cost more. The change holds at once for the calling
/// thread and for every other thread within its next 8 MiB of allocations, or two old intervals if
/// that is less. Samples keep the weight that they were taken with, so no number jumps or is
/// biased by a change.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// heapwatch::set_interval(64 * 1024)?;
/// # Ok::<(), heapwatch::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Config`] beyond 4,294,967,295 bytes, [`Error::NotInstalled`] if heapwatch is not the
/// global allocator, [`Error::NotSupported`] where nothing is sampled.
pub fn set_interval(bytes: u64) -> Result<(), Error> {
    let interval = u32::try_from(bytes).map_err(|_| {
        Error::Config(format!(
            "a sampling interval of {bytes} bytes is too large; the largest is {MAX_INTERVAL}"
        ))
    })?;
    if !thread::counts_allocations() {
        return Err(record::absent());
    }
    settings::set_interval(interval);
    thread::redraw(record::interval_here());
    Ok(())
}

/// What the benches measure by itself; not for use.
#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod __bench {
    use crate::record::stack;
    use crate::record::unwind::Registers;

    /// Captures the caller's stack as for a sample; returns the number of frames.
    #[inline(never)]
    pub fn capture(out: &mut [usize]) -> usize {
        let here = Registers::here();
        let copy = |stack: stack::Captured<'_>| {
            let frames = stack.frames;
            let len = frames.len().min(out.len());
            out[..len].copy_from_slice(&frames[..len]);
            len
        };
        stack::with_captured(&here, copy)
    }
}
