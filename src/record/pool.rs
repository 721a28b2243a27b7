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
    pub(crate) fn take_own(&self, thread: usize) -> Option<NonNull<T>> {
        // Acquire: pairs with the release in `put`: its last user is done with it.
        NonNull::new(self.0[thread % N].swap(ptr::null_mut(), Ordering::Acquire))
    }

    /// Takes any.
    pub(crate) fn take(&self) -> Option<NonNull<T>> {
        (0..N).find_map(|slot| self.take_own(slot))
    }

    /// Puts one back, into the thread's own slot if that is free. False if there is no room.
    pub(crate) fn put(&self, thread: usize, item: NonNull<T>) -> bool {
        let (before, from) = self.0.split_at(thread % N);
        from.iter().chain(before).any(|slot| {
            let null = ptr::null_mut();
            // Release: pairs with the acquire in `take_own`.
            slot.compare_exchange(null, item.as_ptr(), Ordering::Release, Ordering::Relaxed)
                .is_ok()
        })
    }
}
