//! Full load from many threads, snapshots all the while, over an inner allocator that is itself a
//! user of the global allocator and aborts when it is entered twice.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use common::{Block, Counts, Rng, layout, sites, through};
use tikv_jemallocator::Jemalloc;

/// Every so many calls, allocates through the global allocator while it is inside of itself, and
/// frees what it allocated the time before.
const OWN_EVERY: u32 = 7;

struct Nesting;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static OWN: Cell<bool> = const { Cell::new(false) };
    static KEPT: Cell<*mut Vec<u64>> = const { Cell::new(std::ptr::null_mut()) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

static OWN_ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// Keeps a vector, or null, in place of the last one.
fn keep(own: *mut Vec<u64>) {
    let last = KEPT.replace(own);
    if !last.is_null() {
        // SAFETY: made by into_raw, and taken out just now.
        drop(unsafe { Box::from_raw(last) });
    }
}

impl Nesting {
    fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        if OWN.get() {
            return work();
        }
        if INSIDE.replace(true) {
            // Not a panic, which allocates.
            std::process::abort();
        }
        let result = work();
        CALLS.set(CALLS.get() + 1);
        if CALLS.get().is_multiple_of(OWN_EVERY) {
            OWN.set(true);
            let mut own: Vec<u64> = Vec::with_capacity(16);
            own.extend(0..100);
            std::hint::black_box(&own);
            // Kept until the next time: freed inside of another call, maybe one of heapwatch's own.
            keep(Box::into_raw(Box::new(own)));
            OWN.set(false);
            OWN_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        INSIDE.set(false);
        result
    }
}

// SAFETY: Jemalloc's blocks.
unsafe impl GlobalAlloc for Nesting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.enter(|| unsafe { Jemalloc.alloc(layout) })
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        self.enter(|| unsafe { Jemalloc.dealloc(ptr, layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.enter(|| unsafe { Jemalloc.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        self.enter(|| unsafe { Jemalloc.realloc(ptr, layout, new_size) })
    }
}

#[global_allocator]
static ALLOC: heapwatch::Alloc<Nesting> = heapwatch::Alloc::over(Nesting);

const WORKERS: usize = 64;
const SNAPSHOTTERS: usize = 3;
const TIME: Duration = Duration::from_secs(20);
/// Blocks that a worker holds at most, and about what it holds at the end.
const HELD: usize = 500;

static STOP: AtomicBool = AtomicBool::new(false);

#[inline(never)]
fn obtain(rng: &mut Rng) -> Block {
    let size = (16 << rng.below(11)) + rng.below(16);
    let mut block = if rng.below(4) == 0 {
        Block::zeroed(layout(size)).unwrap()
    } else {
        Block::alloc(layout(size)).unwrap()
    };
    if rng.below(8) == 0 {
        assert!(block.resize(size * 2));
    }
    // SAFETY: within the block.
    unsafe { block.start.write_bytes(size as u8, block.size()) };
    block
}

/// A few different stacks for each thread.
#[inline(never)]
fn work(depth: usize, rng: &mut Rng) -> Block {
    if depth == 0 {
        return std::hint::black_box(obtain(rng));
    }
    let block = work(depth - 1, rng);
    std::hint::black_box(block)
}

/// Allocates, gives half of it to a neighbour to free, frees what neighbours give.
fn worker(seed: u64, to: &SyncSender<Block>, from: &Receiver<Block>) -> Vec<Block> {
    let mut rng = Rng(seed);
    let mut held = Vec::with_capacity(HELD);
    while !STOP.load(Ordering::Relaxed) {
        let depth = rng.below(20);
        let block = work(depth, &mut rng);
        match rng.below(4) {
            0 if held.len() < HELD => held.push(block),
            1 | 2 => {
                if let Err(back) = to.try_send(block) {
                    match back {
                        std::sync::mpsc::TrySendError::Full(block)
                        | std::sync::mpsc::TrySendError::Disconnected(block) => block.free(),
                    }
                }
            }
            _ => block.free(),
        }
        for block in from.try_iter().take(4) {
            block.free();
        }
        if held.len() == HELD {
            for block in held.drain(..HELD / 2) {
                block.free();
            }
        }
    }
    held
}

/// A snapshot under load must be of one piece.
fn check(snapshot: &heapwatch::Snapshot) {
    let mut sum = Counts::default();
    for (stack, counts) in sites(snapshot) {
        assert!(
            counts.live_objects >= 0.0
                && counts.live_bytes >= 0.0
                && counts.live_variance >= 0.0
                && counts.freed_bytes <= counts.allocated_bytes
                && counts.freed_objects <= counts.allocated_objects
                && counts.samples > 0.0,
            "{counts:?} at {stack:x?}"
        );
        sum += counts;
    }
    let (live, allocated, freed) = (snapshot.live(), snapshot.allocated(), snapshot.freed());
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
    assert!(near(sum.live_bytes, live.bytes) && near(sum.live_objects, live.objects));
    assert!(near(sum.allocated_bytes, allocated.bytes) && near(sum.freed_bytes, freed.bytes));
    assert!(near(allocated.bytes - freed.bytes, live.bytes));
    assert_eq!(sum.samples, snapshot.info().samples as f64);
}

fn keep_taking_snapshots() -> usize {
    let mut taken = 0;
    let mut allocated = 0.0;
    while !STOP.load(Ordering::Relaxed) {
        let snapshot = heapwatch::snapshot().unwrap();
        check(&snapshot);
        assert!(
            snapshot.allocated().bytes >= allocated,
            "cumulative numbers never fall"
        );
        allocated = snapshot.allocated().bytes;
        taken += 1;
    }
    taken
}

/// A lock held while allocating, or taken in two orders, hangs here; a half-counted sample shows
/// as a negative number or as a live byte that nobody holds.
#[test]
fn sixty_four_threads_and_snapshots_all_the_while() {
    heapwatch::set_interval(4096).unwrap();
    let start = Instant::now();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..WORKERS).map(|_| sync_channel(100)).unzip();
    let snapshotters: Vec<_> = (0..SNAPSHOTTERS)
        .map(|_| thread::spawn(keep_taking_snapshots))
        .collect();
    let workers: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(i, from)| {
            let to = senders[(i + 1) % WORKERS].clone();
            thread::spawn(move || {
                let held = worker(i as u64, &to, &from);
                drop(to);
                // What is still on its way is freed here, once the neighbour has ended.
                for block in from {
                    block.free();
                }
                OWN.set(true);
                keep(std::ptr::null_mut());
                held
            })
        })
        .collect();
    drop(senders);
    // A hang must fail, not wait for the patience of whoever runs the tests.
    // SAFETY: alarm has no preconditions; its signal ends the process.
    unsafe { libc::alarm(TIME.as_secs() as u32 + 60) };
    thread::sleep(TIME);
    STOP.store(true, Ordering::Relaxed);
    let held: Vec<Block> = workers
        .into_iter()
        .flat_map(|worker| worker.join().unwrap())
        .collect();
    let taken: usize = snapshotters
        .into_iter()
        .map(|snapshotter| snapshotter.join().unwrap())
        .sum();
    // SAFETY: as above.
    unsafe { libc::alarm(0) };

    let snapshot = heapwatch::snapshot().unwrap();
    check(&snapshot);
    let counts = through(&snapshot, work as *const ());
    let truth: usize = held.iter().map(Block::size).sum();
    let sigma = counts.live_variance.sqrt();
    println!(
        "{taken} snapshots, {} samples, {} own allocations, {:.1} GB allocated, live {truth} \
         estimated {:.0} ± {sigma:.0}, {:?} {:?}, took {:?}",
        snapshot.info().samples,
        OWN_ALLOCATIONS.load(Ordering::Relaxed),
        counts.allocated_bytes / 1e9,
        counts.live_bytes,
        snapshot.info().dropped,
        snapshot.info().notes,
        start.elapsed(),
    );
    assert!(
        (counts.live_bytes - truth as f64).abs() <= 4.5 * sigma,
        "{counts:?} for {truth}"
    );
    assert!(taken > 20 && OWN_ALLOCATIONS.load(Ordering::Relaxed) > 1000);
    assert_eq!(snapshot.info().dropped, []);
    held.into_iter().for_each(Block::free);
    let counts = through(&heapwatch::snapshot().unwrap(), work as *const ());
    assert_eq!(
        (counts.live_objects, counts.live_bytes),
        (0.0, 0.0),
        "all was freed"
    );
}
