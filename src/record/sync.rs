//! The one way to lock, and the atomics that models check.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. Nothing panics under a lock of `record`'s, so none is ever poisoned.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The atomics of what has models: loom's under `--cfg heapwatch_loom`, which tries all orders.
pub(crate) mod atomic {
    #[cfg(heapwatch_loom)]
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(heapwatch_loom))]
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}
