//! What each thread keeps: its countdown, its random numbers, and whether it is muted.
//!
//! The thread-local is const-initialised and has no destructor, so it is there from the first to
//! the last instruction of a thread, also inside other thread-locals' destructors.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::sampler::{Countdown, Rng, mix};

/// Bytes that a muted thread may allocate before its countdown runs out: never.
const MUTED: i64 = i64::MAX / 2;

/// The countdown first, where the fast path needs no offset.
#[repr(C)]
struct Thread {
    left: Cell<i64>,
    /// The countdown while the thread is muted.
    kept: Cell<i64>,
    mutes: Cell<u32>,
    interval: Cell<u32>,
    hit: Cell<bool>,
    calibrating: Cell<bool>,
    rng: Cell<u64>,
    /// Small number of this thread plus one; 0 until it is asked for.
    number: Cell<u32>,
    stack: Cell<(usize, usize)>,
    membership: Cell<Membership>,
}

/// Names a [scope](super::scopes); never the same twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeId(pub(super) u32);

/// Whether a thread is in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// Nobody has looked yet: the thread is new.
    Unknown,
    None,
    /// It was in this one when somebody looked last.
    In(ScopeId),
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            left: Cell::new(Countdown::START.left),
            kept: Cell::new(0),
            mutes: Cell::new(0),
            interval: Cell::new(Countdown::START.interval),
            hit: Cell::new(Countdown::START.hit),
            calibrating: Cell::new(false),
            rng: Cell::new(0),
            number: Cell::new(0),
            stack: Cell::new((0, 0)),
            membership: Cell::new(Membership::Unknown),
        }
    };
}

/// Counts `size` bytes off this thread's countdown; true while it is not due.
///
/// Everything that a fast path pays is here. It does not overflow: `left` is never below -1 when it
/// gets here, because the slow path raises it to that at least.
#[inline(always)]
pub(crate) fn count_down(size: usize) -> bool {
    THREAD.with(|thread| {
        let left = thread.left.get().wrapping_sub(size as i64);
        thread.left.set(left);
        left >= 0
    })
}

/// Whether the countdown has run out.
pub(crate) fn is_due() -> bool {
    THREAD.with(|thread| thread.left.get() < 0)
}

/// Settles the countdown after [`count_down`] said that it is due. Returns the interval to weigh
/// the allocation with if it is sampled.
pub(crate) fn expire(current: u32) -> Option<u32> {
    THREAD.with(|thread| {
        let mut rng = thread.rng();
        let mut countdown = Countdown {
            left: thread.left.get(),
            interval: thread.interval.get(),
            hit: thread.hit.get(),
        };
        let sampled = countdown.expire(current, &mut rng);
        thread.store(countdown, rng);
        sampled
    })
}

/// Starts a new countdown at `interval`, forgetting the old one; without bias, because the
/// exponential distribution has no memory.
pub(crate) fn redraw(interval: u32) {
    THREAD.with(|thread| {
        let mut rng = thread.rng();
        let countdown = Countdown::draw(interval, &mut rng);
        thread.store(countdown, rng);
    });
}

impl Thread {
    fn rng(&self) -> Rng {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        if self.rng.get() == 0 {
            // Relaxed: only distinct numbers are wanted, nothing is published through them.
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            let address = std::ptr::from_ref(self) as u64;
            self.rng
                .set(mix(address ^ super::clock::now_ns().rotate_left(32)) ^ number | 1);
        }
        Rng(self.rng.get())
    }

    fn store(&self, countdown: Countdown, rng: Rng) {
        if self.mutes.get() == 0 {
            self.left.set(countdown.left);
        } else {
            self.kept.set(countdown.left);
        }
        self.interval.set(countdown.interval);
        self.hit.set(countdown.hit);
        self.rng.set(rng.0);
    }
}

/// While this lives, allocations of this thread pass through, neither counted nor sampled.
pub(crate) struct Muted {
    // A guard unmutes the thread that it muted.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Muted {
    pub(crate) fn new() -> Muted {
        THREAD.with(|thread| {
            if thread.mutes.get() == 0 {
                thread.kept.set(thread.left.replace(MUTED));
            }
            thread.mutes.set(thread.mutes.get() + 1);
        });
        Muted {
            _not_send: std::marker::PhantomData,
        }
    }
}

impl Drop for Muted {
    fn drop(&mut self) {
        THREAD.with(|thread| {
            let mutes = thread.mutes.get() - 1;
            thread.mutes.set(mutes);
            if mutes == 0 {
                thread.left.set(thread.kept.get());
            }
        });
    }
}

/// A small number for this thread, spread evenly: which arena and which caches it prefers.
pub(crate) fn number() -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    THREAD.with(|thread| {
        if thread.number.get() == 0 {
            // Relaxed: only distinct numbers are wanted. Wrapping round is harmless.
            thread
                .number
                .set((NEXT.fetch_add(1, Ordering::Relaxed) & 0xFFFF) + 1);
        }
        thread.number.get() as usize - 1
    })
}

/// Bounds of this thread's stack, low and one past high, as [`set_stack`] left them; (0, 0) before.
#[inline]
pub(crate) fn stack() -> (usize, usize) {
    THREAD.with(|thread| thread.stack.get())
}

pub(crate) fn set_stack(low: usize, high: usize) {
    THREAD.with(|thread| thread.stack.set((low, high)));
}

pub(crate) fn membership() -> Membership {
    THREAD.with(|thread| thread.membership.get())
}

pub(crate) fn join(membership: Membership) {
    THREAD.with(|thread| thread.membership.set(membership));
}

/// Runs `probe` with every allocation of this thread going to the slow path, which will see
/// [`calibrating`]. The countdown is as before afterwards.
pub(crate) fn calibrate(probe: impl FnOnce()) {
    THREAD.with(|thread| {
        let left = thread.left.get();
        thread.calibrating.set(true);
        probe();
        thread.calibrating.set(false);
        thread.left.set(left);
    });
}

/// Makes the next allocation of this thread take the slow path.
pub(crate) fn make_due() {
    THREAD.with(|thread| thread.left.set(0));
}

/// Whether this allocation was made by [`calibrate`]'s probe. If so, what follows is let through
/// until the next [`make_due`].
pub(crate) fn calibrating() -> bool {
    THREAD.with(|thread| {
        let calibrating = thread.calibrating.get();
        if calibrating {
            thread.left.set(MUTED);
        }
        calibrating
    })
}

/// Whether allocations on this thread reach the countdown: allocates through the global allocator
/// and looks.
pub(crate) fn counts_allocations() -> bool {
    THREAD.with(|thread| {
        let before = thread.left.replace(MUTED);
        drop(std::hint::black_box(Box::new(std::hint::black_box(0_u64))));
        thread.left.replace(before) != MUTED
    })
}
