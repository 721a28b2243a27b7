//! Things that one thread at a time may use. Whoever finds none free makes another, so nobody waits.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The free ones, each in a slot. One that is in use when the process forks is lost to the child.
pub(crate) struct Pool<T, const N: usize>([AtomicPtr<T>; N]);

impl<T, const N: usize> Pool<T, N> {
    pub(crate) const fn new() -> Self {
        Pool([const { AtomicPtr::new(ptr::null_mut()) }; N])
    }

    /// Takes the one in a thread's own slot, which it mostly put there itself.
    #[inline(always)]
    pub(crate) fn take_own(&self, thread: usize) -> Option<NonNull<T>> {
        // Acquire: pairs with the release in `put`: its last user is done with it.
        NonNull::new(self.0[thread % N].swap(ptr::null_mut(), Ordering::Acquire))
    }

    /// Takes any.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<NonNull<T>> {
        // Iterators would have frames of their own where nothing is optimised, and there may be no
        // stack for them: here and in `put`.
        let mut slot = 0;
        while slot < N {
            let found = self.take_own(slot);
            if found.is_some() {
                return found;
            }
            slot += 1;
        }
        None
    }

    /// Puts one back into the thread's own slot; what was there moves on to the next. Returns one if
    /// there is no room for all.
    #[inline(always)]
    pub(crate) fn put(&self, thread: usize, item: NonNull<T>) -> Option<NonNull<T>> {
        let mut moving = item.as_ptr();
        let mut tried = 0;
        while tried < N {
            let slot = &self.0[thread.wrapping_add(tried) % N];
            // AcqRel: release pairs with the acquire in `take_own`; acquire, because what was there is
            // put elsewhere or dropped.
            moving = slot.swap(moving, Ordering::AcqRel);
            if moving.is_null() {
                break;
            }
            tried += 1;
        }
        NonNull::new(moving)
    }
}
