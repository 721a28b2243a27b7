//! State that a forked child starts anew.
//!
//! A child of `fork` has one thread, and the locks that its parent's other threads held stay
//! locked in it for ever. So nothing here is repaired: [`PerProcess`] gives the child a fresh
//! value and leaves the parent's where it is, untouched and unread.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use super::sync::atomic::{self, AtomicPtr, Ordering};
use super::{clock, own, settings, thread};

/// How many forks lie between the first process and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// When this process was forked, in nanoseconds since the first one's first allocation.
static BEGAN_NS: AtomicU64 = AtomicU64::new(0);

/// Whether [`watch`]'s caller is still setting things up.
static STARTING: AtomicBool = AtomicBool::new(false);

/// Ends what [`watch`] began.
pub(crate) fn started() {
    STARTING.store(false, Ordering::Release);
}

/// Makes children of `fork` start anew, and forks wait for the start that is beginning now: it takes
/// the loader's lock, which would stay locked in a child. Called once per program.
pub(crate) fn watch() {
    extern "C" fn before() {
        /// The start takes less than one of these. It may itself wait for this thread, so not for long.
        const STEPS: usize = 100;
        static STEP: libc::timespec = libc::timespec {
            tv_sec: 0,
            tv_nsec: 500_000,
        };
        for _ in 0..STEPS {
            // Acquire: pairs with the release in `started`: the child sees what was set up.
            if !STARTING.load(Ordering::Acquire) {
                return;
            }
            // SAFETY: sleeps for the time that it is given.
            unsafe { libc::nanosleep(&raw const STEP, std::ptr::null_mut()) };
        }
    }
    extern "C" fn in_child() {
        // Relaxed: the child has only this thread.
        GENERATION.fetch_add(1, Ordering::Relaxed);
        BEGAN_NS.store(clock::now_ns(), Ordering::Relaxed);
        settings::undouble();
        // What is left of the parent's interval is not the child's.
        thread::redraw(settings::interval());
    }
    STARTING.store(true, Ordering::Relaxed);
    // SAFETY: the first handler only waits; the other only reads the clock and writes to atomics and its thread's own numbers, which is safe in a child of fork. If registering
    // fails for want of memory, children share their parent's counts: still sound.
    unsafe { libc::pthread_atfork(Some(before), None, Some(in_child)) };
}

/// The number of this process in its chain of forks.
pub(crate) fn generation() -> u32 {
    // Relaxed: changes only in a new process, before any other thread exists.
    GENERATION.load(Ordering::Relaxed)
}

/// When this process's profile began, in nanoseconds of [`clock`].
pub(crate) fn began_ns() -> u64 {
    BEGAN_NS.load(Ordering::Relaxed)
}

/// A lazily made value, another one in each forked child. It is never dropped.
pub(crate) struct PerProcess<T: Sync + 'static> {
    slot: AtomicPtr<Slot<T>>,
}

struct Slot<T> {
    generation: u32,
    value: T,
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        PerProcess {
            slot: AtomicPtr::new(ptr::null_mut::<Slot<T>>()),
        }
    }

    /// This process's value, if it has been made.
    pub(crate) fn get(&self) -> Option<&'static T> {
        // Acquire: pairs with the release in `get_or_init`, so that the value is seen whole.
        let slot = self.slot.load(Ordering::Acquire);
        // SAFETY: slots are published whole, never changed and never freed.
        let slot = unsafe { slot.as_ref() }?;
        (slot.generation == generation()).then_some(&slot.value)
    }

    /// This process's value, made now if need be; `None` if there is no memory for it.
    ///
    /// `make` may run on several threads at once; one result is kept.
    #[inline]
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> Option<&'static T> {
        self.get().or_else(|| self.init(make))
    }

    /// Apart, so that only the first use takes the value's size of stack.
    #[cold]
    #[inline(never)]
    fn init(&self, make: impl FnOnce() -> T) -> Option<&'static T> {
        // Acquire: as in `get`.
        let old = self.slot.load(Ordering::Acquire);
        // SAFETY: as in `get`.
        if unsafe { old.as_ref() }.is_some_and(|slot| slot.generation == generation()) {
            return self.get();
        }
        let bytes = own::whole_pages(size_of::<Slot<T>>())?;
        let pages = own::map(bytes)?;
        let new = pages.cast::<Slot<T>>().as_ptr();
        // SAFETY: the pages are fresh, aligned to more than any value wants, and enough of them.
        unsafe {
            (&raw mut (*new).generation).write(generation());
            (&raw mut (*new).value).write(make());
        }
        // Release: publishes the value. Relaxed for the loser, who looks again by `get`.
        match self
            .slot
            .compare_exchange(old, new, Ordering::Release, Ordering::Relaxed)
        {
            // SAFETY: published for good just now.
            Ok(_) => Some(unsafe { &(*new).value }),
            Err(_) => {
                // SAFETY: `new` was not published, so it is this thread's alone.
                unsafe {
                    ptr::drop_in_place(new);
                    own::unmap(pages, bytes);
                }
                self.get()
            }
        }
    }
}

/// The right to do something alone. Tried for, never waited for: a thread that waited could wait for
/// one that cannot run.
pub(crate) struct Turn(atomic::AtomicU32);

/// Ends the turn when it is dropped.
pub(crate) struct Held<'a>(&'a Turn);

impl Turn {
    pub(crate) const fn new() -> Turn {
        Turn(atomic::AtomicU32::new(0))
    }

    /// `None` while another thread has the turn.
    pub(crate) fn start(&self) -> Option<Held<'_>> {
        let me = generation() + 1;
        let held = self.0.load(Ordering::Relaxed);
        // A holder from before a fork does not exist in this process.
        if held == me {
            return None;
        }
        // Acquire: what the last holder wrote is seen.
        self.0
            .compare_exchange(held, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            // Not made where the exchange failed: dropping it would end the other's turn.
            .then(|| Held(self))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `start`.
        self.0.0.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
