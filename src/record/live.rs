//! Address → live sample.
//!
//! Most blocks that are looked for here are in the region, and have a sample. Large blocks are looked
//! for whenever they are freed, and mostly have none: a filter says so without a lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;

use crate::config::{MAX_LIVE_SAMPLES, MAX_SELF_BYTES};

use super::budget;
use super::filter::Filter;
use super::fork::PerProcess;
use super::loss::Loss;
use super::own::Own;
use super::region;
use super::sampler::mix;
use super::sync::lock;

pub(crate) use super::sample::LiveSample;

/// Not a power of two, so that all shards full are just below the point where hash tables double.
const SHARDS: usize = 80;
/// Buckets of a shard that holds its part of [`MAX_LIVE_SAMPLES`], 7 of 8 in use.
const BUCKETS: usize = 1 << 14;
/// Samples for which a shard always keeps room.
const SMALL_SHARD: usize = 512;
/// Bytes of the table when it may hold [`MAX_LIVE_SAMPLES`], and when it may hold half of them.
const FULL_BYTES: usize = table_bytes(BUCKETS);
const HALF_BYTES: usize = table_bytes(BUCKETS / 2);

/// hashbrown's: an entry and a control byte for each bucket, and a group of control bytes; in whole
/// pages.
const fn table_bytes(buckets: usize) -> usize {
    SHARDS * (buckets * (size_of::<LiveSample>() + 1) + 16).next_multiple_of(64 << 10)
}

type Table = HashTable<LiveSample, Own>;

struct Live {
    shards: [Mutex<Table>; SHARDS],
    count: AtomicUsize,
}

static LIVE: PerProcess<Live> = PerProcess::new();

/// How many large samples there are at the addresses of each hash. A forked child keeps its parent's,
/// which makes for a few look-ups in vain.
static LARGE: Filter<4096> = Filter::new();

fn live() -> Option<&'static Live> {
    LIVE.get_or_init(|| Live {
        shards: [const { Mutex::new(HashTable::new_in(Own::Live)) }; SHARDS],
        count: AtomicUsize::new(0),
    })
}

/// Makes the empty table.
pub(crate) fn prepare() {
    let _ = live();
}

/// Puts a sample in. Its address is that of a block which is this thread's alone.
///
/// Returns how full the table is now, in parts of [`MAX_LIVE_SAMPLES`].
pub(crate) fn insert(sample: LiveSample) -> Result<usize, Loss> {
    let live = live().ok_or(Loss::NoMemory)?;
    let parts = live.parts();
    // Relaxed: a bound that may be missed by as many samples as there are threads.
    if live.count.load(Ordering::Relaxed) * parts >= MAX_LIVE_SAMPLES {
        return Err(Loss::LiveTableFull);
    }
    let hash = hash_of(sample.address);
    let mut shard = lock(live.shard(hash).ok_or(Loss::NoMemory)?);
    if shard.len() >= BUCKETS / 8 * 7 / parts {
        return Err(Loss::LiveTableFull);
    }
    shard
        .try_reserve(1, |old| hash_of(old.address))
        .map_err(|_| Loss::NoMemory)?;
    shard.insert_unique(hash, sample, |old| hash_of(old.address));
    drop(shard);
    if is_large(sample.address) {
        LARGE.enter(sample.address);
    }
    Ok((live.count.fetch_add(1, Ordering::Relaxed) + 1) * parts)
}

/// Whether a large block may have a sample. The caller owns the block.
#[inline(always)]
pub(crate) fn may_have(address: usize) -> bool {
    LARGE.may_have(address)
}

/// Takes the sample at an address out, if there is one.
pub(crate) fn take(address: usize) -> Option<LiveSample> {
    let live = LIVE.get()?;
    let hash = hash_of(address);
    let mut shard = lock(live.shard(hash)?);
    let entry = shard
        .find_entry(hash, |sample| sample.address == address)
        .ok()?;
    let (sample, _) = entry.remove();
    shrink_if_empty(&mut shard);
    drop(shard);
    if is_large(address) {
        LARGE.leave(address);
    }
    live.count.fetch_sub(1, Ordering::Relaxed);
    Some(sample)
}

/// Copies all live samples, shard by shard; memory is taken before a shard is locked. `None` without
/// memory for the copy.
pub(crate) fn read() -> Option<Vec<LiveSample>> {
    let mut copy = Vec::new();
    let Some(live) = LIVE.get() else {
        return Some(copy);
    };
    copy.try_reserve(live.count.load(Ordering::Relaxed)).ok()?;
    for shard in &live.shards {
        loop {
            // A statement of its own: its guard would otherwise live until memory is had.
            let len = lock(shard).len();
            copy.try_reserve(len + 64).ok()?;
            let shard = lock(shard);
            if shard.len() <= copy.capacity() - copy.len() {
                copy.extend(shard.iter());
                break;
            }
        }
    }
    Some(copy)
}

/// How full the table is, in parts of [`MAX_LIVE_SAMPLES`].
pub(crate) fn fullness() -> usize {
    LIVE.get()
        .map_or(0, |live| live.count.load(Ordering::Relaxed) * live.parts())
}

/// Enlarges shards that will soon be full.
pub(crate) fn maintain() {
    let Some(live) = LIVE.get() else { return };
    for shard in &live.shards {
        let mut shard = lock(shard);
        let (len, room) = (shard.len(), shard.capacity());
        if room > 0 && len > room / 8 * 7 && room < BUCKETS / 8 * 7 / live.parts() {
            // Without memory the next insertion finds that out.
            let _ = shard.try_reserve(room - len + 1, |old| hash_of(old.address));
        }
    }
}

/// Makes a table of the size that is needed of one that is nearly empty, so that its memory goes back
/// to the system, in an idle process too: a step for many frees. Not by hashbrown's own way to shrink,
/// which aborts without memory.
fn shrink_if_empty(shard: &mut Table) {
    let room = shard.capacity();
    if room <= SMALL_SHARD || shard.len() >= room / 8 {
        return;
    }
    let mut smaller = HashTable::new_in(Own::Live);
    let rehash = |sample: &LiveSample| hash_of(sample.address);
    if smaller.try_reserve(shard.len() * 2, rehash).is_ok() {
        for sample in shard.iter() {
            smaller.insert_unique(rehash(sample), *sample, rehash);
        }
        *shard = smaller;
    }
}

/// Bytes that other tables must leave for this one.
pub(crate) fn reserved_bytes() -> usize {
    if Own::Live.bytes() > HALF_BYTES {
        FULL_BYTES
    } else {
        HALF_BYTES
    }
}

impl Live {
    /// 1 if the table may grow to hold [`MAX_LIVE_SAMPLES`], 2 if, beside the other tables, there
    /// is memory for half of them only.
    fn parts(&self) -> usize {
        let own = Own::Live.bytes();
        let others = budget::table_bytes().saturating_sub(own);
        if own > HALF_BYTES || others + FULL_BYTES <= MAX_SELF_BYTES {
            1
        } else {
            2
        }
    }

    fn shard(&self, hash: u64) -> Option<&Mutex<Table>> {
        // From the upper half of the hash; the table uses both ends of it.
        self.shards.get((hash >> 24) as u32 as usize % SHARDS)
    }
}

fn is_large(address: usize) -> bool {
    !region::may_contain(std::ptr::without_provenance_mut(address))
}

fn hash_of(address: usize) -> u64 {
    mix(address as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn sample(address: usize, size: usize) -> LiveSample {
        LiveSample {
            address,
            size,
            birth_ns: 7,
            interval: 1,
            site: super::super::sites::OVERFLOW,
        }
    }

    proptest! {
        /// A lost or doubled entry would report bytes as live for good, or free them twice.
        #[test]
        fn is_a_map(operations in prop::collection::vec((any::<bool>(), 0_usize..64), 0..400)) {
            let mut model = HashMap::new();
            for (i, &(insert_it, key)) in operations.iter().enumerate() {
                // Other tests use the same table, at other addresses.
                let address = (1 << 40) + key * 16;
                if insert_it && !model.contains_key(&address) {
                    model.insert(address, i);
                    prop_assert!(insert(sample(address, i)).is_ok());
                } else {
                    let taken = take(address).map(|sample| sample.size);
                    prop_assert_eq!(taken, model.remove(&address));
                }
            }
            for address in model.keys() {
                prop_assert!(take(*address).is_some());
            }
        }
    }
}
