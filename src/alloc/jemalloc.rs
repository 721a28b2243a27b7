//! jemalloc as the default inner allocator.
//!
//! It does what tikv-jemallocator's `GlobalAlloc` does, with a shorter way for what nearly all
//! allocations are: alignments up to a word, which every block of jemalloc's has. What is saved
//! there pays for most of the sampling.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};

use tikv_jemalloc_sys as jemalloc;

/// The alignment that each block has, whatever its size: jemalloc's smallest size class.
const ALWAYS_ALIGNED: usize = 8;
/// The alignment that blocks have that are at least as large as it.
const QUANTUM: usize = 16;

/// The default inner allocator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Jemalloc;

/// The flag that asks for an alignment, 0 where a block has it anyway.
#[inline(always)]
fn align_flag(layout_align: usize, size: usize) -> i32 {
    if layout_align <= ALWAYS_ALIGNED || (layout_align <= QUANTUM && layout_align <= size) {
        0
    } else {
        jemalloc::MALLOCX_LG_ALIGN(layout_align.trailing_zeros() as usize)
    }
}

// SAFETY: each block comes from jemalloc with at least the size and alignment that were asked for,
// and goes back to jemalloc with the flags that it was made with: these depend on the layout only.
unsafe impl GlobalAlloc for Jemalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the size is not zero, which is the caller's promise.
        unsafe {
            match align_flag(align, size) {
                0 => jemalloc::malloc(size).cast(),
                flags => jemalloc::mallocx(size, flags).cast(),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the size is not zero, which is the caller's promise.
        unsafe {
            match align_flag(align, size) {
                0 => jemalloc::calloc(1, size).cast(),
                flags => jemalloc::mallocx(size, flags | jemalloc::MALLOCX_ZERO).cast(),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the caller's promise: a block of this layout.
        unsafe {
            match align_flag(align, size) {
                0 => jemalloc::sdallocx(ptr.cast(), size, 0),
                flags => jemalloc::sdallocx(ptr.cast(), size, flags),
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise: a block of this layout, and a new size that is not zero.
        unsafe {
            match align_flag(layout.align(), new_size) {
                0 => jemalloc::realloc(ptr.cast(), new_size).cast(),
                flags => jemalloc::rallocx(ptr.cast(), new_size, flags).cast(),
            }
        }
    }
}
