//! The one way to lock, and the atomics that models check.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. Nothing panics under a lock of `record`'s, so none is ever poisoned.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The atomics of what has models: loom's under `--cfg heapwatch_loom`, which tries all orders.
pub(crate) mod atomic {
    #[cfg(heapwatch_loom)]
    pub(crate) use super::models::{AtomicPtr, AtomicU32};
    #[cfg(heapwatch_loom)]
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(heapwatch_loom))]
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// What all models share.
#[cfg(heapwatch_loom)]
pub(crate) mod models {
    use std::ops::Deref;
    use std::sync::OnceLock;

    pub(crate) type AtomicPtr<T> = Late<loom::sync::atomic::AtomicPtr<T>>;
    pub(crate) type AtomicU32 = Late<loom::sync::atomic::AtomicU32>;

    /// An atomic that may be in a static, which loom's may not: it is made at its first use. A model uses
    /// it before it has a second thread, or loom takes the making for a race.
    #[derive(Debug)]
    pub(crate) struct Late<A>(OnceLock<A>);

    impl<A> Late<A> {
        /// All that are used like this begin with zero, or null.
        pub(crate) const fn new<T: Copy>(_zero: T) -> Late<A> {
            Late(OnceLock::new())
        }
    }

    impl<A: Default> Deref for Late<A> {
        type Target = A;

        fn deref(&self) -> &A {
            self.0.get_or_init(A::default)
        }
    }

    /// Memory that only one thread at a time may use. Where two do, or where one does not see what the
    /// one before it wrote, some order of theirs loses a count.
    #[cfg(test)]
    #[derive(Debug)]
    pub(crate) struct Unshared(loom::sync::atomic::AtomicUsize);

    #[cfg(test)]
    impl Unshared {
        pub(crate) fn new() -> Unshared {
            Unshared(loom::sync::atomic::AtomicUsize::new(0))
        }

        // Relaxed, here and below: these stand for plain reads and writes, and order nothing.
        pub(crate) fn get(&self) -> usize {
            self.0.load(loom::sync::atomic::Ordering::Relaxed)
        }

        pub(crate) fn set(&self, count: usize) {
            self.0.store(count, loom::sync::atomic::Ordering::Relaxed);
        }

        /// Counts one more, in two steps.
        pub(crate) fn count(&self) {
            self.set(self.get() + 1);
        }
    }

    /// Tries all orders of a model's steps, and all that its loads may see, in which threads are interrupted at
    /// most three times altogether. Without a bound the largest models take hours.
    #[cfg(test)]
    pub(crate) fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }
}
