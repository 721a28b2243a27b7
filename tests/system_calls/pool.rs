//! An inner allocator without system calls, so that all there are are heapwatch's own.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::{Mutex, PoisonError};

const SIZE: usize = 256 << 20;
const CLASSES: usize = usize::BITS as usize;

#[repr(align(4096))]
struct Area(UnsafeCell<[u8; SIZE]>);

// SAFETY: each part is one block's, and its owner's.
unsafe impl Sync for Area {}

static AREA: Area = Area(UnsafeCell::new([0; SIZE]));

struct State {
    used: usize,
    /// Freed blocks by power of two; each one's first word is the next one's address, or 0.
    freed: [usize; CLASSES],
}

static STATE: Mutex<State> = Mutex::new(State {
    used: 0,
    freed: [0; CLASSES],
});

pub(crate) struct Pool;

fn class_of(layout: Layout) -> usize {
    let size = layout.size().max(layout.align()).max(16);
    size.next_power_of_two().trailing_zeros() as usize
}

// SAFETY: each part of the area is handed out to one block at a time, of a power of two that is at
// least its size and its alignment.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class_of(layout);
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let block = ptr::with_exposed_provenance_mut::<usize>(state.freed[class]);
        if !block.is_null() {
            // SAFETY: a freed block, in which `dealloc` wrote the next one's address.
            state.freed[class] = unsafe { block.read() };
            return block.cast();
        }
        let base = AREA.0.get().cast::<u8>();
        let align = (1 << class).min(4096);
        let start = state.used.next_multiple_of(align);
        if start + (1 << class) > SIZE {
            return ptr::null_mut();
        }
        state.used = start + (1 << class);
        // SAFETY: within the area.
        unsafe { base.add(start) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let class = class_of(layout);
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the block is freed, of at least 16 bytes and aligned to as many.
        unsafe { ptr.cast::<usize>().write(state.freed[class]) };
        state.freed[class] = ptr.expose_provenance();
    }
}
