//! What a block must be, sampled or not: zero where that was asked for, aligned, null where it
//! cannot be had, and with its contents after it moved.

mod common;

use std::alloc::Layout;

use common::{Block, layout, my_turn, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SAMPLED: u64 = 1;
const UNSAMPLED: u64 = 0;

/// Zeroed memory that is not zero is a bug in the program that only heapwatch brings in. Blocks
/// that were dirty before are what comes back; 9 MiB is beyond jemalloc's own threshold.
#[test]
fn zeroed_memory_is_zero() {
    let _turn = my_turn();
    let sizes = [1, 16, 100, 4000, 60_000, 1 << 20, 9 << 20];
    for interval in [SAMPLED, 4096, 512 << 10, UNSAMPLED] {
        for _ in 0..4 {
            heapwatch::set_interval(interval).unwrap();
            for size in sizes {
                for align in [1, 64, 8192] {
                    let layout = Layout::from_size_align(size, align).unwrap();
                    let dirty: Vec<Block> = (0..4).map(|_| Block::alloc(layout).unwrap()).collect();
                    for mut block in dirty {
                        // SAFETY: within the block.
                        unsafe { block.start.write_bytes(0xA5, size) };
                        assert!(block.bytes().iter().all(|byte| *byte == 0xA5));
                        block.free();
                    }
                    for _ in 0..4 {
                        let mut block = Block::zeroed(layout).unwrap();
                        assert!(
                            block.bytes().iter().all(|byte| *byte == 0),
                            "{layout:?} at interval {interval}"
                        );
                        // SAFETY: within the block.
                        unsafe { block.start.write_bytes(0xA5, size) };
                        block.free();
                    }
                }
            }
        }
    }
}

/// A misaligned block crashes the program in its first vector instruction.
#[test]
fn alignment_is_honoured() {
    let _turn = my_turn();
    for interval in [SAMPLED, UNSAMPLED] {
        heapwatch::set_interval(interval).unwrap();
        for align in (0..=21).map(|log2| 1_usize << log2) {
            for size in [1, align / 2 + 1, align, 3 * align, 100_000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                for mut block in [Block::alloc(layout), Block::zeroed(layout)]
                    .into_iter()
                    .flatten()
                {
                    assert!(block.is_aligned(), "{layout:?} at interval {interval}");
                    for new in [2 * size, size / 3 + 1] {
                        assert!(block.resize(new));
                        assert!(block.is_aligned(), "{layout:?} resized to {new}");
                    }
                    block.free();
                }
            }
        }
    }
}

#[inline(never)]
fn ask_for_too_much(layout: Layout) {
    assert!(Block::alloc(layout).is_none(), "{layout:?}");
    assert!(Block::zeroed(layout).is_none(), "{layout:?}");
    let small = Layout::from_size_align(100, layout.align()).unwrap();
    let mut block = Block::alloc(small).unwrap();
    block.fill(7);
    assert!(!block.resize(layout.size()), "{layout:?}");
    assert!(
        block.holds(7, 100),
        "a failed realloc leaves the block as it was"
    );
    assert_eq!(block.layout, small);
    block.free();
}

/// An impossible request must neither succeed, nor upset the countdown, nor be counted.
#[test]
fn impossible_requests_are_null() {
    let _turn = my_turn();
    for interval in [SAMPLED, 4096, 512 << 10, u64::from(u32::MAX), UNSAMPLED] {
        heapwatch::set_interval(interval).unwrap();
        for align in [1, 8, 4096, 2 << 20] {
            for below in [0, 1, 4096, 1 << 40] {
                let size = isize::MAX as usize - (align - 1) - below;
                ask_for_too_much(Layout::from_size_align(size, align).unwrap());
            }
        }
        let counts = now_through(ask_for_too_much as *const ());
        assert!(
            counts.live_bytes == 0.0 && counts.allocated_bytes < 1e9,
            "interval {interval}: {counts:?}"
        );
        let vec: Vec<u64> = (0..100_000).collect();
        assert_eq!(vec.iter().sum::<u64>(), 99_999 * 50_000);
    }
}

#[inline(never)]
fn first(layout: Layout) -> Block {
    Block::alloc(layout).unwrap()
}

#[inline(never)]
fn second(block: &mut Block, size: usize) -> bool {
    std::hint::black_box(block.resize(size))
}

/// A block that moves between heapwatch and the inner allocator must bring its contents along,
/// and be counted where it is now.
#[test]
fn realloc_keeps_contents_whichever_way_it_moves() {
    let _turn = my_turn();
    for before in [SAMPLED, UNSAMPLED] {
        for after in [SAMPLED, UNSAMPLED] {
            for align in [1, 16, 4096] {
                for (old, new) in [
                    (10, 1000),
                    (1000, 10),
                    (100, 101),
                    (1 << 20, 3 << 20),
                    (3 << 20, 1 << 20),
                    (10 << 20, 20 << 20),
                    (20 << 20, 100),
                ] {
                    heapwatch::set_interval(before).unwrap();
                    let mut block = first(Layout::from_size_align(old, align).unwrap());
                    block.fill(old as u64);
                    let held_before = now_through(first as *const ()).live_bytes;
                    heapwatch::set_interval(after).unwrap();
                    assert!(second(&mut block, new));
                    let case = format!("{old} → {new}, {before} → {after}, align {align}");
                    assert!(block.holds(old as u64, old.min(new)), "{case}");
                    assert!(block.is_aligned(), "{case}");
                    let expected = |interval, size| {
                        if interval == SAMPLED {
                            size as f64
                        } else {
                            0.0
                        }
                    };
                    assert_eq!(held_before, expected(before, old), "{case}: before");
                    assert_eq!(
                        now_through(first as *const ()).live_bytes,
                        0.0,
                        "{case}: first"
                    );
                    assert_eq!(
                        now_through(second as *const ()).live_bytes,
                        expected(after, new),
                        "{case}: second"
                    );
                    block.free();
                    assert_eq!(
                        now_through(second as *const ()).live_bytes,
                        0.0,
                        "{case}: freed"
                    );
                }
            }
        }
    }
}

/// A large block stays where it is when it is resized unsampled. It must keep its contents, must
/// not be counted any more, and can be sampled again, shrink, move out and be freed.
#[test]
fn large_blocks_are_resized_unsampled_in_place() {
    let _turn = my_turn();
    for align in [1, 64] {
        for end in [100, 9 << 20] {
            heapwatch::set_interval(SAMPLED).unwrap();
            let mut block = first(Layout::from_size_align(1 << 20, align).unwrap());
            block.fill(3);
            let sampled_at = block.start;
            heapwatch::set_interval(UNSAMPLED).unwrap();
            assert!(second(&mut block, (1 << 20) - 5000));
            assert_eq!(block.start, sampled_at, "nothing was to be copied");
            for size in [3 << 20, 17 << 10, 5 << 20] {
                let kept = block.size().min(size).min(17 << 10);
                assert!(second(&mut block, size));
                assert!(block.holds(3, kept) && block.is_aligned(), "at {size}");
            }
            let (at_first, at_second) = (
                now_through(first as *const ()),
                now_through(second as *const ()),
            );
            assert_eq!((at_first.live_bytes, at_second.live_bytes), (0.0, 0.0));
            heapwatch::set_interval(SAMPLED).unwrap();
            assert!(second(&mut block, 6 << 20));
            assert_eq!(
                now_through(second as *const ()).live_bytes,
                f64::from(6 << 20)
            );
            heapwatch::set_interval(UNSAMPLED).unwrap();
            assert!(second(&mut block, end));
            assert!(block.holds(3, end.min(17 << 10)));
            assert_eq!(now_through(second as *const ()).live_bytes, 0.0);
            std::thread::spawn(move || block.free()).join().unwrap();
            let counts = now_through(second as *const ());
            assert_eq!((counts.live_objects, counts.live_bytes), (0.0, 0.0));
        }
    }
}

/// The interval may change between any two operations on a block.
#[test]
fn blocks_outlive_changes_of_interval() {
    let _turn = my_turn();
    let mut rng = common::Rng(11);
    let mut blocks: Vec<(Block, u64)> = Vec::with_capacity(256);
    for i in 0..20_000_u64 {
        if i % 50 == 0 {
            heapwatch::set_interval([0, 1, 64, 4096, 512 << 10][rng.below(5)]).unwrap();
        }
        if blocks.len() < 200 {
            let mut block = first(layout(1 + rng.below(2000)));
            block.fill(i);
            blocks.push((block, i));
        } else {
            let at = rng.below(blocks.len());
            let (mut block, seed) = blocks.swap_remove(at);
            let (old, new) = (block.size(), 1 + rng.below(3000));
            assert!(block.holds(seed, old));
            if rng.below(2) == 0 {
                assert!(second(&mut block, new));
                assert!(block.holds(seed, old.min(new)));
            }
            block.free();
        }
    }
    for (mut block, seed) in blocks {
        let size = block.size();
        assert!(block.holds(seed, size));
        block.free();
    }
    for function in [first as *const (), second as *const ()] {
        let counts = now_through(function);
        assert_eq!((counts.live_objects, counts.live_bytes), (0.0, 0.0));
    }
}

/// What was allocated while sampling was off is in no number, so none may be called exact afterwards.
#[test]
fn nothing_is_exact_once_sampling_was_off() {
    let _turn = my_turn();
    heapwatch::set_interval(UNSAMPLED).unwrap();
    heapwatch::set_interval(SAMPLED).unwrap();
    let snapshot = heapwatch::snapshot().unwrap();
    assert!(snapshot.info().was_off);
    let table = snapshot.top(heapwatch::report::By::Site).to_string();
    assert!(table.contains("sampling was off for a while"), "{table}");
    assert!(!table.contains("exact"), "{table}");
}
