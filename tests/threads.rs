//! Threads of every kind: many, short-lived, allocating in their last breath, on small stacks.

mod common;

use std::cell::RefCell;
use std::thread;

use common::stacks::run_on_stack;
use common::{Block, Counts, layout, my_turn, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Allocates and frees when its thread ends.
struct Last(Vec<Block>);

#[inline(never)]
fn in_life(size: usize) -> Block {
    std::hint::black_box(Block::alloc(layout(size)).unwrap())
}

#[inline(never)]
fn in_destructor(size: usize) -> Block {
    std::hint::black_box(Block::alloc(layout(size)).unwrap())
}

impl Drop for Last {
    fn drop(&mut self) {
        let mut late = in_destructor(200);
        assert!(late.resize(4000));
        late.free();
        in_destructor(50).free();
        for block in self.0.drain(..) {
            block.free();
        }
    }
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last(Vec::new())) };
}

fn short_life() {
    LAST.with_borrow_mut(|last| last.0.push(in_life(300)));
    in_life(1000).free();
}

fn many_threads(count: usize) {
    const AT_ONCE: usize = 8;
    for _ in 0..count / AT_ONCE {
        // Not a scope, which may end before its threads' thread-locals do.
        let threads: Vec<_> = (0..AT_ONCE).map(|_| thread::spawn(short_life)).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// Per-thread state that needs a destructor, an id or a slot runs out or comes back to life here.
/// At interval 1, every allocation of all those threads must be counted, the last ones too.
#[test]
fn twenty_thousand_threads_that_allocate_to_the_end() {
    let _turn = my_turn();
    heapwatch::set_interval(4096).unwrap();
    many_threads(18_000);
    for function in [in_life as *const (), in_destructor as *const ()] {
        let counts = now_through(function);
        assert_eq!((counts.live_objects, counts.live_bytes), (0.0, 0.0));
        assert!(counts.samples > 0.0);
    }
    heapwatch::set_interval(1).unwrap();
    let before = [
        now_through(in_life as *const ()),
        now_through(in_destructor as *const ()),
    ];
    let n = 2000;
    many_threads(n);
    assert_eq!(
        now_through(in_life as *const ()) - before[0],
        Counts::exact((0, 0), (2 * n, 1300 * n))
    );
    // Resized in `Drop`, which is another call site; here only the two allocations.
    assert_eq!(
        now_through(in_destructor as *const ()) - before[1],
        Counts::exact((0, 0), (2 * n, 250 * n))
    );
}

#[inline(never)]
fn on_small_stack() {
    for size in [1, 40, 3000, 200_000] {
        let mut block = Block::alloc(layout(size)).unwrap();
        // SAFETY: within the block.
        unsafe { block.start.write_bytes(1, size) };
        assert!(block.resize(2 * size));
        block.free();
        let block = Block::zeroed(layout(size)).unwrap();
        block.free();
    }
}

/// A capture that needs more stack than there is ends the process.
#[test]
fn small_stacks_do_not_overflow() {
    let _turn = my_turn();
    // jemalloc itself needs up to 4 KiB.
    for interval in [1, 4096, 0] {
        heapwatch::set_interval(interval).unwrap();
        run_on_stack(16 << 10, 16 << 10, on_small_stack);
        for left in (8 << 10..64 << 10).step_by(256) {
            run_on_stack(80 << 10, left, on_small_stack);
        }
        for left in (100 << 10..200 << 10).step_by(1024) {
            run_on_stack(256 << 10, left, on_small_stack);
        }
    }
    heapwatch::set_interval(1).unwrap();
    let before = now_through(on_small_stack as *const ());
    run_on_stack(256 << 10, 256 << 10, on_small_stack);
    let counts = now_through(on_small_stack as *const ()) - before;
    assert_eq!(
        counts.allocated_objects, 12.0,
        "with room for it, the stack is captured"
    );
}
