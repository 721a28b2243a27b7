//! More live samples than their table holds.

mod common;

use std::hint::black_box;

use common::{Block, layout, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SIZE: usize = 64;

#[inline(never)]
fn hold(count: usize, into: &mut Vec<Block>) {
    for _ in 0..count {
        into.push(Block::alloc(layout(SIZE)).unwrap());
    }
    black_box(into);
}

/// As the table runs full the interval grows, so that it never is; nothing is lost, and the totals
/// stay right within their error.
#[test]
fn the_interval_doubles_and_totals_stay_right() {
    const STEPS: [usize; 4] = [900_000, 400_000, 1_200_000, 2_500_000];
    heapwatch::set_interval(1).unwrap();
    let mut blocks = Vec::with_capacity(STEPS.iter().sum());
    for (i, step) in STEPS.into_iter().enumerate() {
        hold(step, &mut blocks);
        let snapshot = heapwatch::snapshot().unwrap();
        let (info, counts) = (
            snapshot.info(),
            common::through(&snapshot, hold as *const ()),
        );
        let truth = (blocks.len() * SIZE) as f64;
        let sigma = counts.live_variance.sqrt();
        println!(
            "{} blocks: interval {}, {} samples, {:.0} ± {sigma:.0} of {truth}, {} bytes",
            blocks.len(),
            info.interval_bytes,
            counts.samples,
            counts.live_bytes,
            info.self_bytes
        );
        assert!(
            (counts.live_bytes - truth).abs() <= 4.5 * sigma,
            "{counts:?} for {truth}"
        );
        assert_eq!(info.dropped, [], "nothing is lost");
        assert!(info.self_bytes <= 66 << 20, "{}", info.self_bytes);
        let doubled = info.notes.iter().any(|note| note.contains("was doubled"));
        assert_eq!(doubled, i > 0, "{:?}", info.notes);
        assert_eq!(info.interval_bytes > 1, i > 0);
        assert_eq!(
            info.largest_interval_bytes,
            info.interval_bytes.max(512 << 10)
        );
    }
    for block in blocks {
        block.free();
    }
    let counts = now_through(hold as *const ());
    assert_eq!((counts.live_objects, counts.live_bytes), (0.0, 0.0));
    assert_eq!(counts.live_variance, 0.0);
}
