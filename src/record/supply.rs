//! Memory for things of several parts that cannot be asked for one by one.
//!
//! A `Box` aborts the process when its memory is refused, and the unwinder's caches and lists are
//! full of them. So the memory is taken whole beforehand, where a refusal is survived, and what
//! this thread then allocates comes out of it.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed};
use std::ptr;

use super::thread::{self, Muted};

/// More than any part wants.
const ALIGN: usize = 16;

/// What is left of the memory of a thread that makes something.
#[derive(Clone, Copy)]
pub(crate) struct Supply {
    next: usize,
    end: usize,
}

/// Makes something whose parts take at most so many bytes together; `None` if these are refused.
/// Parts beyond that are allocated as usual.
///
/// # Safety
///
/// Nothing that `make` allocates is ever freed; it may be resized within `make`.
pub(crate) unsafe fn with<T>(bytes: usize, make: impl FnOnce() -> T) -> Option<T> {
    let _muted = Muted::new();
    let layout = Layout::from_size_align(bytes.max(1), ALIGN).ok()?;
    // SAFETY: the size is not zero.
    let start = unsafe { alloc_zeroed(layout) } as usize;
    if start == 0 {
        return None;
    }
    let end = start + bytes;
    Some(thread::supplied(Supply { next: start, end }, make))
}

/// Zeroed memory out of this thread's supply; null if it is used up.
pub(crate) fn take(layout: Layout) -> *mut u8 {
    let block = thread::supply().and_then(|supply| supply.cut(layout));
    let Some((block, rest)) = block else {
        return ptr::null_mut();
    };
    thread::set_supply(rest);
    ptr::with_exposed_provenance_mut(block)
}

impl Supply {
    /// The address of a block, and what is left after it.
    fn cut(self, layout: Layout) -> Option<(usize, Supply)> {
        let start = self.next.checked_next_multiple_of(layout.align())?;
        let next = start.checked_add(layout.size())?;
        let end = self.end;
        (next <= end).then_some((start, Supply { next, end }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Overlapping or misaligned parts would corrupt what is made.
    #[test]
    fn parts_are_apart_aligned_and_within() {
        let mut supply = Supply {
            next: 0x1001,
            end: 0x1100,
        };
        let mut before = supply.next;
        for (size, align) in [(3, 1), (8, 8), (1, 1), (32, 32), (5, 2)] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let (start, rest) = supply.cut(layout).unwrap();
            assert!(start >= before && start.is_multiple_of(align));
            before = start + size;
            supply = rest;
        }
        let rest = supply.end - before;
        assert!(
            supply
                .cut(Layout::from_size_align(rest, 1).unwrap())
                .is_some()
        );
        assert!(
            supply
                .cut(Layout::from_size_align(rest + 1, 1).unwrap())
                .is_none()
        );
        assert!(
            supply
                .cut(Layout::from_size_align(isize::MAX as usize, 1).unwrap())
                .is_none()
        );
    }
}
