//! What a sample costs on a stack that is not the thread's own, as coroutines and fibers have.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use common::stacks::run_in_context;
use common::{Block, Rng, child, layout, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const DEPTH: usize = 30;
const SAMPLES: u64 = 2000;

/// Allocates in one of many stacks.
#[inline(never)]
fn left(depth: usize, path: u64) {
    turn(depth, path);
    black_box(depth);
}

#[inline(never)]
fn right(depth: usize, path: u64) {
    turn(depth, path);
    black_box(depth + 1);
}

#[inline(always)]
fn turn(depth: usize, path: u64) {
    if depth == 0 {
        Block::alloc(layout(100)).unwrap().free();
    } else if path >> (depth % 8) & 1 == 0 {
        left(depth - 1, path);
    } else {
        right(depth - 1, path);
    }
}

fn thread_cpu_ns() -> u64 {
    // SAFETY: the structure is filled.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        let failed = libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
        assert_eq!(failed, 0);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// What [`measure`] measured, in nanoseconds per sample.
static COST: AtomicU64 = AtomicU64::new(0);

extern "C" fn measure() {
    let mut rng = Rng(3);
    let before = thread_cpu_ns();
    for _ in 0..SAMPLES {
        left(DEPTH, rng.next());
    }
    COST.store((thread_cpu_ns() - before) / SAMPLES, Ordering::Relaxed);
}

/// A service on coroutines would be slowed down where one on threads is not: by asking the kernel
/// for each word of the stack, say.
#[test]
fn a_sample_on_another_stack_costs_little_more() {
    if !child::is_child() {
        let mut command = child::command("a_sample_on_another_stack_costs_little_more");
        println!("{}", child::run(&mut command));
        return;
    }
    heapwatch::set_interval(1).unwrap();
    let mut stack = vec![0_u8; 256 << 10];
    let (mut own, mut foreign) = (u64::MAX, u64::MAX);
    // The quickest of several rounds: others share the machine.
    for _ in 0..10 {
        measure();
        own = own.min(COST.load(Ordering::Relaxed));
        let before = now_through(measure as *const ()).samples;
        // SAFETY: the stack is this function's alone.
        unsafe { run_in_context(stack.as_mut_ptr(), stack.len(), measure) };
        foreign = foreign.min(COST.load(Ordering::Relaxed));
        let walked = now_through(measure as *const ()).samples - before;
        assert_eq!(
            walked, SAMPLES as f64,
            "stacks that were not walked cost nothing"
        );
    }
    println!("{own} ns a sample on the thread's own stack, {foreign} ns on another");
    assert!(foreign <= 5 * own, "{foreign} ns, on its own {own} ns");
}
