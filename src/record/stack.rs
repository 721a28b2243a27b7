//! The stack of an allocation: return addresses, innermost first, without the allocator's frames.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::config::MAX_DEPTH;

use super::thread;
use super::unwind::{self, End, Mark};

/// A captured stack.
pub(crate) struct Stack {
    frames: [usize; MAX_DEPTH],
    len: usize,
    /// Whether outer frames are missing: the depth limit, or unwinding ended before the thread's
    /// first function.
    pub(crate) truncated: bool,
}

impl Stack {
    const fn new() -> Stack {
        Stack {
            frames: [0; MAX_DEPTH],
            len: 0,
            truncated: false,
        }
    }

    /// Return addresses, innermost first.
    pub(crate) fn frames(&self) -> &[usize] {
        self.frames.get(..self.len).unwrap_or_default()
    }

    /// Adds an outer frame; false if there is no room.
    fn push(&mut self, address: usize) -> bool {
        let Some(slot) = self.frames.get_mut(self.len) else {
            self.truncated = true;
            return false;
        };
        *slot = address;
        self.len += 1;
        true
    }
}

/// Captures the stack outside of the marked function and of the allocator's frames around it.
/// Empty if it cannot be had.
pub(crate) fn capture(mark: Mark) -> Stack {
    let mut stack = Stack::new();
    let mut in_plumbing = true;
    let end = unwind::walk(mark, &mut |address| {
        in_plumbing = in_plumbing && is_plumbing(address);
        in_plumbing || stack.push(address)
    });
    stack.truncated |= end == End::Lost;
    stack
}

const MAX_PLUMBING: usize = 24;

/// Return addresses in the frames between a caller of the global allocator and our slow path:
/// `__rust_alloc` and the like.
///
/// They are learned, because how many there are depends on how the program was optimised and what
/// was inlined where, and recognised by exact address, so that no symbols are needed.
static PLUMBING: [AtomicUsize; MAX_PLUMBING] = [const { AtomicUsize::new(0) }; MAX_PLUMBING];

fn plumbing() -> impl Iterator<Item = usize> {
    // Relaxed: written before the first sample is taken, and an address stands for itself.
    PLUMBING
        .iter()
        .map(|known| known.load(Ordering::Relaxed))
        .take_while(|&known| known != 0)
}

fn is_plumbing(address: usize) -> bool {
    plumbing().any(|known| known == address)
}

/// The stack that the slow path saw last while calibrating.
static SEEN: Mutex<Stack> = Mutex::new(Stack::new());

/// What the slow path does in place of sampling while this thread is calibrating.
pub(crate) fn see(mark: Mark) {
    let mut stack = Stack::new();
    unwind::walk(mark, &mut |address| stack.push(address));
    *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = stack;
}

/// Learns the plumbing of each way to allocate, by allocating and comparing the stack that the
/// slow path sees with the one seen from here. Learns nothing if the global allocator is not ours.
///
/// Runs once, on the first allocation of the process.
pub(crate) fn learn_plumbing() {
    thread::calibrate(probe);
}

/// Not inlined, so that its own frame ends where its callers' begin.
#[inline(never)]
fn probe() {
    let layout = Layout::new::<[u64; 2]>();
    let mut outside = Stack::new();
    unwind::walk(Mark::here(), &mut |address| outside.push(address));
    // SAFETY: ordinary allocations of 16 and 32 bytes, checked for null and freed with the layout
    // that they have then.
    unsafe {
        thread::make_due();
        let mut block = alloc(layout);
        learn(&outside);
        if !block.is_null() {
            thread::make_due();
            let larger = realloc(block, layout, 2 * layout.size());
            learn(&outside);
            let has = if larger.is_null() {
                layout
            } else {
                block = larger;
                Layout::new::<[u64; 4]>()
            };
            dealloc(block, has);
        }
        thread::make_due();
        let block = alloc_zeroed(layout);
        learn(&outside);
        if !block.is_null() {
            dealloc(block, layout);
        }
    }
}

/// Takes the frames of [`SEEN`] that lie inside of the probe as plumbing.
fn learn(outside: &Stack) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    // One frame is the probe's own.
    let inside = seen
        .frames()
        .len()
        .saturating_sub(outside.frames().len() + 1);
    for &address in seen.frames().iter().take(inside) {
        if !is_plumbing(address)
            && let Some(slot) = PLUMBING.get(plumbing().count())
        {
            slot.store(address, Ordering::Relaxed);
        }
    }
    *seen = Stack::new();
}
