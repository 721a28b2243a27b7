//! What runs inside malloc: for a sampled allocation a block, a walk and two short table operations,
//! and two of these for its free.
//!
//! The contract of everything here: memory comes from mappings of its own ([`own`]), never from the
//! global or the inner allocator; it does not format, panic or do I/O; it waits for no lock but the
//! short ones of its own tables, under which nothing foreign is called; and it runs with enough stack
//! ([`room`]). What takes longer is done by [`maintain`].
#![cfg_attr(
    any(
        heapwatch_fallback_unwinder,
        not(any(target_arch = "x86_64", target_arch = "aarch64"))
    ),
    allow(dead_code, reason = "the platform's unwinder needs less than our own")
)]

mod budget;
mod cells;
pub(crate) mod clock;
pub(crate) mod deaths;
mod elf;
mod filter;
pub(crate) mod fork;
mod gone;
pub(crate) mod inherit;
pub(crate) mod live;
mod loader;
pub(crate) mod loss;
mod memory;
mod module_copies;
mod module_list;
pub(crate) mod modules;
mod own;
mod pool;
mod readers;
pub(crate) mod region;
mod room;
mod sample;
pub(crate) mod sampler;
pub(crate) mod scopes;
pub(crate) mod settings;
mod site;
mod site_id;
pub(crate) mod sites;
pub(crate) mod stack;
mod start;
pub(crate) mod sum;
mod sync;
pub(crate) mod thread;
pub(crate) mod unwind;
mod valgrind;

use std::alloc::Layout;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::Error;
use fork::Turn;
use live::LiveSample;
use loss::Loss;
use modules::ListReader;
use start::Start;
use sum::Sum;
use thread::Muted;
use unwind::Registers;

/// Why nothing is counted, where nothing is.
pub(crate) fn absent() -> Error {
    Error::NotInstalled
}

static START: Start = Start::new();

/// Sets everything up on the first slow path of the process. Other threads go unsampled meanwhile.
fn started() -> bool {
    START.is_done(std::process::id, start)
}

fn start() {
    let _muted = Muted::new();
    clock::start();
    // Before there are locks, which a child would find locked.
    fork::watch();
    settings::read_environment();
    memory::prepare();
    region::prepare();
    inherit::forget();
    loss::prepare();
    live::prepare();
    sites::prepare();
    modules::load();
    unwind::prepare();
    stack::learn_plumbing();
    fork::started();
}

/// Settles this thread's countdown after it ran out. Returns the interval at which the allocation
/// is to be sampled, if it is.
pub(crate) fn draw(here: &Registers) -> Option<u32> {
    if thread::calibrating() {
        stack::see(here);
        return None;
    }
    let drawn = room::briefly(|| {
        let interval = if started() { interval_here() } else { 0 };
        thread::expire(interval)
    });
    drawn.unwrap_or_else(|| {
        loss::count(Loss::NoMemory);
        None
    })
}

/// The interval that this thread draws with: in a scope every allocation is sampled.
pub(crate) fn interval_here() -> u32 {
    if scopes::current().is_some() {
        1
    } else {
        settings::interval()
    }
}

/// A sampled small block in the region, recorded; null if there can be none.
pub(crate) fn allocate(here: &Registers, layout: Layout, zeroed: bool, interval: u32) -> *mut u8 {
    let block = room::with(|| {
        let block = region::allocate(layout, zeroed);
        if !block.is_null() {
            record(here, block.addr(), layout.size(), interval);
        }
        block
    });
    block.unwrap_or(ptr::null_mut())
}

/// Counts a block that [`allocate`] could not give.
pub(crate) fn count_refused() {
    loss::count(region::why_not());
}

/// Records a sampled block that exists and that nobody else knows yet.
pub(crate) fn allocated(here: &Registers, address: usize, size: usize, interval: u32) {
    if room::with(|| record(here, address, size, interval)).is_none() {
        loss::count(Loss::NoMemory);
    }
}

fn record(here: &Registers, address: usize, size: usize, interval: u32) {
    let now_ns = clock::now_ns();
    let sum = Sum::of(size, interval);
    let Some(site) = stack::with_captured(here, |stack| {
        if stack.frames.is_empty() {
            loss::count(Loss::NoStack);
        }
        sites::count(stack, &sum)
    }) else {
        loss::count(Loss::NoMemory);
        return;
    };
    let sample = LiveSample {
        address,
        size,
        birth_ns: now_ns,
        interval,
        site,
    };
    match live::insert(sample) {
        Ok(count) => {
            scopes::allocated(&sample);
            settings::slow_down_when_full(count);
        }
        Err(reason) => {
            // What is not in the table would never be counted off again.
            sites::uncount(site, &sum);
            loss::count(reason);
        }
    }
    maintain_if_late(now_ns);
}

/// Takes a sampled block's record out before the block is given back or resized: after that
/// another thread may own the address. `None` if the block has none.
pub(crate) fn take(address: usize) -> Option<LiveSample> {
    room::with(|| live::take(address)).flatten()
}

/// Takes the record of a block out and counts it as freed.
pub(crate) fn settle(address: usize) {
    room::with(|| {
        if let Some(sample) = live::take(address) {
            count_freed(&sample);
        }
    });
}

/// Counts a taken sample as freed.
pub(crate) fn freed(sample: &LiveSample) {
    room::with(|| count_freed(sample));
}

fn count_freed(sample: &LiveSample) {
    scopes::freed(sample);
    sites::freed(sample, clock::now_ns());
}

/// Puts a taken sample back as it was: its block could not be resized.
pub(crate) fn put_back(sample: LiveSample) {
    room::with(|| {
        if live::insert(sample).is_err() {
            // No room any more: counted as freed rather than live for good.
            count_freed(&sample);
            loss::count(Loss::LiveTableFull);
        }
    });
}

/// Bytes that everything here takes: of all its mappings, and what the region needs for itself.
pub(crate) fn self_bytes() -> usize {
    own::mapped_bytes() + region::bytes()
}

/// When maintenance was done last, in nanoseconds of [`clock`].
static MAINTAINED_NS: AtomicU64 = AtomicU64::new(0);
/// Sites of unloaded code, with nothing live, that stay in reports.
const MAX_DEAD_SITES: usize = 256;
/// One thread at a time.
static MAINTAINING: Turn = Turn::new();

/// Does what need not happen inside malloc: learns of code that was loaded or unloaded, enlarges
/// tables that will soon be full, gives memory back. Called at each tick and for each snapshot; takes
/// the loader's lock, so never inside malloc.
pub(crate) fn maintain() {
    modules::refresh();
    reclaim_unloaded();
    maintain_tables(clock::now_ns());
}

/// The part of it that may be done inside malloc, where no thread does it: at most once in two ticks.
fn maintain_if_late(now_ns: u64) {
    let last = MAINTAINED_NS.load(Ordering::Relaxed);
    if now_ns.saturating_sub(last) > 2 * settings::tick_ns() {
        maintain_tables(now_ns);
    }
}

fn maintain_tables(now_ns: u64) {
    let Some(_turn) = MAINTAINING.start() else {
        return;
    };
    MAINTAINED_NS.store(now_ns, Ordering::Relaxed);
    modules::maintain();
    unwind::maintain();
    live::maintain();
    settings::speed_up_when_empty(live::fullness());
    region::maintain();
}

/// Removes sites of unloaded code if there are many. Looked at once per unloading: to look at all
/// stacks takes long.
fn reclaim_unloaded() {
    static LOOKED_AT: AtomicUsize = AtomicUsize::new(0);
    let unloaded = modules::unloaded();
    // Relaxed: at worst two threads look.
    if LOOKED_AT.load(Ordering::Relaxed) == unloaded {
        return;
    }
    // A frame was in an object when its stack was walked. By the list of this moment: code that was
    // loaded meanwhile is in it.
    let reading = ListReader::start();
    let is_gone = |address| {
        let list = reading.current();
        list.is_some_and(|list| list.find(address).is_none())
    };
    if sites::reclaim(MAX_DEAD_SITES, is_gone) {
        LOOKED_AT.store(unloaded, Ordering::Relaxed);
    }
}
