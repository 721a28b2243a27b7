//! How many things there are at the addresses of each hash: who finds none at theirs need not look for it
//! under a lock. Pure, so that it can be modelled.

use super::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct Filter<const N: usize>([AtomicU32; N]);

impl<const N: usize> Filter<N> {
    pub(crate) const fn new() -> Filter<N> {
        Filter([const { AtomicU32::new(0) }; N])
    }

    /// Whether there may be something at an address. The caller owns what is there.
    #[inline(always)]
    pub(crate) fn may_have(&self, address: usize) -> bool {
        // Relaxed: see `enter`.
        self.at(address).load(Ordering::Relaxed) != 0
    }

    /// Called before another thread can learn the address.
    pub(crate) fn enter(&self, address: usize) {
        // Relaxed: who owns the address later got it from this thread, whatever they synchronised with,
        // and so sees this, or what came after it, which is no less before `leave`.
        self.at(address).fetch_add(1, Ordering::Relaxed);
    }

    /// Once for each `enter`, by who owns the address.
    pub(crate) fn leave(&self, address: usize) {
        // Relaxed: who enters the address again got it from this thread.
        self.at(address).fetch_sub(1, Ordering::Relaxed);
    }

    /// By one multiplication: every free of a large block looks here.
    #[inline(always)]
    fn at(&self, address: usize) -> &AtomicU32 {
        let hash = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.0[(hash >> 32) as usize % N]
    }
}

#[cfg(test)]
mod tests;
