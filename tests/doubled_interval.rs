//! An interval that was doubled because the table of live samples ran full: it is what the owner set
//! again once there is room, and a forked child, whose table is empty, begins with it.

mod common;

use std::ffi::c_int;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use common::{Block, Counts, fork, layout, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SIZE: usize = 64;
/// More than the table has samples, 1,048,576: the interval doubles on the way.
const MANY: usize = 1_100_000;

#[inline(never)]
fn hold(count: usize, into: &mut Vec<Block>) {
    for _ in 0..count {
        into.push(Block::alloc(layout(SIZE)).unwrap());
    }
    black_box(into);
}

#[inline(never)]
fn hold_some(count: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count);
    for _ in 0..count {
        blocks.push(Block::alloc(layout(SIZE)).unwrap());
    }
    black_box(blocks)
}

fn interval() -> u64 {
    heapwatch::snapshot().unwrap().info().interval_bytes
}

/// Goes on as a program does, with snapshots, until the interval is this one.
fn becomes(wanted: u64, within: Duration) -> bool {
    let end = Instant::now() + within;
    while interval() != wanted {
        if Instant::now() > end {
            return false;
        }
        hold_some(100).into_iter().for_each(Block::free);
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Whether everything is counted, as at interval 1: how [`hold_some`] is, as an exit status.
fn all_is_counted() -> c_int {
    const COUNT: usize = 1000;
    let before = now_through(hold_some as *const ());
    let blocks = hold_some(COUNT);
    let counts = now_through(hold_some as *const ()) - before;
    let own = COUNT * size_of::<Block>();
    blocks.into_iter().for_each(Block::free);
    let expected = (COUNT + 1, COUNT * SIZE + own);
    c_int::from(counts != Counts::exact(expected, expected))
}

/// The exit status of a child that reports its interval, and whether everything is counted there.
fn fork_and_look() -> c_int {
    fork::in_child(|| {
        fork::end_if_it_hangs(20);
        if interval() == 1 { all_is_counted() } else { 2 }
    })
}

/// A burst of small blocks at a small interval would make all later reports coarser, here and in
/// children that have nothing to do with it.
#[test]
fn a_doubled_interval_halves_when_there_is_room() {
    heapwatch::set_interval(1).unwrap();
    let mut blocks = Vec::with_capacity(MANY);
    hold(MANY, &mut blocks);
    let doubled = interval();
    assert!(doubled > 1, "{MANY} samples are too few to double it");
    let in_child = fork_and_look();

    // With hysteresis: a little room is used up at once, and doubling it again costs as much.
    blocks.drain(..MANY / 50).for_each(Block::free);
    let soon = becomes(1, Duration::from_millis(300));
    blocks.drain(..).for_each(Block::free);
    let later = becomes(1, Duration::from_secs(5));
    println!("doubled to {doubled}; child {in_child}; halved soon {soon}, later {later}");
    assert_eq!(
        in_child, 0,
        "the child begins doubled (512), or does not count all (256)"
    );
    assert!(!soon, "halved with hardly any room");
    assert!(later, "still {} with all samples freed", interval());
    assert_eq!(
        all_is_counted(),
        0,
        "at interval 1 everything is counted again"
    );
}
