//! As many sites as there is memory for, and then as many live samples.

mod common;

use std::hint::black_box;

use common::branches::branch;
use common::{Block, layout};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Two calls per level: 2^17 distinct stacks, and deep ones.
const DEPTH: u32 = 17;
const SIZE: usize = 40;

#[inline(never)]
fn visit_all() {
    let mut blocks = Vec::with_capacity(1);
    for path in 0..1 << DEPTH {
        assert_eq!(
            branch(path, DEPTH, SIZE, &mut blocks),
            DEPTH + path.count_ones()
        );
        blocks.pop().unwrap().free();
    }
}

#[inline(never)]
fn hold(count: usize, into: &mut Vec<Block>) {
    for _ in 0..count {
        into.push(Block::alloc(layout(SIZE)).unwrap());
    }
    black_box(into);
}

/// Each table within its own bound is not enough: together they must stay within 64 MiB, and still
/// lose nothing.
#[test]
fn both_tables_full_stay_within_their_memory() {
    const STEPS: [usize; 3] = [300_000, 500_000, 2_000_000];
    /// What the test itself has beside its blocks.
    const ELSE: f64 = 20_000.0;
    heapwatch::set_interval(1).unwrap();
    let mut blocks = Vec::with_capacity(STEPS.iter().sum());
    let before = heapwatch::snapshot().unwrap().live().bytes;
    visit_all();
    for step in STEPS {
        hold(step, &mut blocks);
        let snapshot = heapwatch::snapshot().unwrap();
        let (info, live) = (snapshot.info(), snapshot.live());
        // In the overflow site, as likely as not: so of all sites together.
        let off = live.bytes - before - (blocks.len() * SIZE) as f64;
        let sigma = live.bytes_variance.sqrt();
        println!(
            "{} sites, {} blocks: interval {}, {} samples, {off:.0} bytes off, σ {sigma:.0}, {} bytes",
            snapshot.sites().len(),
            blocks.len(),
            info.interval_bytes,
            info.samples,
            info.self_bytes
        );
        assert!(snapshot.sites().len() > 40_000);
        assert!(
            off.abs() <= 4.5 * sigma + ELSE,
            "{off} bytes off, σ {sigma}"
        );
        assert_eq!(info.dropped, [], "nothing is lost");
        assert!(info.self_bytes <= 66 << 20, "{}", info.self_bytes);
    }
    for block in blocks {
        block.free();
    }
    let left = heapwatch::snapshot().unwrap().live().bytes - before;
    assert!(left <= ELSE, "{left} bytes are left");
}
