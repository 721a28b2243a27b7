//! `fork` while another thread is just setting heapwatch up: in the child that thread is gone, and
//! nobody would ever finish what it began.

mod common;

use std::alloc::System;
use std::ffi::c_int;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::late::Late;
use common::{Block, child, fork, layout, now_through};

#[global_allocator]
static ALLOC: Late<heapwatch::Alloc<System>> = Late::new(heapwatch::Alloc::over(System));

/// As many forks as must have met the start, and as many as are tried for it.
const MET: usize = 60;
const ATTEMPTS: u64 = 4000;

/// Of one attempt's process, which its child sees as they were at the fork.
static BEGUN: AtomicBool = AtomicBool::new(false);
static ENDED: AtomicBool = AtomicBool::new(false);

/// Forks, and returns the exit status of what `work` is in the child; a signal as a negative one.
fn in_a_fork(work: impl FnOnce() -> c_int) -> c_int {
    let status = fork::in_child(|| {
        fork::end_if_it_hangs(10);
        work()
    });
    match libc::WIFEXITED(status) {
        true => libc::WEXITSTATUS(status),
        false => -libc::WTERMSIG(status),
    }
}

/// Heapwatch's start: the first allocation.
fn start() {
    BEGUN.store(true, Ordering::Relaxed);
    ALLOC.begin();
    drop(black_box(Box::new(1)));
    ENDED.store(true, Ordering::Relaxed);
}

#[inline(never)]
fn allocate() -> [Option<Block>; 20] {
    black_box([(); 20].map(|()| Block::alloc(layout(100))))
}

/// Added to the exit status of a child if the fork was called for during the start.
const MET_THE_START: c_int = 64;

/// What must hold after the fork, at whatever moment of the start it was: everything is counted.
fn child_of_the_fork(met: bool) -> c_int {
    ALLOC.begin();
    c_int::from(met) * MET_THE_START + what_is_wrong()
}

fn what_is_wrong() -> c_int {
    let held = allocate();
    if heapwatch::snapshot().is_err() {
        return 2;
    }
    let counts = now_through(allocate as *const ());
    if (counts.live_objects, counts.live_bytes) != (20.0, 2000.0) {
        return 3;
    }
    held.into_iter().flatten().for_each(Block::free);
    if now_through(allocate as *const ()).live_objects != 0.0 {
        return 4;
    }
    0
}

/// Nanoseconds that a start takes, in a process of its own.
fn duration_of_start() -> u64 {
    let millisecond = 1_000_000;
    let status = in_a_fork(|| {
        let before = Instant::now();
        start();
        // In steps of a twentieth of a millisecond.
        (before.elapsed().as_nanos() as u64 * 20 / millisecond).clamp(1, 200) as c_int
    });
    assert!(status > 0, "the start ended with {status}");
    status as u64 * millisecond / 20
}

/// How the thread that forks waits for its moment.
#[derive(Clone, Copy)]
enum Wait {
    /// To the nanosecond, where there is a core for each thread.
    Spinning,
    /// Where there is not: the other thread gets this one's core, and loses it when this one wakes.
    Sleeping,
}

/// In a process whose heapwatch has not started: starts it in a thread, and forks so much later.
fn attempt(delay: Duration, wait: Wait) -> c_int {
    let starter = thread::spawn(start);
    while !BEGUN.load(Ordering::Relaxed) {
        match wait {
            Wait::Spinning => std::hint::spin_loop(),
            Wait::Sleeping => thread::yield_now(),
        }
    }
    match wait {
        Wait::Spinning => {
            let before = Instant::now();
            while before.elapsed() < delay {
                std::hint::spin_loop();
            }
        }
        Wait::Sleeping => thread::sleep(delay),
    }
    let met = !ENDED.load(Ordering::Relaxed);
    let status = in_a_fork(|| child_of_the_fork(met));
    starter.join().unwrap();
    status
}

/// A program that forks early, as servers that become daemons do, would hang, or be without
/// heapwatch from then on.
#[test]
fn a_child_forked_during_the_start_starts_anew() {
    if !child::is_child() {
        // What this process does is not tested: a backtrace would take all of the early memory.
        ALLOC.begin();
        let mut command = child::command("a_child_forked_during_the_start_starts_anew");
        println!("{}", child::run(command.env("HEAPWATCH_INTERVAL", "1")));
        return;
    }
    let span = duration_of_start();
    let (mut met, mut wrong) = (0, Vec::new());
    for i in 0..ATTEMPTS {
        // All moments of the span, each once in so many attempts.
        let delay = Duration::from_nanos(span * (i * 7 % 32) / 32);
        let wait = [Wait::Spinning, Wait::Sleeping][i as usize / 32 % 2];
        let status = in_a_fork(|| attempt(delay, wait));
        met += usize::from(status >= MET_THE_START);
        if status % MET_THE_START != 0 {
            wrong.push((delay, status));
        }
        if met == MET {
            break;
        }
    }
    println!("{met} forks met the start, which takes {span} ns at most; wrong {wrong:?}");
    assert!(wrong.is_empty(), "{} of {met}: {wrong:?}", wrong.len());
    assert_eq!(met, MET, "too few forks met the start");
}
