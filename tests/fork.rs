//! `fork` in a program whose other threads allocate and take snapshots all the while. The child
//! has only the forking thread, and whatever locks the others held stay locked in it.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Block, Rng, layout, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const FORKS: usize = 120;

static STOP: AtomicBool = AtomicBool::new(false);

#[inline(never)]
fn busy(seed: u64) {
    let mut rng = Rng(seed);
    let mut held = Vec::with_capacity(100);
    while !STOP.load(Ordering::Relaxed) {
        if held.len() < 100 {
            held.push(Block::alloc(layout(1 + rng.below(3000))).unwrap());
        } else {
            held.swap_remove(rng.below(100)).free();
        }
        if rng.below(20_000) == 0 {
            std::hint::black_box(heapwatch::snapshot().unwrap());
        }
    }
    held.into_iter().for_each(Block::free);
}

/// Holds the loader's lock about half of the time, as a thread that loads libraries or unwinds an
/// exception may at the moment of a fork.
fn busy_with_the_loader() {
    unsafe extern "C" fn look(
        _: *mut libc::dl_phdr_info,
        _: usize,
        _: *mut std::ffi::c_void,
    ) -> std::ffi::c_int {
        std::hint::spin_loop();
        0
    }
    while !STOP.load(Ordering::Relaxed) {
        // SAFETY: the callback looks at nothing.
        unsafe { libc::dl_iterate_phdr(Some(look), std::ptr::null_mut()) };
    }
}

#[inline(never)]
fn of_parent() -> Vec<Block> {
    let mut blocks = Vec::with_capacity(50);
    for i in 0..50 {
        let mut block = Block::alloc(layout(100 + i)).unwrap();
        block.fill(i as u64);
        blocks.push(block);
    }
    blocks
}

#[inline(never)]
fn of_child(count: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count);
    for _ in 0..count {
        blocks.push(Block::alloc(layout(333)).unwrap());
    }
    std::hint::black_box(blocks)
}

/// What must hold in a child; its answer is the exit status, as a panic would use the parent's
/// test harness.
fn child(blocks: Vec<Block>, generations: usize) -> i32 {
    // A deadlock ends the child by its signal.
    // SAFETY: alarm has no preconditions.
    unsafe { libc::alarm(20) };
    let Ok(snapshot) = heapwatch::snapshot() else {
        return 10;
    };
    // Whatever was allocated since the fork is little.
    if snapshot.allocated().bytes > 100_000.0 || snapshot.live().objects > 100.0 {
        return 11;
    }
    if heapwatch::set_interval(1).is_err() {
        return 12;
    }
    for (i, mut block) in blocks.into_iter().enumerate() {
        if !block.holds(i as u64, 100 + i) {
            return 13;
        }
        if i % 3 == 0 && !block.resize(1000) {
            return 14;
        }
        block.free();
    }
    let mine = of_child(100);
    let counts = now_through(of_child as *const ());
    if (counts.live_objects, counts.live_bytes)
        != (101.0, 33_300.0 + 100.0 * size_of::<Block>() as f64)
    {
        return 15;
    }
    if now_through(of_parent as *const ()) != common::Counts::default() {
        return 16;
    }
    // Threads of the child's own.
    let other = thread::spawn(|| of_child(10).into_iter().for_each(Block::free));
    if other.join().is_err() {
        return 17;
    }
    if generations > 0 {
        let status = fork_and_wait(mine, generations - 1);
        return if status == 0 { 0 } else { 100 + (status >> 8) };
    }
    mine.into_iter().for_each(Block::free);
    let counts = now_through(of_child as *const ());
    if (counts.live_objects, counts.live_bytes) != (0.0, 0.0) {
        return 18;
    }
    0
}

/// Forks, runs [`child`] there on these blocks, and returns its wait status.
fn fork_and_wait(mut blocks: Vec<Block>, generations: usize) -> i32 {
    for (i, block) in blocks.iter_mut().enumerate() {
        assert!(block.resize(100 + i));
        block.fill(i as u64);
    }
    // SAFETY: the child uses the allocator, which is what is tested, and ends by _exit.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(child(blocks, generations));
        }
        assert!(pid > 0);
        let mut status = 0;
        let end = Instant::now() + Duration::from_secs(60);
        while libc::waitpid(pid, &raw mut status, libc::WNOHANG) == 0 {
            if Instant::now() > end {
                libc::kill(pid, libc::SIGKILL);
            }
            thread::sleep(Duration::from_micros(500));
        }
        for block in blocks {
            block.free();
        }
        status
    }
}

/// A child that hangs in a lock of its parent's, or counts its parent's samples, fails here.
#[test]
fn children_start_anew() {
    heapwatch::set_interval(64).unwrap();
    let mut threads: Vec<_> = (0..4).map(|i| thread::spawn(move || busy(i))).collect();
    threads.push(thread::spawn(busy_with_the_loader));
    for i in 0..FORKS {
        heapwatch::set_interval([1, 64, 4096][i % 3]).unwrap();
        let generations = if i % 10 == 0 { 3 } else { 0 };
        let status = fork_and_wait(of_parent(), generations);
        assert_eq!(
            status,
            0,
            "fork {i}: exit {} signal {} (14 is a deadlock)",
            status >> 8,
            status & 127
        );
    }
    STOP.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    let counts = now_through(busy as *const ());
    assert_eq!(
        (counts.live_objects, counts.live_bytes),
        (0.0, 0.0),
        "the parent's are whole"
    );
    assert_eq!(now_through(of_parent as *const ()).live_bytes, 0.0);
}
