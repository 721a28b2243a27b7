//! What a program has freed is gone from its resident memory as soon as it would be without
//! heapwatch: after a burst of large buffers, and after one of small blocks at interval 1.
//!
//! The long forms: `cargo test --test memory_returns -- --ignored`.

mod common;

use std::mem::MaybeUninit;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::either::{self, Either, set_interval};
use common::{Block, Rng, child, layout, my_turn, status};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOC: Either<heapwatch::Alloc, Jemalloc> =
    Either::new(heapwatch::Alloc::new(), Jemalloc, either::BARE);

const MIB: usize = 1 << 20;

/// How far above bare jemalloc's a resident set may be: 3 %, or 4 MiB if that is more.
const SHARE: f64 = 0.03;
const LEAST: f64 = 4.0 * MIB as f64;
/// jemalloc gives pages back in steps, when an allocation happens to meet the time for one. A busy machine may
/// delay those of one process by this much, and half way through the decay 30 MiB go each second.
const DELAY: Duration = Duration::from_millis(500);

/// What becomes of the threads that made the burst.
const BURSTS: [&str; 3] = ["threads stay", "threads exit", "main thread"];

const THREADS: usize = 4;
/// Bytes that each thread's burst has, and the main thread's as many times.
const BURST_BYTES: usize = 80 * MIB;

/// Settings of a child.
const BURST: &str = "BURST";
const SWITCHED_OFF: &str = "BURST_SWITCHED_OFF";
const SECONDS: &str = "BURST_SECONDS";

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Many buffers of 2 to 6 units, of which every second one is kept.
fn burst(thread: usize, unit: usize, all_made: &Barrier) -> Vec<Vec<u8>> {
    let buffers: Vec<Vec<u8>> = (0..BURST_BYTES / 4 / unit)
        .map(|i| vec![1; (2 + (i + thread) % 5) * unit])
        .collect();
    all_made.wait();
    let kept = buffers.into_iter().enumerate().filter(|(i, _)| i % 2 == 0);
    kept.map(|(_, buffer)| buffer).collect()
}

/// Small allocations, enough of them that jemalloc looks often for what has decayed: it does so each
/// thousand calls or so.
fn small_work(seed: u64, until: Instant) {
    let mut rng = Rng(seed);
    let mut ring: Vec<Vec<u8>> = vec![vec![1; 64]; 5000];
    while Instant::now() < until {
        for _ in 0..100 {
            let at = rng.below(ring.len());
            ring[at] = vec![2; 16 + rng.below(2000)];
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The resident set a [`DELAY`] before each of these moments after the burst, and at it.
fn observe(start: Instant, seconds: &[u64]) -> Vec<f64> {
    let observe_at = |at: Instant| {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        status::rss() as f64
    };
    let moments = seconds.iter().flat_map(|&after| {
        let at = start + Duration::from_secs(after);
        [at - DELAY, at]
    });
    moments.map(observe_at).collect()
}

fn switch_off_if_told() {
    if setting(SWITCHED_OFF).is_some() {
        set_interval(0);
    }
}

fn burst_child() {
    let seconds: Vec<u64> = setting(SECONDS)
        .unwrap()
        .split(' ')
        .map(|second| second.parse().unwrap())
        .collect();
    let end = Duration::from_secs(seconds[seconds.len() - 1] + 1);
    let figures = match setting(BURST).unwrap().as_str() {
        "threads stay" => burst_of_threads(true, end, &seconds),
        "threads exit" => burst_of_threads(false, end, &seconds),
        _ => burst_of_main_thread(end, &seconds),
    };
    child::report(&figures);
}

fn burst_of_threads(stay: bool, end: Duration, seconds: &[u64]) -> Vec<f64> {
    static ALL_MADE: Barrier = Barrier::new(THREADS);
    static ALL_FREED: Barrier = Barrier::new(THREADS + 1);
    let makers: Vec<_> = (0..THREADS)
        .map(|thread| {
            thread::spawn(move || {
                let kept = burst(thread, MIB, &ALL_MADE);
                ALL_FREED.wait();
                if stay {
                    small_work(thread as u64, Instant::now() + end);
                }
                kept
            })
        })
        .collect();
    ALL_FREED.wait();
    let start = Instant::now();
    switch_off_if_told();
    let others: Vec<_> = (0..if stay { 0 } else { 2 })
        .map(|seed| thread::spawn(move || small_work(seed, start + end)))
        .collect();
    let figures = observe(start, seconds);
    others.into_iter().for_each(|other| other.join().unwrap());
    for maker in makers {
        drop(maker.join().unwrap());
    }
    figures
}

/// Of smaller buffers.
fn burst_of_main_thread(end: Duration, seconds: &[u64]) -> Vec<f64> {
    let made = Barrier::new(1);
    let kept: Vec<_> = (0..THREADS)
        .map(|thread| burst(thread, MIB / 4, &made))
        .collect();
    let start = Instant::now();
    switch_off_if_told();
    let figures = thread::scope(|scope| {
        let observer = scope.spawn(|| observe(start, seconds));
        small_work(0, start + end);
        observer.join().unwrap()
    });
    drop(kept);
    figures
}

fn mib(bytes: f64) -> f64 {
    (bytes / MIB as f64).round()
}

/// Runs all bursts at once, so that what else the machine does is the same for both sides.
fn compare_bursts(test: &str, seconds: &str) {
    let _turn = my_turn();
    let start = |burst: &str, with: &[&str]| {
        let mut command = child::command(test);
        command.env(BURST, burst).env(SECONDS, seconds);
        command.envs(with.iter().map(|name| (*name, "1")));
        child::spawn(&mut command)
    };
    let bare = [either::BARE.to_str().unwrap()];
    let children: Vec<_> = BURSTS
        .into_iter()
        .map(|burst| {
            // Decay goes in steps: two runs of one program differ by one, too.
            let bares = [start(burst, &bare), start(burst, &bare)];
            (
                burst,
                bares,
                start(burst, &[]),
                start(burst, &[SWITCHED_OFF]),
            )
        })
        .collect();
    let mut wrong = Vec::new();
    for (burst, bares, watched, switched_off) in children {
        let [one, other] = bares.map(|bare| child::figures(&bare.wait()));
        // The highest of both runs, now and a delay before.
        let bare: Vec<f64> = one
            .chunks_exact(2)
            .zip(other.chunks_exact(2))
            .map(|(one, other)| one.iter().chain(other).copied().fold(0.0, f64::max))
            .collect();
        for (case, child) in [("on", watched), ("switched off", switched_off)] {
            let figures = child::figures(&child.wait());
            let watched = figures.iter().skip(1).step_by(2);
            for ((bare, watched), at) in bare.iter().zip(watched).zip(seconds.split(' ')) {
                let line = format!(
                    "{burst}, sampling {case}, {at} s after: {} MiB, bare up to {} MiB",
                    mib(*watched),
                    mib(*bare)
                );
                println!("{line}");
                if watched - bare > LEAST.max(bare * SHARE) {
                    wrong.push(line);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A service that was busy for a moment, and a memory graph that stays up under heapwatch only.
#[test]
fn a_burst_is_gone_as_soon_as_without_heapwatch() {
    if child::is_child() {
        return burst_child();
    }
    compare_bursts("a_burst_is_gone_as_soon_as_without_heapwatch", "5 9");
}

/// As above until all decay is over.
#[test]
#[ignore = "a minute"]
fn a_burst_is_gone_as_soon_as_without_heapwatch_for_a_minute() {
    if child::is_child() {
        return burst_child();
    }
    compare_bursts(
        "a_burst_is_gone_as_soon_as_without_heapwatch_for_a_minute",
        "5 10 20 60",
    );
}

/// How much the resident set may be above its start after small blocks were freed.
const ABOVE_START: usize = 16 * MIB;
/// What small blocks hold at the peak.
const PEAK: usize = 300 * MIB;

const TOTAL_MIB: &str = "SMALL_BLOCKS_TOTAL_MIB";
const WITH_WATCH: &str = "SMALL_BLOCKS_WATCHED";

/// Room for a list of all live blocks, which is resident from the start.
fn list() -> Vec<Block> {
    let mut list = Vec::with_capacity(PEAK / 900);
    list.spare_capacity_mut().fill_with(MaybeUninit::zeroed);
    list
}

/// Blocks of 16 to 2000 bytes until so much was allocated in all, each filled, freed at random once
/// [`PEAK`] is live, and all of them in the end.
fn small_blocks(total: usize, live: &mut Vec<Block>) {
    let mut rng = Rng(1);
    let (mut allocated, mut held) = (0, 0);
    while allocated < total {
        let block = Block::alloc(layout(16 + rng.below(1984))).unwrap();
        // SAFETY: within the block.
        unsafe { block.start.write_bytes(1, block.size()) };
        allocated += block.size();
        held += block.size();
        live.push(block);
        while held > PEAK {
            let block = live.swap_remove(rng.below(live.len()));
            held -= block.size();
            block.free();
        }
    }
    assert!(live.len() > PEAK / 1100 && live.len() < PEAK / 900);
    while !live.is_empty() {
        live.swap_remove(rng.below(live.len())).free();
    }
}

fn small_blocks_child() {
    set_interval(1);
    if setting(WITH_WATCH).is_some() {
        heapwatch::watch().unwrap();
    }
    let total: usize = setting(TOTAL_MIB).unwrap().parse().unwrap();
    let mut live = list();
    let before = status::rss();
    small_blocks(total * MIB, &mut live);
    // From here on nothing is allocated or freed, so that nothing but the passing of time and the
    // thread of `watch` can give memory back.
    let seconds = setting(SECONDS).unwrap().parse().unwrap();
    thread::sleep(Duration::from_secs(seconds));
    child::report(&[before as f64, status::rss() as f64]);
}

fn compare_small_blocks(test: &str, total_mib: usize, seconds: u64, tick: &str) {
    let _turn = my_turn();
    let mut command = child::command(test);
    command
        .env(TOTAL_MIB, total_mib.to_string())
        .env(SECONDS, seconds.to_string())
        .env("HEAPWATCH_TICK", tick);
    let idle = child::spawn(&mut command);
    let watched = child::spawn(command.env(WITH_WATCH, "1"));
    let mut wrong = Vec::new();
    for (case, child) in [("idle", idle), ("with watch", watched)] {
        let figures = child::figures(&child.wait());
        let (before, after) = (figures[0], figures[1]);
        let line = format!(
            "{case}: {} MiB at the start, {} MiB {seconds} s after",
            mib(before),
            mib(after)
        );
        println!("{line}");
        if after - before > ABOVE_START as f64 {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Memory that a test run or a short look at interval 1 took would stay with the service.
#[test]
fn small_blocks_at_interval_1_are_gone() {
    if child::is_child() {
        return small_blocks_child();
    }
    compare_small_blocks("small_blocks_at_interval_1_are_gone", 512, 2, "0.5");
}

/// As above with 2 GiB, which use each cell of the region several times.
#[test]
#[ignore = "a minute"]
fn two_gib_of_small_blocks_at_interval_1_are_gone() {
    if child::is_child() {
        return small_blocks_child();
    }
    let test = "two_gib_of_small_blocks_at_interval_1_are_gone";
    compare_small_blocks(test, 2048, 30, "5");
}
