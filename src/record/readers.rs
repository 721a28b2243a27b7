//! When something that was replaced may be freed: once everybody who may still read it is done. Pure, so
//! that it can be modelled.
//!
//! Readers count themselves, in one of several counters, before they load the pointer to the current thing.
//! Whoever has replaced that one looks at the counters by exchanges, too, so a reader of a counter either is
//! seen there, or comes later, and then sees the new pointer. A counter at zero thus means that all its readers
//! are done with the old thing.

use super::sync::atomic::{AtomicU32, Ordering};

/// A counter has its cache line for itself.
#[repr(align(64))]
#[derive(Debug)]
struct Counter(AtomicU32);

/// Who reads now, in at most 64 counters.
#[derive(Debug)]
pub(crate) struct Readers<const N: usize>([Counter; N]);

/// Somebody who reads. What is current now, or becomes so later, is not freed before this is dropped.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a Counter);

impl<const N: usize> Readers<N> {
    /// A bit for each counter.
    pub(crate) const ALL: u64 = u64::MAX >> (64 - N);

    pub(crate) const fn new() -> Readers<N> {
        Readers([const { Counter(AtomicU32::new(0)) }; N])
    }

    /// Called before the pointer is loaded.
    #[inline(always)]
    pub(crate) fn enter(&self, thread: usize) -> Reader<'_> {
        let counter = &self.0[thread % N];
        // Acquire: pairs with the release in `quiet`: a reader that was not seen there sees the new pointer.
        counter.0.fetch_add(1, Ordering::Acquire);
        Reader(counter)
    }

    /// Those counters, as bits, that are at zero. Called after the pointer was replaced.
    pub(crate) fn quiet(&self) -> u64 {
        let mut quiet = 0;
        for (place, counter) in self.0.iter().enumerate() {
            // Not a load, which might see an old zero. Release: see `enter`. Acquire: what readers did comes
            // before what is done now.
            if counter.0.fetch_add(0, Ordering::AcqRel) == 0 {
                quiet |= 1 << place;
            }
        }
        quiet
    }
}

impl Drop for Reader<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: pairs with the acquire in `quiet`.
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
