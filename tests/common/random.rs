//! Random sequences of operations against a model that knows every block's contents.

use std::alloc::Layout;

use super::{Block, Rng, now_through};

struct Held {
    block: Block,
    seed: u64,
}

fn any_layout(rng: &mut Rng) -> Layout {
    // Sizes spread evenly over magnitudes, now and then a huge one.
    let magnitude = match rng.below(100) {
        0 => 24,
        1..=4 => 20,
        n => n % 16,
    };
    let size = (1 << magnitude) + rng.below(1 << magnitude);
    let align = match rng.below(50) {
        0 => 1 << rng.below(17),
        n => 1 << (n % 5),
    };
    Layout::from_size_align(size, align).unwrap()
}

/// Contents are compared in full for small blocks and at both ends of large ones.
fn holds(block: &mut Block, seed: u64, len: usize) -> bool {
    block.holds(seed, len)
}

/// Fills small blocks whole; of large ones the first 64 KiB.
const LOOKED_AT: usize = 64 << 10;

#[inline(never)]
pub fn operate(operations: usize, rng: &mut Rng) -> Vec<Block> {
    let mut held: Vec<Held> = Vec::with_capacity(512);
    for operation in 0..operations {
        let seed = rng.next();
        match rng.below(6) {
            0..=1 if held.len() < 400 => {
                let layout = any_layout(rng);
                let mut block = Block::alloc(layout).unwrap();
                fill(&mut block, seed);
                held.push(Held { block, seed });
            }
            2 if held.len() < 400 => {
                let layout = any_layout(rng);
                let mut block = Block::zeroed(layout).unwrap();
                assert!(
                    block.bytes().iter().all(|byte| *byte == 0),
                    "not zero: {layout:?} in operation {operation}"
                );
                fill(&mut block, seed);
                held.push(Held { block, seed });
            }
            3 | 4 if !held.is_empty() => {
                let at = rng.below(held.len());
                let Held { block, seed: old } = &mut held[at];
                let (size, new) = (block.size(), any_layout(rng).size());
                assert!(block.resize(new));
                let kept = size.min(new).min(LOOKED_AT);
                assert!(
                    holds(block, *old, kept),
                    "contents lost from {size} to {new} in operation {operation}"
                );
                fill(block, seed);
                held[at].seed = seed;
            }
            _ if !held.is_empty() => {
                let Held { mut block, seed } = held.swap_remove(rng.below(held.len()));
                let len = block.size().min(LOOKED_AT);
                assert!(
                    holds(&mut block, seed, len),
                    "overwritten before operation {operation}"
                );
                block.free();
            }
            _ => {}
        }
        if let Some(last) = held.last() {
            assert!(last.block.is_aligned(), "{:?}", last.block.layout);
        }
    }
    held.into_iter()
        .map(|Held { mut block, seed }| {
            let len = block.size().min(LOOKED_AT);
            assert!(holds(&mut block, seed, len), "overwritten at the end");
            block
        })
        .collect()
}

fn fill(block: &mut Block, seed: u64) {
    let size = block.size();
    if size <= LOOKED_AT {
        block.fill(seed);
    } else {
        let whole = block.layout;
        // SAFETY: a smaller size than the block's, used for filling only.
        block.layout = unsafe { Layout::from_size_align_unchecked(LOOKED_AT, whole.align()) };
        block.fill(seed);
        block.layout = whole;
        // SAFETY: within the block. So that it is dirty when it is used again.
        unsafe {
            block
                .start
                .add(LOOKED_AT)
                .write_bytes(0xA5, size - LOOKED_AT)
        };
    }
}

/// Random operations at several intervals: blocks keep their contents, zeroed ones are zero, and
/// once all are freed the sites show nothing live, whatever was sampled.
pub fn keeps_contents_and_settles(operations: usize) {
    for (seed, interval) in [1_u64, 64, 4096, 1 << 20, 0].into_iter().enumerate() {
        heapwatch::set_interval(interval).unwrap();
        let mut rng = Rng(seed as u64);
        let left = operate(operations, &mut rng);
        if interval == 1 {
            let counts = now_through(operate as *const ());
            let bytes: usize = left.iter().map(Block::size).sum();
            // The model's own table is a live object too.
            assert!(counts.live_objects >= left.len() as f64, "{counts:?}");
            assert!(counts.live_bytes >= bytes as f64, "{counts:?} for {bytes}");
        }
        for block in left {
            block.free();
        }
        let counts = now_through(operate as *const ());
        assert_eq!(
            (counts.live_objects, counts.live_bytes, counts.live_variance),
            (0.0, 0.0, 0.0),
            "interval {interval}: all was freed"
        );
    }
}
