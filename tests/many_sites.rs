//! More distinct stacks than the table of sites holds.

mod common;

use common::branches::branch;
use common::{Block, through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Two calls per level: 2^17 distinct stacks.
const DEPTH: u32 = 17;
const MAX_SITES: usize = 65_536;

#[inline(never)]
fn hold_all(into: &mut Vec<Block>) {
    for path in 0..1 << DEPTH {
        assert_eq!(branch(path, DEPTH, 40, into), DEPTH + path.count_ones());
    }
}

/// Unbounded tables have eaten the memory of services that they were to watch. Past the bound one
/// site stands for the rest, and the totals stay right.
#[test]
fn past_the_bound_one_site_stands_for_the_rest() {
    heapwatch::set_interval(1).unwrap();
    let mut blocks = Vec::with_capacity(1 << DEPTH);
    let before = heapwatch::snapshot().unwrap().live();
    hold_all(&mut blocks);
    let snapshot = heapwatch::snapshot().unwrap();
    let info = snapshot.info();
    let overflow: Vec<_> = snapshot
        .sites()
        .iter()
        .filter(|site| site.overflow)
        .collect();
    println!(
        "{} sites, {} objects in overflow, {} bytes, {:?}",
        snapshot.sites().len(),
        overflow.iter().map(|site| site.live.objects).sum::<f64>(),
        info.self_bytes,
        info.notes
    );
    assert!(snapshot.sites().len() <= MAX_SITES + 1);
    assert!(
        snapshot.sites().len() > MAX_SITES * 9 / 10,
        "the table is used before it is full"
    );
    assert_eq!(overflow.len(), 1);
    let objects = f64::from(1 << DEPTH);
    let kept = through(&snapshot, hold_all as *const ());
    let others = snapshot.live().objects - before.objects - objects;
    assert!(
        (0.0..50.0).contains(&others),
        "totals: {others} objects too many"
    );
    let rest = overflow[0].live.objects - (objects - kept.live_objects);
    assert!(
        (0.0..50.0).contains(&rest),
        "overflow: {rest} objects too many"
    );
    assert!(
        info.notes.iter().any(|note| note.contains("overflow site")),
        "{:?}",
        info.notes
    );
    assert_eq!(info.dropped, [], "no bytes are lost");
    assert!(info.self_bytes <= 66 << 20, "{}", info.self_bytes);
    for block in blocks {
        block.free();
    }
    let snapshot = heapwatch::snapshot().unwrap();
    let left = snapshot.live().objects - before.objects;
    assert!(
        (-5.0..50.0).contains(&left),
        "{left} objects are left, also in overflow"
    );
    let counts = through(&snapshot, hold_all as *const ());
    assert_eq!((counts.live_objects, counts.live_bytes), (0.0, 0.0));
}
