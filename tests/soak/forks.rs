//! Forks now and then. A child has only the forking thread, and whatever locks the others held stay locked in it.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::bare;
use super::common::{Block, Counts, Rng, layout, now_through};
use super::held::{Held, any_layout};
use super::program::{SEED, is_over};
use super::workers::{try_take, turn};

pub(crate) const EVERY: Duration = Duration::from_millis(400);
const BLOCKS: usize = 16;
const OF_CHILD: usize = 100;
/// A child that takes longer than this hangs in a lock of its parent's.
const PATIENCE_SECONDS: u32 = 30;

pub(crate) static FORKS: AtomicU64 = AtomicU64::new(0);

/// Until the program is over. All that it allocates, it allocates in here.
#[inline(never)]
pub(crate) fn fork_now_and_then() {
    let mut rng = Rng(!SEED);
    while !is_over() {
        {
            let _turn = turn();
            let blocks = of_parent(&mut rng);
            let fork = FORKS.fetch_add(1, Ordering::Relaxed) + 1;
            let (status, blocks) = fork_and_wait(blocks);
            assert!(
                status == 0,
                "fork {fork}: the child ended with exit {} ({}), signal {} (14 is a deadlock)",
                status >> 8,
                meaning(status >> 8),
                status & 127
            );
            blocks.into_iter().for_each(Held::free);
        }
        thread::sleep(EVERY);
    }
}

#[inline(never)]
fn of_parent(rng: &mut Rng) -> Vec<Held> {
    let mut blocks = Vec::with_capacity(BLOCKS);
    for _ in 0..BLOCKS {
        blocks.push(Held::obtain(any_layout(rng), rng));
    }
    blocks
}

/// Runs [`child`] in a fork, and returns its wait status.
fn fork_and_wait(blocks: Vec<Held>) -> (i32, Vec<Held>) {
    // SAFETY: the child uses the allocator, which is what is tested, and ends by _exit.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            // A deadlock ends the child by its signal.
            libc::alarm(PATIENCE_SECONDS);
            libc::_exit(child(blocks));
        }
        assert!(pid > 0, "no fork");
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        (status, blocks)
    }
}

const WRONG_CONTENTS: i32 = 10;
const NO_SNAPSHOT: i32 = 11;
const PARENTS_COUNTS: i32 = 12;
const WRONG_COUNTS: i32 = 13;

fn meaning(exit: i32) -> &'static str {
    match exit {
        WRONG_CONTENTS => "a block of its parent's has other contents",
        NO_SNAPSHOT => "no snapshot, or the interval could not be set",
        PARENTS_COUNTS => "it counts what its parent allocated",
        WRONG_COUNTS => "its own counts are not exact",
        _ => "?",
    }
}

/// What must hold in a child. Its answer is the exit status: a panic would take locks of its parent's.
fn child(mut blocks: Vec<Held>) -> i32 {
    blocks.extend((0..BLOCKS).filter_map(try_take));
    // Half of them stay, as in most children.
    for block in blocks.drain(BLOCKS / 2..) {
        if !block.is_whole() {
            return WRONG_CONTENTS;
        }
        block.free_unchecked();
    }
    if bare() {
        of_child().into_iter().for_each(Block::free);
        return 0;
    }
    if heapwatch::set_interval(1).is_err() || heapwatch::snapshot().is_err() {
        return NO_SNAPSHOT;
    }
    if now_through(of_parent as *const ()) != Counts::default() {
        return PARENTS_COUNTS;
    }
    let counted =
        |live, allocated| now_through(of_child as *const ()) == Counts::exact(live, allocated);
    let bytes: usize = (1..=OF_CHILD).sum::<usize>() + OF_CHILD * size_of::<Block>();
    let all = (OF_CHILD + 1, bytes);
    let mine = of_child();
    if !counted(all, all) {
        return WRONG_COUNTS;
    }
    mine.into_iter().for_each(Block::free);
    if counted((0, 0), all) {
        0
    } else {
        WRONG_COUNTS
    }
}

#[inline(never)]
fn of_child() -> Vec<Block> {
    let mut blocks = Vec::with_capacity(OF_CHILD);
    for size in 1..=OF_CHILD {
        blocks.push(Block::alloc(layout(size)).unwrap());
    }
    black_box(blocks)
}
