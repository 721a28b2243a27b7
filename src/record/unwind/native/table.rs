//! The rules that walks have met, shared by all threads and read without a lock.
//!
//! An entry is one word: the address in the upper 48 bits, its rule in the lower 16. So it is read
//! and written whole, stands for itself, and whatever order threads see entries in, each is right or
//! not there: all orderings are relaxed but for those around a change of the list of modules.
//!
//! No stale rule is used. A rule is learned from the tables of a module that an address on the
//! learner's own stack lies in, so that module stays loaded until the learner has put the rule into
//! the table. When the list of modules changes, it is cleared. An address that a walk met by going
//! astray may be in a module that is being unloaded at that very moment. So a thread that has put a rule
//! into the table checks that the list is still the one that the rule is from, and takes the rule back
//! if it is not.
//!
//! The table lies in one mapping of the largest size, of which only what is in use is ever touched.
//! So it grows in place: rules whose bucket is now another one are copied there first, and a walk
//! that still looks in the old place misses at worst.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

use crate::record::module_list::ModuleList;
use crate::record::modules::ListReader;
use crate::record::own;

use super::Rule;

/// Rules that share a place: half a cache line.
const WAYS: usize = 4;
/// Places at first, and at most. Powers of two.
const FIRST_BUCKETS: usize = 256;
const MAX_BUCKETS: usize = 8192;
const BUCKET_BYTES: usize = WAYS * size_of::<AtomicU64>();

type Bucket = [AtomicU64; WAYS];

static BUCKETS: AtomicPtr<Bucket> = AtomicPtr::new(ptr::null_mut());
/// How many are in use.
static IN_USE: AtomicUsize = AtomicUsize::new(0);
/// Rules that were driven out by others since the table grew last.
static EVICTIONS: AtomicU32 = AtomicU32::new(0);

/// The table as a walk sees it.
#[derive(Clone, Copy)]
pub(super) struct Table {
    buckets: &'static [Bucket],
}

/// Gets the memory, unless it is there already; without it no rule is kept.
pub(super) fn prepare() {
    // Relaxed: the exchange below finds out whether another thread prepares, too.
    if !BUCKETS.load(Ordering::Relaxed).is_null() {
        return;
    }
    let Some(pages) = own::map(MAX_BUCKETS * BUCKET_BYTES) else {
        return;
    };
    let new = pages.cast::<Bucket>().as_ptr();
    // Release: the mapping happens before it is used. Relaxed: a loser uses nothing.
    let put = BUCKETS.compare_exchange(ptr::null_mut(), new, Ordering::Release, Ordering::Relaxed);
    if put.is_ok() {
        IN_USE.store(FIRST_BUCKETS, Ordering::Relaxed);
    } else {
        // SAFETY: mapped above, and nobody has seen it.
        unsafe { own::unmap(pages, MAX_BUCKETS * BUCKET_BYTES) };
    }
}

/// Bytes in use.
#[cfg(test)]
pub(super) fn bytes() -> usize {
    IN_USE.load(Ordering::Relaxed) * BUCKET_BYTES
}

/// Forgets all rules: the list of modules is another one as of now.
pub(super) fn clear() {
    // SeqCst: pairs with the fence in `keep`. Of a rule that is put there meanwhile, either the
    // clearing comes later, or who put it sees the new list.
    fence(Ordering::SeqCst);
    for entry in Table::current().buckets.iter().flatten() {
        entry.store(0, Ordering::Relaxed);
    }
    EVICTIONS.store(0, Ordering::Relaxed);
}

/// Doubles the table if rules drive each other out, as far as it may grow. Several threads may do so
/// at once: they do the same.
pub(super) fn grow_if_needed() {
    let table = Table::current();
    let len = table.buckets.len();
    if len == 0 || len >= MAX_BUCKETS || !is_too_small(len) {
        return;
    }
    let reading = ListReader::start();
    let Some(list) = reading.current() else {
        return;
    };
    let all = Table::of(MAX_BUCKETS);
    for (place, bucket) in table.buckets.iter().enumerate() {
        for entry in bucket.iter().map(|entry| entry.load(Ordering::Relaxed)) {
            let moved = place_of((entry >> 16) as usize) & (2 * len - 1);
            if entry != 0 && moved != place {
                all.put(moved, entry);
            }
        }
    }
    let grown = IN_USE.compare_exchange(len, 2 * len, Ordering::Relaxed, Ordering::Relaxed);
    if grown.is_ok() {
        EVICTIONS.store(0, Ordering::Relaxed);
    }
    // SeqCst: as in `clear`; what was copied may be of an older list.
    fence(Ordering::SeqCst);
    if !list.is_current() {
        clear();
    }
}

/// To learn a rule costs some fifty look-ups; as many as half of the table holds are enough to say
/// that it does not hold what is needed.
fn is_too_small(buckets: usize) -> bool {
    EVICTIONS.load(Ordering::Relaxed) as usize > buckets * WAYS / 2
}

/// The upper bits of a multiplicative hash.
#[inline(always)]
fn place_of(address: usize) -> usize {
    ((address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}

impl Table {
    #[inline(always)]
    pub(super) fn current() -> Table {
        Table::of(IN_USE.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn of(len: usize) -> Table {
        // Acquire: pairs with the release in `prepare`.
        let buckets = BUCKETS.load(Ordering::Acquire);
        if buckets.is_null() {
            return Table { buckets: &[] };
        }
        // SAFETY: the mapping has room for the largest size, is never unmapped, and zeroes are valid
        // buckets.
        let buckets = unsafe { std::slice::from_raw_parts(buckets, len) };
        Table { buckets }
    }

    #[inline(always)]
    pub(super) fn find(self, address: usize) -> Option<Rule> {
        let mask = self.buckets.len().wrapping_sub(1);
        let bucket = self.buckets.get(place_of(address) & mask)?;
        for entry in bucket {
            let entry = entry.load(Ordering::Relaxed);
            if (entry >> 16) as usize == address {
                return Some(Rule(entry as u16));
            }
        }
        None
    }

    /// Puts a rule from this list of modules into the table.
    pub(super) fn keep(self, address: usize, rule: Rule, list: &ModuleList) {
        let mask = self.buckets.len().wrapping_sub(1);
        let place = place_of(address) & mask;
        if address >= 1 << 48 || self.buckets.get(place).is_none() {
            return;
        }
        let entry = (address as u64) << 16 | u64::from(rule.0);
        self.put(place, entry);
        // SeqCst: pairs with the fence in `clear`.
        fence(Ordering::SeqCst);
        if !list.is_current() {
            self.take_back(place, entry);
        }
    }

    /// Puts an entry first into its bucket; the one that has been there longest goes. What another
    /// thread puts there at the same time may be lost.
    fn put(self, place: usize, entry: u64) {
        let Some(bucket) = self.buckets.get(place) else {
            return;
        };
        let mut moving = entry;
        for slot in bucket {
            let before = slot.load(Ordering::Relaxed);
            slot.store(moving, Ordering::Relaxed);
            if before == 0 || before >> 16 == entry >> 16 {
                return;
            }
            moving = before;
        }
        EVICTIONS.fetch_add(1, Ordering::Relaxed);
    }

    fn take_back(self, place: usize, entry: u64) {
        for slot in self.buckets.get(place).into_iter().flatten() {
            // Relaxed: the entry stands for itself.
            let _ = slot.compare_exchange(entry, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
