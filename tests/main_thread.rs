//! The main thread's stack, whose bounds are found another way than the other threads'. Without
//! the test harness, which runs tests on threads of its own.

mod common;

use std::hint::black_box;

use common::{Block, layout, sites};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SIZE: usize = 123_457;

/// Allocates, with the reference's stack at the same place.
#[inline(never)]
fn allocate(depth: usize, reference: &mut Vec<u64>) -> Block {
    if depth > 0 {
        let block = allocate(depth - 1, reference);
        return black_box(block);
    }
    // SAFETY: there is no other thread.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            reference.push(frame.ip() as u64);
            true
        });
    }
    Block::alloc(layout(SIZE)).unwrap()
}

/// A main thread whose stacks end early mixes up its call sites, and a single-threaded program has
/// no other ones.
fn main() {
    // SAFETY: two system calls.
    assert_eq!(unsafe { libc::gettid() }, unsafe { libc::getpid() });
    heapwatch::set_interval(1).unwrap();
    let mut reference = Vec::with_capacity(200);
    let block = allocate(5, &mut reference);
    let snapshot = heapwatch::snapshot().unwrap();
    let (stack, _) = sites(&snapshot)
        .find(|(_, counts)| counts.live_bytes == SIZE as f64)
        .expect("the block has a site");
    // All frames outside of the innermost call of `allocate`.
    let outer = |stack: &[u64]| -> Vec<u64> {
        let at = stack
            .iter()
            .position(|&a| common::function_of(a) == allocate as *const () as usize)
            .unwrap();
        stack[at + 1..]
            .iter()
            .copied()
            .filter(|&a| a != 0)
            .collect()
    };
    assert_eq!(outer(&stack), outer(&reference));
    assert!(outer(&stack).len() > 6);
    block.free();
    println!("main thread: ok, {} frames", stack.len());
}
