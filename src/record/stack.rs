//! The stack of an allocation: return addresses, innermost first, without the allocator's frames.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::config::MAX_DEPTH;

use super::fork::PerProcess;
use super::memory::{PageCopies, StackMemory};
use super::pool::Pool;
use super::sync::lock;
use super::unwind::{self, End, LastWalk, Registers};
use super::{own, thread};

/// A captured stack.
#[derive(Clone, Copy)]
pub(crate) struct Captured<'a> {
    /// Return addresses, innermost first.
    pub(crate) frames: &'a [usize],
    /// Of the frames.
    pub(crate) hash: u64,
    /// Whether outer frames are missing: the depth limit, or unwinding ended before the thread's
    /// first function.
    pub(crate) truncated: bool,
}

impl<'a> Captured<'a> {
    /// Nothing is known of it.
    pub(crate) const NONE: Captured<'static> = Captured {
        frames: &[],
        hash: 0,
        truncated: true,
    };

    /// A stack of these frames, as many as there may be. Their hash is known.
    pub(crate) fn new(frames: &'a [usize], hash: u64, end: End) -> Captured<'a> {
        match frames.get(..MAX_DEPTH) {
            Some(inner) if inner.len() < frames.len() => Captured {
                frames: inner,
                hash: hash_of(inner),
                truncated: true,
            },
            _ => Captured {
                frames,
                hash,
                truncated: end == End::Lost,
            },
        }
    }
}

/// The hash of a stack, from that of its outer part and the address of the frame within. So what
/// is known of an outer part holds for all stacks with it.
#[inline(always)]
pub(crate) fn hash_outwards(outer: u64, address: usize) -> u64 {
    (outer ^ address as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(29)
}

/// The hash of a whole stack.
pub(crate) fn hash_of(frames: &[usize]) -> u64 {
    let outermost_first = frames.iter().rev();
    outermost_first.fold(0, |hash, address| hash_outwards(hash, *address))
}

/// Captures the stack outside of a function, without the allocator's frames, for some work. The stack
/// is empty if it cannot be had. Takes [room](super::room) on the caller's own stack.
pub(crate) fn with_captured<T>(from: &Registers, work: impl FnOnce(Captured<'_>) -> T) -> T {
    let Some(mut pages) = Kept::take() else {
        return work(Captured::NONE);
    };
    // SAFETY: zeroed when it was made, which is valid, and this walk's alone until it is put back.
    let kept = unsafe { pages.as_mut() };
    let mut memory = StackMemory::new(from.sp, &mut kept.copies);
    let result = work(unwind::walk(from, &mut memory, &mut kept.last));
    Kept::put(pages);
    result
}

/// What a walk keeps for the next one on the same thread, and works with.
#[repr(C)]
struct Kept {
    last: LastWalk,
    copies: PageCopies,
}

/// Threads that each find their own again. More of them share.
const KEEP: usize = 16;

static KEPT: Pool<Kept, KEEP> = Pool::new();
static MADE: AtomicUsize = AtomicUsize::new(0);

impl Kept {
    fn take() -> Option<NonNull<Kept>> {
        // Relaxed: whether there are more or fewer by one than that is no matter.
        let may_make = MADE.load(Ordering::Relaxed) < KEEP;
        KEPT.take_own(thread::number())
            .or_else(|| (!may_make).then(|| KEPT.take()).flatten())
            .or_else(Kept::make)
    }

    fn make() -> Option<NonNull<Kept>> {
        let pages = own::map(own::whole_pages(size_of::<Kept>())?)?;
        MADE.fetch_add(1, Ordering::Relaxed);
        Some(pages.cast())
    }

    fn put(kept: NonNull<Kept>) {
        if let Some(kept) = KEPT.put(thread::number(), kept)
            && let Some(bytes) = own::whole_pages(size_of::<Kept>())
        {
            MADE.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: mapped by `make` with this size, and nobody's.
            unsafe { own::unmap(kept.cast(), bytes) };
        }
    }
}

const MAX_PLUMBING: usize = 24;

/// Return addresses in the frames between a caller of the global allocator and our slow path:
/// `__rust_alloc` and the like.
///
/// They are learned, because how many there are depends on how the program was optimised and what
/// was inlined where, and recognised by exact address, so that no symbols are needed.
static PLUMBING: [AtomicUsize; MAX_PLUMBING] = [const { AtomicUsize::new(0) }; MAX_PLUMBING];

/// A bit for each of them, by [`plumbing_bit`], so that most other addresses need no look at them.
static PLUMBING_BITS: AtomicU64 = AtomicU64::new(0);

fn plumbing_bit(address: usize) -> u64 {
    1 << (address >> 2 & 63)
}

fn plumbing() -> impl Iterator<Item = usize> {
    // Relaxed: written before the first sample is taken, and an address stands for itself.
    PLUMBING
        .iter()
        .map(|known| known.load(Ordering::Relaxed))
        .take_while(|&known| known != 0)
}

#[inline(always)]
pub(crate) fn is_plumbing(address: usize) -> bool {
    // Relaxed: as above.
    PLUMBING_BITS.load(Ordering::Relaxed) & plumbing_bit(address) != 0 && is_known(address)
}

#[inline(never)]
fn is_known(address: usize) -> bool {
    plumbing().any(|known| known == address)
}

/// What the slow path saw last while calibrating. A process that was forked meanwhile has its own:
/// nobody would ever unlock its parent's there.
static SEEN: PerProcess<Mutex<Seen>> = PerProcess::new();

/// The innermost frames of a stack, and how many it has.
#[derive(Default)]
struct Seen {
    innermost: [usize; MAX_PLUMBING],
    frames: usize,
}

fn seen() -> Option<MutexGuard<'static, Seen>> {
    SEEN.get_or_init(Default::default).map(lock)
}

/// What the slow path does in place of sampling while this thread is calibrating.
pub(crate) fn see(from: &Registers) {
    with_captured(from, |stack| {
        if let Some(mut seen) = seen() {
            seen.frames = stack.frames.len();
            for (slot, address) in seen.innermost.iter_mut().zip(stack.frames) {
                *slot = *address;
            }
        }
    });
}

/// Learns the plumbing of each way to allocate, by allocating and comparing the stack that the
/// slow path sees with the one seen from here. Learns nothing if the global allocator is not ours.
///
/// Runs once, on the first allocation of the process.
pub(crate) fn learn_plumbing() {
    thread::calibrate(probe);
}

/// Not inlined, so that its own frame ends where its callers' begin.
#[inline(never)]
fn probe() {
    let layout = Layout::new::<[u64; 2]>();
    let outside = with_captured(&Registers::here(), |stack| stack.frames.len());
    // SAFETY: ordinary allocations of 16 and 32 bytes, checked for null and freed with the layout
    // that they have then.
    unsafe {
        thread::make_due();
        let mut block = alloc(layout);
        learn(outside);
        if !block.is_null() {
            thread::make_due();
            let larger = realloc(block, layout, 2 * layout.size());
            learn(outside);
            let has = if larger.is_null() {
                layout
            } else {
                block = larger;
                Layout::new::<[u64; 4]>()
            };
            dealloc(block, has);
        }
        thread::make_due();
        let block = alloc_zeroed(layout);
        learn(outside);
        if !block.is_null() {
            dealloc(block, layout);
        }
    }
}

/// Takes the frames of [`SEEN`] that lie inside the probe as plumbing. The probe's own stack has
/// `outside` frames.
fn learn(outside: usize) {
    let Some(mut seen) = seen() else { return };
    let seen = std::mem::take(&mut *seen);
    // One frame is the probe's own.
    let inside = seen.frames.saturating_sub(outside + 1);
    for &address in seen.innermost.iter().take(inside) {
        if !is_plumbing(address)
            && let Some(slot) = PLUMBING.get(plumbing().count())
        {
            slot.store(address, Ordering::Relaxed);
            PLUMBING_BITS.fetch_or(plumbing_bit(address), Ordering::Relaxed);
        }
    }
}
