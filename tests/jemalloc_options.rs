//! What the owner of a program tells jemalloc to do holds for large blocks under heapwatch, too,
//! though at the default interval nearly all of them are sampled.

mod common;

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use common::either::{self, Either, bare};
use common::{child, my_turn, status};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOC: Either<heapwatch::Alloc, Jemalloc> =
    Either::new(heapwatch::Alloc::new(), Jemalloc, either::BARE);

const MIB: usize = 1 << 20;
const BLOCKS: usize = 20;
const SIZE: usize = 4 * MIB;

/// Where jemalloc reads its options, as built here.
const OPTIONS: &str = "_RJEM_MALLOC_CONF";
/// How long a child waits between freeing and looking.
const WAIT: &str = "WAIT_MILLISECONDS";

fn hold() -> Vec<Vec<u8>> {
    (0..BLOCKS).map(|_| black_box(vec![1; SIZE])).collect()
}

/// Runs the test with these options under heapwatch and without.
fn figures_of_both(test: &str, options: &str, wait: u64) -> (Vec<f64>, Vec<f64>) {
    let _turn = my_turn();
    let command = || {
        let mut command = child::command(test);
        command.env(OPTIONS, options).env(WAIT, wait.to_string());
        command
    };
    let watched = child::spawn(&mut command());
    let bare = child::spawn(bare(&mut command()));
    (
        child::figures(&watched.wait()),
        child::figures(&bare.wait()),
    )
}

/// Tells how much of what large blocks held is still resident after they were freed, in shares. Every
/// second one is kept: jemalloc purges large runs of freed pages at once, whatever it is told.
fn freed_child() {
    let wait = std::env::var(WAIT).unwrap().parse().unwrap();
    let mut freed = false;
    let (kept, freed): (Vec<_>, Vec<_>) = hold().into_iter().partition(|_| {
        freed = !freed;
        freed
    });
    let before = status::rss();
    assert!(before >= BLOCKS * SIZE);
    let held = freed.len() * SIZE;
    drop(freed);
    thread::sleep(Duration::from_millis(wait));
    let gone = before as f64 - status::rss() as f64;
    child::report(&[1.0 - gone / held as f64]);
    drop(kept);
}

/// The share that is left is as without heapwatch, which is first checked against `expected`, so
/// that the option is known to have an effect at all.
fn check_left(test: &str, options: &str, wait: u64, expected: std::ops::RangeInclusive<f64>) {
    let (watched, bare) = figures_of_both(test, options, wait);
    println!("{options}: {watched:.3?} is left, bare {bare:.3?}");
    assert!(expected.contains(&bare[0]), "{options}: bare {bare:?}");
    let difference = (watched[0] - bare[0]).abs();
    assert!(difference <= 0.03, "{options}: {watched:?}, bare {bare:?}");
}

/// A service that has set its decay so that a container's limit is kept would be killed.
#[test]
fn freed_large_blocks_are_gone_at_once_without_decay() {
    if child::is_child() {
        return freed_child();
    }
    let test = "freed_large_blocks_are_gone_at_once_without_decay";
    let now = -0.03..=0.03;
    check_left(test, "dirty_decay_ms:0,muzzy_decay_ms:0", 0, now.clone());
    check_left(test, "dirty_decay_ms:0", 0, now);
}

/// The other way round: who wants freed memory kept for the next burst keeps it.
#[test]
fn freed_large_blocks_stay_where_decay_is_off() {
    if child::is_child() {
        return freed_child();
    }
    let test = "freed_large_blocks_stay_where_decay_is_off";
    check_left(test, "dirty_decay_ms:-1", 0, 0.97..=1.03);
    // Whether muzzy pages are resident depends on how jemalloc was built.
    check_left(test, "dirty_decay_ms:0,muzzy_decay_ms:-1", 0, -0.03..=1.03);
}

/// An idle process gives memory back if, and only if, jemalloc's threads do it.
#[test]
fn background_threads_serve_large_blocks() {
    if child::is_child() {
        return freed_child();
    }
    let test = "background_threads_serve_large_blocks";
    let decay = "dirty_decay_ms:200,muzzy_decay_ms:0";
    let with_threads = format!("background_thread:true,{decay}");
    check_left(test, &with_threads, 1500, -0.03..=0.03);
    let without = format!("background_thread:false,{decay}");
    check_left(test, &without, 1500, 0.9..=1.03);
}

/// Tells how many of the large blocks are advised to be huge pages, and how many not to be.
fn huge_pages_child() {
    let blocks = hold();
    let mappings = status::mappings();
    let with = |flag| {
        let advised = |block: &&Vec<u8>| {
            let address = block.as_ptr() as usize;
            let mut mappings = mappings.iter();
            let own = mappings.find(|one| (one.start..one.end).contains(&address));
            own.unwrap().has(flag)
        };
        blocks.iter().filter(advised).count() as f64
    };
    child::report(&[with("hg"), with("nh")]);
    drop(blocks);
}

/// Huge pages make a large working set faster, or a small container too full: the owner decides.
#[test]
fn huge_pages_are_as_set() {
    if child::is_child() {
        return huge_pages_child();
    }
    let test = "huge_pages_are_as_set";
    let mut advised = 0.0;
    for options in ["thp:always", "thp:never", "thp:default"] {
        let (watched, bare) = figures_of_both(test, options, 0);
        println!("{options}: huge and not {watched:?}, bare {bare:?}");
        assert_eq!(watched, bare, "{options}");
        advised += bare[0] + bare[1];
    }
    assert!(advised > 0.0, "none of the options has an effect");
}
