//! What runs inside malloc.
//!
//! The contract of everything here: it allocates only muted and only where a failed allocation is
//! survived; it does not format, panic or do I/O; it waits for no lock but the short ones of its
//! own tables; and under those it calls nothing but the inner allocator.

pub(crate) mod caches;
pub(crate) mod clock;
pub(crate) mod deaths;
mod elf;
pub(crate) mod fork;
pub(crate) mod inherit;
pub(crate) mod live;
pub(crate) mod loss;
mod memory;
pub(crate) mod modules;
pub(crate) mod region;
#[cfg(target_arch = "x86_64")]
mod rules;
pub(crate) mod sampler;
pub(crate) mod scopes;
pub(crate) mod settings;
pub(crate) mod sites;
pub(crate) mod stack;
pub(crate) mod sum;
pub(crate) mod supply;
pub(crate) mod thread;
pub(crate) mod unwind;

use std::sync::atomic::{AtomicU8, Ordering};

use live::LiveSample;
use loss::Loss;
use sum::Sum;
use thread::Muted;
use unwind::Mark;

const NEW: u8 = 0;
const STARTING: u8 = 1;
const STARTED: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NEW);

/// Sets everything up on the first slow path of the process. Other threads do not wait for it:
/// they go unsampled meanwhile, because the starting thread may wait for a lock that they hold.
fn started() -> bool {
    // Acquire: pairs with the release below; who sees "started" sees what was set up.
    match STATE.load(Ordering::Acquire) {
        STARTED => true,
        // Relaxed: nothing is read before the release below.
        NEW => {
            let mine = STATE
                .compare_exchange(NEW, STARTING, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
            if mine {
                start();
                STATE.store(STARTED, Ordering::Release);
            }
            mine
        }
        _ => false,
    }
}

#[cold]
fn start() {
    let _muted = Muted::new();
    clock::start();
    settings::read_environment();
    region::reserve();
    // After jemalloc has registered its own handlers, so that in a child it works before we do.
    region::warm_up();
    fork::watch();
    inherit::forget();
    loss::prepare();
    live::prepare();
    sites::prepare();
    modules::load();
    stack::learn_plumbing();
}

/// Settles this thread's countdown after it ran out. Returns the interval at which the allocation
/// is to be sampled, if it is.
pub(crate) fn due() -> Option<u32> {
    settle_deferred();
    let interval = if started() { interval_here() } else { 0 };
    thread::expire(interval)
}

/// The interval that this thread draws with: in a scope every allocation is sampled.
pub(crate) fn interval_here() -> u32 {
    if scopes::current().is_some() {
        1
    } else {
        settings::interval()
    }
}

/// Whether this thread's slow paths only tell the stacks that they see; see
/// [`stack::learn_plumbing`].
pub(crate) fn calibrating(mark: Mark) -> bool {
    let calibrating = thread::calibrating();
    if calibrating {
        stack::see(mark);
    }
    calibrating
}

/// Records a sampled block that exists and that nobody else knows yet.
pub(crate) fn allocated(address: usize, size: usize, interval: u32, mark: Mark) {
    let _muted = Muted::new();
    let stack = stack::capture(mark);
    if stack.frames().is_empty() {
        loss::count(Loss::NoStack);
    }
    let Some(site) = sites::find_or_insert(&stack) else {
        loss::count(Loss::NoMemory);
        return;
    };
    let sample = LiveSample {
        address,
        size,
        birth_ns: clock::now_ns(),
        interval,
        site,
    };
    // The live sample first: if there is no room for it, nothing was counted that would never be
    // counted off again.
    match live::insert(sample) {
        Ok(count) => {
            sites::allocated(site, &Sum::of(size, interval));
            scopes::allocated(&sample);
            settings::slow_down_when_full(count);
        }
        Err(reason) => loss::count(reason),
    }
}

/// Takes a sampled block's record out before the block is given back or resized: after that
/// another thread may own the address. `None` if the block was never recorded.
pub(crate) fn take(address: usize) -> Option<LiveSample> {
    let _muted = Muted::new();
    live::take(address)
}

/// Settles and gives back the blocks that muted threads freed.
pub(crate) fn settle_deferred() {
    region::settle_deferred(|address| {
        if let Some(sample) = take(address) {
            freed(&sample);
        }
    });
}

/// Counts a taken sample as freed.
pub(crate) fn freed(sample: &LiveSample) {
    let _muted = Muted::new();
    scopes::freed(sample);
    sites::freed(sample, clock::now_ns());
}

/// Puts a taken sample back as it was: its block could not be resized.
pub(crate) fn put_back(sample: LiveSample) {
    let _muted = Muted::new();
    if live::insert(sample).is_err() {
        // No room any more: counted as freed rather than live for ever.
        freed(&sample);
        loss::count(Loss::LiveTableFull);
    }
}

/// Bytes that everything here takes.
pub(crate) fn self_bytes() -> usize {
    table_bytes() + modules::bytes()
}

/// Bytes that share one bound. The lists of loaded objects have one of their own, so that a program that loads
/// many still has its sites told apart.
fn table_bytes() -> usize {
    sites::bytes() + live::bytes() + scopes::bytes() + caches::bytes()
}
