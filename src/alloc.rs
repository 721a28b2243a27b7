//! The allocator that a program sets as its global one. Fast paths only: whatever is not a
//! countdown or an address check is `record`'s.
#![allow(unsafe_code)]

mod jemalloc;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use crate::Error;
use crate::config::MAX_INTERVAL;
use crate::record::loss;
use crate::record::unwind::Mark;
use crate::record::{self, region, settings, supply, thread};

use jemalloc::Jemalloc;

/// A global allocator that samples allocations, over jemalloc or any other allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// ```
///
/// Only sampled blocks, about one in 512 KiB of allocations, are placed by heapwatch itself; all
/// others come from the inner allocator, so its speed and its settings are the program's as
/// before:
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
pub struct Alloc<A = Jemalloc> {
    inner: A,
}

impl Alloc {
    /// Over jemalloc.
    pub const fn new() -> Self {
        Alloc { inner: Jemalloc }
    }
}

impl Default for Alloc {
    fn default() -> Self {
        Alloc::new()
    }
}

impl<A> Alloc<A> {
    /// Over another allocator, which serves everything that is not sampled.
    ///
    /// The inner allocator may itself use the global allocator only as far as it could without
    /// heapwatch: without end it must not.
    pub const fn over(inner: A) -> Self {
        Alloc { inner }
    }
}

// SAFETY: a block is either the inner allocator's, which keeps the contract, or lies in the region
// and is jemalloc's with the alignment, size and zeroing that were asked for. By its address it is
// always given back to whom it came from. Nothing here unwinds.
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
        if !region::may_contain(ptr) {
            // SAFETY: the caller's promise; the block is not in the region, so it is the inner's.
            return unsafe { self.inner.dealloc(ptr, layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.dealloc_slow(ptr, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Not short-circuited: a realloc of a sampled block is an allocation like any other.
        if thread::count_down(new_size) & !region::may_contain(ptr) {
            // SAFETY: the caller's promise; the block is not in the region, so it is the inner's.
            return unsafe { self.inner.realloc(ptr, layout, new_size) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.realloc_slow(ptr, layout, new_size) }
    }
}

impl<A: GlobalAlloc> Alloc<A> {
    /// # Safety
    ///
    /// As [`GlobalAlloc::alloc`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_slow(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        if thread::supply().is_some() {
            // SAFETY: the caller's promise.
            return unsafe { self.alloc_supplied(layout, zeroed) };
        }
        let mark = Mark::here();
        if !record::calibrating(mark)
            && let Some(interval) = record::due()
        {
            let block = region::allocate(layout, zeroed);
            if !block.is_null() {
                record::allocated(block as usize, layout.size(), interval, mark);
                return block;
            }
            // SAFETY: the caller's promise.
            let block = unsafe { self.alloc_inner(layout, zeroed) };
            if !block.is_null() {
                // An allocation that nobody can serve is the program's failure, not a loss.
                loss::count(region::why_not());
            }
            return block;
        }
        // SAFETY: the caller's promise.
        unsafe { self.alloc_inner(layout, zeroed) }
    }

    /// For heapwatch itself, out of what it has taken beforehand; see [`supply::with`].
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::alloc`].
    unsafe fn alloc_supplied(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        let block = supply::take(layout);
        if block.is_null() {
            // SAFETY: the caller's promise.
            return unsafe { self.alloc_inner(layout, zeroed) };
        }
        block
    }

    /// # Safety
    ///
    /// As [`GlobalAlloc::alloc`].
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

    /// # Safety
    ///
    /// As [`GlobalAlloc::dealloc`].
    #[cold]
    #[inline(never)]
    unsafe fn dealloc_slow(&self, ptr: *mut u8, layout: Layout) {
        if !region::contains(ptr) {
            // SAFETY: the caller's promise; the block is the inner's.
            return unsafe { self.inner.dealloc(ptr, layout) };
        }
        if thread::is_muted() {
            // Maybe an inner allocator drops something of its own while a table grows: the locks
            // that settling takes may be this thread's.
            // SAFETY: the caller's promise; the block is in the region.
            return unsafe { region::defer(ptr) };
        }
        if let Some(sample) = record::take(ptr as usize) {
            record::freed(&sample);
        }
        // SAFETY: the caller's promise; the block is in the region.
        unsafe { region::free(ptr) }
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
        if thread::supply().is_some() {
            // SAFETY: the caller's promise.
            return unsafe { self.realloc_supplied(ptr, layout, new_size) };
        }
        let mark = Mark::here();
        let calibrating = record::calibrating(mark);
        let interval = if thread::is_due() && !calibrating {
            record::due()
        } else {
            None
        };
        // SAFETY: the caller's promise, in each branch.
        unsafe {
            match (region::contains(ptr), interval) {
                (false, None) => self.inner.realloc(ptr, layout, new_size),
                (false, Some(interval)) => self.realloc_in(ptr, layout, new_size, interval, mark),
                (true, interval) => self.realloc_ours(ptr, layout, new_size, interval, mark),
            }
        }
    }

    /// For heapwatch itself: what is resized while there is a supply came out of it, and parts of
    /// a supply are not given back.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`].
    unsafe fn realloc_supplied(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, as in `realloc_in`.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let block = self.alloc_supplied(new_layout, false);
            if !block.is_null() {
                ptr::copy_nonoverlapping(ptr, block, layout.size().min(new_size));
            }
            block
        }
    }

    /// A block of the region: within it if the new draw is sampled, or if moving out would cost
    /// more than an unsampled block in the region does.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`], and the block is in the region.
    unsafe fn realloc_ours(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
        interval: Option<u32>,
        mark: Mark,
    ) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            if interval.is_some() || stays(layout.size().min(new_size)) {
                let block = realloc_within(ptr, layout, new_size, interval, mark);
                if !block.is_null() {
                    return block;
                }
            }
            // No room in the region is no reason to fail.
            let block = self.realloc_out(ptr, layout, new_size);
            if !block.is_null() && interval.is_some() {
                loss::count(region::why_not());
            }
            block
        }
    }

    /// From the inner allocator into the region.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`], and the block is the inner's.
    unsafe fn realloc_in(
        &self,
        ptr: *mut u8,
        layout: Layout,
        new_size: usize,
        interval: u32,
        mark: Mark,
    ) -> *mut u8 {
        // SAFETY: the caller's promise: with the alignment it is a layout.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let block = region::allocate(new_layout, false);
        // SAFETY: the caller's promise; both blocks have at least as many bytes as are copied, and
        // the new one is not part of the old one.
        unsafe {
            if block.is_null() {
                let block = self.inner.realloc(ptr, layout, new_size);
                if !block.is_null() {
                    loss::count(region::why_not());
                }
                return block;
            }
            ptr::copy_nonoverlapping(ptr, block, layout.size().min(new_size));
            record::allocated(block as usize, new_size, interval, mark);
            self.inner.dealloc(ptr, layout);
        }
        block
    }

    /// From the region to the inner allocator.
    ///
    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`], and the block is in the region.
    unsafe fn realloc_out(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, as in `realloc_in`. The block is given back as
        // `dealloc_slow` does.
        unsafe {
            let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
            let block = self.inner.alloc(new_layout);
            if !block.is_null() {
                ptr::copy_nonoverlapping(ptr, block, layout.size().min(new_size));
                self.dealloc_slow(ptr, layout);
            }
            block
        }
    }
}

/// Bytes from which on a block that is resized unsampled stays in the region rather than being
/// copied: buffers that grow by doubling would else cross over again and again.
const STAYS_FROM: usize = 16 << 10;

/// Whether a block of the region that is resized unsampled, with so many bytes to keep, stays. Not
/// where the region is small: there its room is for what is sampled; nor on a muted thread, which
/// must not touch the tables.
fn stays(kept: usize) -> bool {
    kept >= STAYS_FROM && region::is_roomy() && !thread::is_muted()
}

/// Within the region, in place where that is possible; recorded if there is an interval.
///
/// # Safety
///
/// As [`GlobalAlloc::realloc`], and the block is in the region.
unsafe fn realloc_within(
    ptr: *mut u8,
    layout: Layout,
    new_size: usize,
    interval: Option<u32>,
    mark: Mark,
) -> *mut u8 {
    let old = record::take(ptr as usize);
    // SAFETY: the caller's promise.
    let block = unsafe { region::reallocate(ptr, layout.align(), new_size) };
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
        record::allocated(block as usize, new_size, interval, mark);
    }
    block
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
/// global allocator.
pub fn set_interval(bytes: u64) -> Result<(), Error> {
    let interval = u32::try_from(bytes).map_err(|_| {
        Error::Config(format!(
            "a sampling interval of {bytes} bytes is too large; the largest is {MAX_INTERVAL}"
        ))
    })?;
    if !thread::counts_allocations() {
        return Err(Error::NotInstalled);
    }
    settings::set_interval(interval);
    thread::redraw(record::interval_here());
    Ok(())
}

/// What the benches measure by itself; not for use.
#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod __bench {
    use crate::record::{stack, thread, unwind::Mark};

    /// Captures the caller's stack as for a sample; returns the number of frames.
    #[inline(never)]
    pub fn capture(out: &mut [usize]) -> usize {
        let mark = Mark::here();
        let _muted = thread::Muted::new();
        let stack = stack::capture(mark);
        let frames = stack.frames();
        let len = frames.len().min(out.len());
        out[..len].copy_from_slice(&frames[..len]);
        len
    }
}
