//! An inner allocator that refuses: the program gets its null, heapwatch does without what it
//! wanted for itself, and everything goes on.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{Block, Rng, child, layout, my_turn, now_through};

/// Refuses, on threads that ask for it, each allocation above a size.
struct Refusing;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
    static RANDOM: Cell<Option<Rng>> = const { Cell::new(None) };
}

fn refuse_above(size: usize) {
    LARGEST.set(size);
}

/// Refuses every other allocation of this thread, at random.
fn refuse_at_random(rng: Option<Rng>) {
    RANDOM.set(rng);
}

fn refuses(size: usize) -> bool {
    let at_random = RANDOM.take().is_some_and(|mut rng| {
        let refused = rng.below(2) == 0;
        RANDOM.set(Some(rng));
        refused
    });
    at_random || size > LARGEST.get()
}

// SAFETY: System's blocks or null.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refuses(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if refuses(new_size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOC: heapwatch::Alloc<Refusing> = heapwatch::Alloc::over(Refusing);

#[inline(never)]
fn one(size: usize) -> Option<Block> {
    let block = Block::alloc(layout(size));
    std::hint::black_box(block)
}

/// Unsampled, a refusal is the program's to see, and nothing is counted for it.
#[test]
fn a_refusal_is_null() {
    let _turn = my_turn();
    heapwatch::set_interval(0).unwrap();
    let mut kept = one(500).unwrap();
    kept.fill(3);
    for _ in 0..1000 {
        refuse_above(0);
        let refused = one(100).is_none() && Block::zeroed(layout(100)).is_none();
        let resized = kept.resize(5000);
        refuse_above(usize::MAX);
        assert!(refused && !resized && kept.holds(3, 500));
        one(100).unwrap().free();
    }
    kept.free();
}

/// A sampled block comes out of the region, so it may be had where the inner allocator refuses;
/// moving out of the region may not, and then the block and its record stay.
#[test]
fn a_sampled_block_that_cannot_move_out_stays() {
    let _turn = my_turn();
    heapwatch::set_interval(1).unwrap();
    let mut block = one(777).unwrap();
    block.fill(5);
    heapwatch::set_interval(0).unwrap();
    refuse_above(0);
    let resized = block.resize(7000);
    refuse_above(usize::MAX);
    assert!(!resized && block.holds(5, 777));
    let counts = now_through(one as *const ());
    assert_eq!((counts.live_objects, counts.live_bytes), (1.0, 777.0));
    block.free();
    assert_eq!(now_through(one as *const ()).live_objects, 0.0);
}

#[inline(never)]
fn deep(depth: usize, size: usize, into: &mut Vec<Block>) {
    if depth == 0 {
        into.extend(one(size));
    } else {
        deep(depth - 1, size, into);
        std::hint::black_box(depth);
    }
}

/// What heapwatch keeps is not the inner allocator's memory: where that one refuses everything, no
/// sample is lost, and the counts stay exact.
#[test]
fn what_the_inner_allocator_refuses_is_not_missed() {
    if !child::is_child() {
        // Where no other test has made room in the tables before.
        child::run(&mut child::command(
            "what_the_inner_allocator_refuses_is_not_missed",
        ));
        return;
    }
    heapwatch::set_interval(1).unwrap();
    let mut blocks = Vec::with_capacity(100_000);
    for round in 0..40 {
        // Each round has new stacks, so that the tables want to grow.
        refuse_above(0);
        for depth in 0..100 {
            for size in [16, 48, 1000] {
                deep(depth, size + round, &mut blocks);
                blocks.push(Block::zeroed(layout(size)).unwrap());
            }
        }
        for block in blocks.drain(..blocks.len() / 2) {
            block.free();
        }
        refuse_above(usize::MAX);
    }
    let snapshot = heapwatch::snapshot().unwrap();
    assert_eq!(snapshot.info().dropped, []);
    let counts = common::through(&snapshot, one as *const ());
    assert_eq!(counts.allocated_objects, 40.0 * 100.0 * 3.0, "{counts:?}");
    for block in blocks {
        block.free();
    }
    let counts = now_through(one as *const ());
    assert_eq!((counts.live_objects, counts.live_bytes), (0.0, 0.0));
}

/// What heapwatch makes for itself has many parts, and any of them may be the one that is refused,
/// also when others were granted just before: it is survived. Many threads at once, because each
/// then makes unwind rules of its own.
#[test]
fn refusals_at_random_never_abort() {
    const THREADS: u64 = 8;
    if !child::is_child() {
        for seed in 1..=6_u64 {
            let mut command = child::command("refusals_at_random_never_abort");
            child::run(command.env("SEED_OF_REFUSALS", seed.to_string()));
        }
        return;
    }
    let seed: u64 = std::env::var("SEED_OF_REFUSALS").unwrap().parse().unwrap();
    heapwatch::set_interval(1).unwrap();
    let together = std::sync::Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let together = &together;
            scope.spawn(move || {
                let mut blocks = Vec::with_capacity(3000);
                together.wait();
                refuse_at_random(Some(Rng(seed * THREADS + thread)));
                for i in 0..3000 {
                    deep(i % 100, 16 + i % 7, &mut blocks);
                }
                refuse_at_random(None);
                blocks.into_iter().for_each(Block::free);
            });
        }
    });
    let snapshot = heapwatch::snapshot().unwrap();
    assert!(
        snapshot.info().samples > 1000,
        "{}",
        snapshot.info().samples
    );
    assert_eq!(now_through(one as *const ()).live_bytes, 0.0);
}

/// Tables that cannot grow on a fresh thread, refusals at random for the program's own sizes: the
/// contents of every block stay whole.
#[test]
fn refusals_now_and_then_corrupt_nothing() {
    let _turn = my_turn();
    for interval in [1, 300, 4096] {
        heapwatch::set_interval(interval).unwrap();
        let mut rng = Rng(interval);
        let mut blocks: Vec<(Block, u64)> = Vec::with_capacity(400);
        let mut refused = 0;
        for i in 0..30_000 {
            match rng.below(50) {
                0 => refuse_above(0),
                1 => refuse_above(64),
                2..=9 => refuse_above(usize::MAX),
                10..=30 if blocks.len() < 300 => match one(1 + rng.below(500)) {
                    Some(mut block) => {
                        block.fill(i);
                        blocks.push((block, i));
                    }
                    None => refused += 1,
                },
                31..=40 if !blocks.is_empty() => {
                    let at = rng.below(blocks.len());
                    let (block, seed) = &mut blocks[at];
                    let (old, new) = (block.size(), 1 + rng.below(900));
                    let resized = block.resize(new);
                    refused += u32::from(!resized);
                    assert!(block.holds(*seed, if resized { old.min(new) } else { old }));
                    block.fill(i);
                    blocks[at].1 = i;
                }
                _ if !blocks.is_empty() => {
                    let (mut block, seed) = blocks.swap_remove(rng.below(blocks.len()));
                    let size = block.size();
                    assert!(block.holds(seed, size));
                    block.free();
                }
                _ => {}
            }
        }
        refuse_above(usize::MAX);
        assert!(
            interval == 1 || refused > 100,
            "the test refused too little: {refused}"
        );
        for (block, _) in blocks {
            block.free();
        }
        assert_eq!(now_through(one as *const ()).live_bytes, 0.0);
    }
}
