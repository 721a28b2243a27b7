//! Inner allocators that are correct by themselves, with locks and allocations of their own. Under
//! heapwatch none may wait for itself, nor see a free that is not its own.
//!
//! For a minute each: `cargo test --test inner_allocators -- --ignored`.

mod common;
#[path = "inner_allocators/tracker.rs"]
mod tracker;

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::either::{self, Either, bare, is_bare, set_interval};
use common::{child, my_turn, now_through, status};
use tracker::{Kind, Tracker};

#[global_allocator]
static ALLOC: Either<heapwatch::Alloc<Tracker>, Tracker> =
    Either::new(heapwatch::Alloc::over(Tracker), Tracker, either::BARE);

/// The last is without heapwatch, where the inner allocator must be correct.
const INTERVALS: [Option<u64>; 5] = [Some(1), Some(16), Some(512), Some(4096), None];
const INTERVAL: &str = "INTERVAL";
const SECONDS: &str = "SECONDS";

/// Far longer than a thread may have to wait for the machine.
const NO_PROGRESS: Duration = Duration::from_secs(5);

static STOP: AtomicBool = AtomicBool::new(false);
static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// Allocates in one of many stacks, so that the tables of sites and samples grow all the while.
#[inline(never)]
fn left(depth: u64, path: u64, into: &mut Vec<Box<[u8]>>) {
    turn(depth, path, into);
    black_box(depth);
}

#[inline(never)]
fn right(depth: u64, path: u64, into: &mut Vec<Box<[u8]>>) {
    turn(depth, path, into);
    black_box(depth + 1);
}

#[inline(always)]
fn turn(depth: u64, path: u64, into: &mut Vec<Box<[u8]>>) {
    if depth == 0 {
        into.push(vec![1; 1 + (path % 100) as usize].into());
    } else if path >> depth & 1 == 0 {
        left(depth - 1, path, into);
    } else {
        right(depth - 1, path, into);
    }
}

#[inline(never)]
fn work(seed: u64) {
    let mut rng = common::Rng(seed);
    let mut held = Vec::new();
    while !STOP.load(Ordering::Relaxed) {
        let random = rng.next();
        left(random % 18, random >> 8, &mut held);
        if held.len() as u64 > 20_000 + random % 1000 {
            held.clear();
        }
        if random.is_multiple_of(1000) {
            // Resized by the inner allocator's own means, and freed by another thread.
            let mut text = vec![1_u8; 1000];
            text.reserve_exact(100_000);
            thread::spawn(move || drop(black_box(text))).join().unwrap();
        }
        ROUNDS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says why and ends the process, without the allocator.
fn die(why: &str) -> ! {
    // SAFETY: plain system calls.
    unsafe {
        libc::write(2, why.as_ptr().cast(), why.len());
        libc::_exit(3)
    }
}

/// Waits until the end, and ends the process if no thread gets on any more.
fn watch_progress(end: Instant) {
    let (mut rounds, mut since) = (0, Instant::now());
    while Instant::now() < end || since.elapsed() > Duration::from_millis(500) {
        thread::sleep(Duration::from_millis(100));
        let now = ROUNDS.load(Ordering::Relaxed);
        if now != rounds {
            (rounds, since) = (now, Instant::now());
        } else if since.elapsed() > NO_PROGRESS {
            die("no thread gets on: a deadlock\n");
        }
    }
}

fn child_makes_progress() {
    let setting = |name| -> u64 { std::env::var(name).unwrap().parse().unwrap() };
    let seconds = setting(SECONDS);
    // Whatever else may hang, in starting a thread, say.
    // SAFETY: alarm has no preconditions.
    unsafe { libc::alarm(seconds as u32 + 20) };
    set_interval(setting(INTERVAL));
    let end = Instant::now() + Duration::from_secs(seconds);
    let threads: Vec<_> = (1..=4)
        .map(|seed| thread::spawn(move || work(seed)))
        .collect();
    watch_progress(end);
    STOP.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    if !is_bare() {
        let counts = now_through(work as *const ());
        assert!(counts.samples > 1000.0, "{counts:?}");
    }
    assert_eq!(
        tracker::unknown_frees(),
        0,
        "of blocks that are not the inner allocator's"
    );
    println!("{} rounds", ROUNDS.load(Ordering::Relaxed));
}

/// All intervals at once: the more threads wait, the more they meet.
fn makes_progress(test: &str, kind: Kind, seconds: u64) {
    if child::is_child() {
        return child_makes_progress();
    }
    let start = |interval: Option<u64>| {
        let mut command = child::command(test);
        command
            .env(tracker::KIND.to_str().unwrap(), kind.name())
            .env(INTERVAL, interval.unwrap_or(0).to_string())
            .env(SECONDS, seconds.to_string());
        if interval.is_none() {
            bare(&mut command);
        }
        (interval, child::spawn(&mut command))
    };
    let mut wrong = Vec::new();
    for (interval, child) in INTERVALS.map(start) {
        let (status, text) = child.end();
        if !status.success() || !text.contains("1 passed") {
            wrong.push(format!(
                "{kind:?} at interval {interval:?}: {status}\n{text}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// As most tracking allocators are: a map under a lock, its own allocations let through by a flag.
/// One thread holds that lock and wants one of heapwatch's, another the reverse.
#[test]
fn one_with_a_lock() {
    makes_progress("one_with_a_lock", Kind::Lock, 3);
}

/// One that is in its lock all the while, also where it allocates for itself.
#[test]
fn one_that_keeps_its_lock() {
    makes_progress("one_that_keeps_its_lock", Kind::LockThroughout, 3);
}

/// One that notes each free in memory that it allocates then.
#[test]
fn one_that_allocates_in_dealloc() {
    makes_progress("one_that_allocates_in_dealloc", Kind::AllocateInDealloc, 3);
}

#[test]
#[ignore = "a minute"]
fn one_with_a_lock_for_a_minute() {
    let _turn = my_turn();
    makes_progress("one_with_a_lock_for_a_minute", Kind::Lock, 60);
}

#[test]
#[ignore = "a minute"]
fn one_that_keeps_its_lock_for_a_minute() {
    let _turn = my_turn();
    let test = "one_that_keeps_its_lock_for_a_minute";
    makes_progress(test, Kind::LockThroughout, 60);
}

#[test]
#[ignore = "a minute"]
fn one_that_allocates_in_dealloc_for_a_minute() {
    let _turn = my_turn();
    let test = "one_that_allocates_in_dealloc_for_a_minute";
    makes_progress(test, Kind::AllocateInDealloc, 60);
}

/// Tells the peak of a process with a buffer that grows step by step.
fn child_grows() {
    if let Ok(interval) = std::env::var(INTERVAL) {
        set_interval(interval.parse().unwrap());
    }
    let mut buffer: Vec<u8> = Vec::with_capacity(1 << 20);
    while buffer.len() < 320 << 20 {
        buffer.extend_from_slice(&[7; 65_536]);
    }
    child::report(&[status::bytes("VmHWM") as f64]);
}

fn peak(test: &str, with: impl Fn(&mut Command) -> &mut Command) -> f64 {
    let mut command = child::command(test);
    command.env(tracker::KIND.to_str().unwrap(), Kind::None.name());
    child::figures(&child::run(with(&mut command)))[0]
}

/// glibc grows a large block by moving its pages. An allocator that copies it instead takes half as
/// much again at the peak, for which no container was sized.
#[test]
fn a_buffer_that_grows_over_system_peaks_as_without_heapwatch() {
    let test = "a_buffer_that_grows_over_system_peaks_as_without_heapwatch";
    if child::is_child() {
        return child_grows();
    }
    let bare = peak(test, bare);
    let watched = [
        ("default", peak(test, |command| command)),
        ("1", peak(test, |command| command.env(INTERVAL, "1"))),
    ];
    println!("peak {watched:?}, bare {bare}");
    for (interval, watched) in watched {
        let ratio = watched / bare;
        assert!(ratio <= 1.02, "interval {interval}: {watched}, bare {bare}");
    }
}
