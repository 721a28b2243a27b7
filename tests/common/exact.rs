//! A script of allocations on several threads whose every number is known beforehand.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use heapwatch::Snapshot;

use super::{Block, Counts, by_line, layout, through};

const THREADS: usize = 4;
const ROUNDS: usize = 10;
const PLAIN: [usize; 5] = [1, 16, 100, 4096, 1 << 20];
const ZEROED: [usize; 2] = [24, 5000];

#[inline(never)]
fn plain(into: &mut Vec<Block>) {
    for size in PLAIN {
        into.push(Block::alloc(layout(size)).unwrap());
    }
}

#[inline(never)]
fn zeroed(into: &mut Vec<Block>) {
    for size in ZEROED {
        let mut block = Block::zeroed(layout(size)).unwrap();
        assert!(block.bytes().iter().all(|byte| *byte == 0));
        into.push(block);
    }
}

#[inline(never)]
fn grow(block: &mut Block) {
    assert!(block.resize(block.size() * 3));
}

#[inline(never)]
fn shrink(block: &mut Block) {
    assert!(block.resize(block.size() / 64));
}

#[inline(never)]
fn fail(block: &mut Block) {
    assert!(!block.resize(isize::MAX as usize - 4096));
}

#[inline(never)]
fn two_lines(into: &mut Vec<Block>) {
    into.push(Block::alloc(layout(77)).unwrap());
    into.push(Block::alloc(layout(78)).unwrap());
}

/// What one thread does, given a way to have blocks freed by another.
fn script(elsewhere: &Sender<Block>) -> Vec<Block> {
    let mut kept = Vec::with_capacity(64);
    let mut blocks = Vec::with_capacity(64);
    for _ in 0..ROUNDS {
        plain(&mut blocks);
        zeroed(&mut blocks);
        two_lines(&mut blocks);
        for mut block in blocks.drain(..) {
            match block.size() {
                // Freed here, freed elsewhere, and kept.
                1 => block.free(),
                16 => elsewhere.send(block).unwrap(),
                100 => {
                    grow(&mut block);
                    elsewhere.send(block).unwrap();
                }
                4096 => {
                    shrink(&mut block);
                    kept.push(block);
                }
                0x10_0000 => {
                    fail(&mut block);
                    block.free();
                }
                24 => {
                    fail(&mut block);
                    kept.push(block);
                }
                5000 => block.free(),
                77 => block.free(),
                _ => kept.push(block),
            }
        }
    }
    kept
}

fn free_all(blocks: Receiver<Block>) {
    for block in blocks {
        block.free();
    }
}

/// Runs the script on several threads. Returns what they have kept.
pub fn script_on_threads() -> Vec<Block> {
    let (elsewhere, blocks) = channel();
    let freer = thread::spawn(move || free_all(blocks));
    let scripts: Vec<_> = (0..THREADS)
        .map(|_| {
            let elsewhere = elsewhere.clone();
            thread::spawn(move || script(&elsewhere))
        })
        .collect();
    drop(elsewhere);
    let kept: Vec<Block> = scripts
        .into_iter()
        .flat_map(|script| script.join().unwrap())
        .collect();
    freer.join().unwrap();
    kept
}

/// Sampling each allocation, every number must be exact, whichever threads allocate and free. May be called again:
/// what counts is what was added.
pub fn counts_are_exact() {
    heapwatch::set_interval(1).unwrap();
    let before = heapwatch::snapshot().unwrap();
    let kept = script_on_threads();
    let n = THREADS * ROUNDS;
    let since = Since::new(&before);
    // Of the plain blocks none is live at its first site: even the kept one was resized.
    check(
        &since,
        "plain",
        plain as *const (),
        (0, 0),
        (n * 5, n * PLAIN.iter().sum::<usize>()),
    );
    check(
        &since,
        "zeroed",
        zeroed as *const (),
        (n, n * 24),
        (n * 2, n * 5024),
    );
    check(&since, "grow", grow as *const (), (0, 0), (n, n * 300));
    check(
        &since,
        "shrink",
        shrink as *const (),
        (n, n * 64),
        (n, n * 64),
    );
    check(&since, "fail", fail as *const (), (0, 0), (0, 0));
    assert_eq!(
        since.by_line(two_lines as *const ()),
        [
            Counts::exact((0, 0), (n, n * 77)),
            Counts::exact((n, n * 78), (n, n * 78))
        ],
        "two calls in one function are two call sites"
    );

    for block in kept {
        block.free();
    }
    let since = Since::new(&before);
    check(
        &since,
        "zeroed, all freed",
        zeroed as *const (),
        (0, 0),
        (n * 2, n * 5024),
    );
    check(
        &since,
        "shrink, all freed",
        shrink as *const (),
        (0, 0),
        (n, n * 64),
    );
    assert_eq!(since.now.info().dropped, [], "nothing may be lost here");
}

/// What was counted between two snapshots.
struct Since<'s> {
    before: &'s Snapshot,
    now: Snapshot,
}

impl Since<'_> {
    fn new(before: &Snapshot) -> Since<'_> {
        let now = heapwatch::snapshot().unwrap();
        Since { before, now }
    }

    fn through(&self, function: *const ()) -> Counts {
        through(&self.now, function) - through(self.before, function)
    }

    fn by_line(&self, function: *const ()) -> Vec<Counts> {
        let before = by_line(self.before, function);
        by_line(&self.now, function)
            .into_iter()
            .map(|(line, now)| now - before.get(&line).copied().unwrap_or_default())
            .collect()
    }
}

fn check(
    since: &Since<'_>,
    name: &str,
    function: *const (),
    live: (usize, usize),
    allocated: (usize, usize),
) {
    assert_eq!(
        since.through(function),
        Counts::exact(live, allocated),
        "{name}"
    );
}

#[inline(never)]
fn push_to(vec: &mut Vec<u64>) {
    for i in 0..1000 {
        vec.push(i);
    }
}

#[inline(never)]
fn map_of(n: u64) -> std::collections::BTreeMap<u64, String> {
    let map = (0..n).map(|i| (i, format!("{i:040}"))).collect();
    // Something to come back for: a tail call would take this function off the stack.
    std::hint::black_box(map)
}

/// std's own collections go the same ways: a growing vector is one live object of its capacity.
pub fn collections_are_exact() {
    heapwatch::set_interval(1).unwrap();
    let before = heapwatch::snapshot().unwrap();
    let mut vec = Vec::new();
    push_to(&mut vec);
    let capacities = (2..=10).map(|log2| 8_usize << log2);
    check(
        &Since::new(&before),
        "vec",
        push_to as *const (),
        (1, 8 * vec.capacity()),
        (9, capacities.sum()),
    );
    drop(vec);
    let map = map_of(500);
    let counts = super::now_through(map_of as *const ());
    let strings: usize = map.values().map(String::capacity).sum();
    assert!(
        counts.live_objects >= 500.0 && counts.live_bytes >= strings as f64,
        "{counts:?}"
    );
    drop(map);
    let counts = super::now_through(map_of as *const ());
    assert_eq!(
        (counts.live_objects, counts.live_bytes),
        (0.0, 0.0),
        "a dropped map leaves nothing"
    );
}
