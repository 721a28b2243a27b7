//! Address → live sample.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use crate::config::{MAX_LIVE_SAMPLES, MAX_SELF_BYTES};

use super::fork::PerProcess;
use super::loss::Loss;
use super::sampler::mix;
use super::sites::SiteId;

/// Not a power of two, so that all shards full are just below the point where hash tables double.
const SHARDS: usize = 80;
/// Buckets of a shard that holds its part of [`MAX_LIVE_SAMPLES`], 7 of 8 in use.
const BUCKETS: usize = 1 << 14;
/// Bytes of the table when it may hold [`MAX_LIVE_SAMPLES`], and when it may hold half of them.
const FULL_BYTES: usize = table_bytes(BUCKETS);
const HALF_BYTES: usize = table_bytes(BUCKETS / 2);

/// hashbrown's: an entry and a control byte for each bucket, and a group of control bytes.
const fn table_bytes(buckets: usize) -> usize {
    SHARDS * (buckets * (size_of::<LiveSample>() + 1) + 16)
}

/// A sampled block that has not been freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveSample {
    pub(crate) address: usize,
    pub(crate) size: usize,
    /// Nanoseconds since the first allocation of the process.
    pub(crate) birth_ns: u64,
    /// The interval that it was sampled at.
    pub(crate) interval: u32,
    pub(crate) site: SiteId,
}

struct Live {
    shards: [Mutex<HashTable<LiveSample>>; SHARDS],
    count: AtomicUsize,
    bytes: AtomicUsize,
}

static LIVE: PerProcess<Live> = PerProcess::new();

fn live() -> Option<&'static Live> {
    LIVE.get_or_init(|| Live {
        shards: [const { Mutex::new(HashTable::new()) }; SHARDS],
        count: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
    })
}

/// Makes the empty table. On the first thread, because making it takes more stack than a small
/// thread has.
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
    let mut shard = live.shard(hash).ok_or(Loss::NoMemory)?;
    if shard.len() >= BUCKETS / 8 * 7 / parts {
        return Err(Loss::LiveTableFull);
    }
    let before = shard.allocation_size();
    shard
        .try_reserve(1, |old| hash_of(old.address))
        .map_err(|_| Loss::NoMemory)?;
    shard.insert_unique(hash, sample, |old| hash_of(old.address));
    live.bytes
        .fetch_add(shard.allocation_size() - before, Ordering::Relaxed);
    Ok((live.count.fetch_add(1, Ordering::Relaxed) + 1) * parts)
}

/// Takes the sample at an address out, if there is one.
pub(crate) fn take(address: usize) -> Option<LiveSample> {
    let live = LIVE.get()?;
    let hash = hash_of(address);
    let mut shard = live.shard(hash)?;
    let entry = shard
        .find_entry(hash, |sample| sample.address == address)
        .ok()?;
    let (sample, _) = entry.remove();
    live.count.fetch_sub(1, Ordering::Relaxed);
    Some(sample)
}

/// Copies all live samples, shard by shard; memory is taken before a shard is locked.
pub(crate) fn read() -> Vec<LiveSample> {
    let Some(live) = LIVE.get() else {
        return Vec::new();
    };
    let mut copy = Vec::with_capacity(live.count.load(Ordering::Relaxed));
    for shard in &live.shards {
        // A statement of its own: its guard would otherwise live until memory is had.
        let len = lock(shard).len();
        copy.reserve(len + 64);
        copy.extend(lock(shard).iter());
    }
    copy
}

/// Bytes that the table takes.
pub(crate) fn bytes() -> usize {
    LIVE.get()
        .map_or(0, |live| live.bytes.load(Ordering::Relaxed))
}

/// Bytes that other tables must leave for this one.
pub(crate) fn reserved_bytes() -> usize {
    if bytes() > HALF_BYTES {
        FULL_BYTES
    } else {
        HALF_BYTES
    }
}

impl Live {
    /// 1 if the table may grow to hold [`MAX_LIVE_SAMPLES`], 2 if, beside the other tables, there
    /// is memory for half of them only.
    fn parts(&self) -> usize {
        let own = self.bytes.load(Ordering::Relaxed);
        let others = super::table_bytes().saturating_sub(own);
        if own > HALF_BYTES || others + FULL_BYTES <= MAX_SELF_BYTES {
            1
        } else {
            2
        }
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, HashTable<LiveSample>>> {
        // From the upper half of the hash; the table uses both ends of it.
        self.shards
            .get((hash >> 24) as u32 as usize % SHARDS)
            .map(lock)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks, so they are never poisoned.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        /// A lost or doubled entry would leave bytes live for ever, or free them twice.
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
