//! The number of a site.

use crate::config::MAX_SITES;

use super::sampler::mix;

/// Shards of the table of sites.
pub(super) const SHARDS: usize = 64;

/// A shard with more than twice its share of sites takes no more.
pub(super) const MAX_IN_SHARD: usize = 2 * MAX_SITES / SHARDS;

/// Names a site: its place in a shard, the shard, and how often the place was used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SiteId(u32);

/// Bits of a place and a shard.
const NUMBER_BITS: u32 = (MAX_IN_SHARD * SHARDS).ilog2();
/// The most uses of a place that an id can tell; no id is that of [`OVERFLOW`].
pub(super) const MAX_USE: u32 = (1 << (u32::BITS - NUMBER_BITS)) - 2;

#[cfg(test)]
impl SiteId {
    pub(crate) const fn numbered(number: u32) -> Self {
        SiteId(number)
    }
}

impl SiteId {
    pub(crate) fn hash(self) -> u64 {
        mix(u64::from(self.0))
    }

    pub(super) fn new(shard: usize, place: usize, uses: u32) -> SiteId {
        SiteId(uses << NUMBER_BITS | (place * SHARDS + shard) as u32)
    }

    pub(super) fn shard(self) -> usize {
        self.0 as usize % SHARDS
    }

    /// Its place in its shard.
    pub(super) fn place(self) -> usize {
        (self.0 as usize & ((1 << NUMBER_BITS) - 1)) / SHARDS
    }

    pub(super) fn uses(self) -> u32 {
        self.0 >> NUMBER_BITS
    }
}

/// The one site for all stacks that found no room, and for those that are no more.
pub(crate) const OVERFLOW: SiteId = SiteId(u32::MAX);
