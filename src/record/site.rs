//! A stack and what was counted for it.

use super::sum::Sum;

/// Buckets of a histogram of times, each twice as long as the one before.
pub const AGE_BUCKETS: usize = 40;

/// A stack and what was counted for it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Return addresses, innermost first. May be read while a [`Reading`](super::sites::Reading)
    /// lives, or the shard is locked.
    pub(crate) stack: &'static [usize],
    pub(crate) truncated: bool,
    pub(crate) samples: u64,
    pub(crate) allocated: Sum,
    pub(crate) freed: Sum,
    /// Freed samples by lifetime.
    pub(crate) lifetimes: [u32; AGE_BUCKETS],
    pub(super) hash: u64,
    /// How often its place was used before.
    pub(super) uses: u32,
    /// Place of its deaths in its shard, from the first one on.
    pub(super) deaths: Option<u32>,
    /// The tick from which on no death is missing among them.
    pub(super) deaths_since: u32,
}

impl Site {
    pub(super) const fn new(
        stack: &'static [usize],
        truncated: bool,
        hash: u64,
        uses: u32,
    ) -> Site {
        Site {
            stack,
            truncated,
            samples: 0,
            allocated: Sum::NOTHING,
            freed: Sum::NOTHING,
            lifetimes: [0; AGE_BUCKETS],
            hash,
            uses,
            deaths: None,
            deaths_since: 0,
        }
    }

    pub(super) fn count(&mut self, sum: &Sum) {
        self.samples += 1;
        self.allocated.add(sum);
    }

    pub(super) fn count_freed(&mut self, sum: &Sum, bucket: usize) {
        self.freed.add(sum);
        if let Some(count) = self.lifetimes.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn add(&mut self, other: &Site) {
        self.samples += other.samples;
        self.allocated.add(&other.allocated);
        self.freed.add(&other.freed);
        for (count, more) in self.lifetimes.iter_mut().zip(other.lifetimes) {
            *count = count.saturating_add(more);
        }
    }
}

/// Which bucket a time falls into: bucket `i` is for less than 2^(i+10) ns, the last for the rest.
pub(crate) fn age_bucket(ns: u64) -> usize {
    ((u64::BITS - (ns >> 10).leading_zeros()) as usize).min(AGE_BUCKETS - 1)
}
