//! Sets of unwind rule caches. A walk checks one set out and has it to itself.
//!
//! On x86-64 a set has our own table of [`rules`](super::rules), and one of framehop's caches for
//! what that leaves to framehop. Elsewhere it has only framehop's: one has room for 509 rules, too
//! few for a large program's functions, so a set has several and the address picks one. Sets are
//! made as they are needed, and table and caches in use double while too many look-ups miss: a
//! small program pays for a small part only.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

#[cfg(not(target_arch = "x86_64"))]
use framehop::Unwinder;
use framehop::{CacheNative, Error, FrameAddress, MustNotAllocateDuringUnwind, UnwindRegsNative};

use super::fork::PerProcess;
use super::modules::ModuleUnwinder;
#[cfg(target_arch = "x86_64")]
use super::rules::Rules;
use super::{supply, thread};

type Cache = CacheNative<MustNotAllocateDuringUnwind>;

/// framehop's caches in a set: at first, and at most. Powers of two.
const FIRST_CACHES: usize = if cfg!(target_arch = "x86_64") { 1 } else { 4 };
const CACHES: usize = if cfg!(target_arch = "x86_64") { 1 } else { 64 };
/// After so many look-ups in a cache it is judged, ...
const JUDGED_LOOKUPS: u64 = 1024;
/// ... and more than one miss in so many look-ups is too many: a miss costs some twenty hits.
const HITS_PER_MISS: u64 = 24;
/// Walks that may run at once; one more waits its turn.
const MAX_SETS: usize = 8;
/// Turns that a walk waits for a set before it gives up.
const MAX_TURNS: usize = 100_000;
/// What a cache takes, about: its rules and the unwinder's working space.
const CACHE_BYTES: usize = 36 << 10;

struct Set {
    caches: [Option<Box<Cache>>; CACHES],
    /// How many of them addresses are spread over: a power of two.
    in_use: usize,
    /// Look-ups and misses of the first cache when it was judged last.
    judged: (u64, u64),
    #[cfg(target_arch = "x86_64")]
    rules: Rules,
}

impl Set {
    /// Spreads addresses over twice as many caches if the first one misses too often. Rules that
    /// thereby end up in the wrong cache are soon found anew.
    fn judge(&mut self) {
        let Some(stats) = self.caches[0].as_ref().map(|cache| cache.stats()) else {
            return;
        };
        let (lookups, misses) = (stats.total(), stats.misses());
        let (lookups_before, misses_before) = self.judged;
        if lookups - lookups_before >= JUDGED_LOOKUPS {
            self.judged = (lookups, misses);
            if (misses - misses_before) * HITS_PER_MISS > lookups - lookups_before {
                self.in_use = CACHES.min(self.in_use * 2);
            }
        }
    }
}

#[derive(Default)]
struct Pool {
    /// Sets that nobody has checked out.
    free: [AtomicPtr<Set>; MAX_SETS],
    sets: AtomicUsize,
    caches: AtomicUsize,
    /// Bytes of the tables of rules.
    rules: AtomicUsize,
}

static POOL: PerProcess<Pool> = PerProcess::new();

impl Pool {
    /// The slots, this thread's own one first: what a thread puts back it mostly finds again, in
    /// its core's cache.
    fn slots(&self) -> impl Iterator<Item = &AtomicPtr<Set>> + Clone {
        let (before, from) = self.free.split_at(thread::number() % MAX_SETS);
        from.iter().chain(before)
    }
}

/// A set that is this walk's alone until it is dropped.
pub(crate) struct CheckedOut {
    pool: &'static Pool,
    set: *mut Set,
    may_make: bool,
}

/// Checks a set out, `None` if none can be had. Only if `may_make` are sets and caches made, which
/// takes room on the stack.
pub(crate) fn check_out(may_make: bool) -> Option<CheckedOut> {
    let pool = POOL.get_or_init(Pool::default)?;
    for _ in 0..MAX_TURNS {
        let free = pool.slots().find_map(|slot| {
            // Acquire: what the previous holder wrote into the set is seen.
            let set = slot.swap(ptr::null_mut(), Ordering::Acquire);
            (!set.is_null()).then_some(set)
        });
        let set = match free {
            Some(set) => set,
            None if may_make && pool.may_make_set() => {
                let Some(set) = make_set() else {
                    pool.sets.fetch_sub(1, Ordering::Relaxed);
                    return None;
                };
                set
            }
            None if pool.sets.load(Ordering::Relaxed) == 0 => return None,
            None => {
                std::thread::yield_now();
                continue;
            }
        };
        return Some(CheckedOut {
            pool,
            set,
            may_make,
        });
    }
    None
}

/// Bytes that all sets take, about.
pub(crate) fn bytes() -> usize {
    // Relaxed: a statistic.
    POOL.get().map_or(0, |pool| {
        pool.caches.load(Ordering::Relaxed) * CACHE_BYTES + pool.rules.load(Ordering::Relaxed)
    })
}

impl Pool {
    fn may_make_set(&self) -> bool {
        // Relaxed: a count, which publishes nothing.
        self.sets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sets| {
                (sets < MAX_SETS).then_some(sets + 1)
            })
            .is_ok()
    }
}

fn make_set() -> Option<*mut Set> {
    let make = || {
        Box::into_raw(Box::new(Set {
            caches: [const { None }; CACHES],
            in_use: FIRST_CACHES,
            judged: (0, 0),
            #[cfg(target_arch = "x86_64")]
            rules: Rules::new(),
        }))
    };
    // SAFETY: sets are never freed.
    unsafe { supply::with(size_of::<Set>(), make) }
}

fn make_cache() -> Option<Box<Cache>> {
    // SAFETY: no cache is ever taken out of its set, and sets are never freed.
    unsafe { supply::with(CACHE_BYTES, Box::<Cache>::default) }
}

impl CheckedOut {
    /// framehop's `unwind_frame`, by what the set knows. `None` if there is no memory for a cache.
    pub(crate) fn unwind_frame(
        &mut self,
        unwinder: &ModuleUnwinder,
        address: FrameAddress,
        regs: &mut UnwindRegsNative,
        read: &mut impl FnMut(u64) -> Result<u64, ()>,
    ) -> Option<Result<Option<u64>, Error>> {
        // SAFETY: the set came out of a slot, or was made, and goes back when `self` is dropped;
        // until then nobody else has it.
        let set = unsafe { &mut *self.set };
        let cache = cache_for(
            &mut set.caches[..set.in_use],
            address.address_for_lookup(),
            self.may_make,
            self.pool,
        )?;
        #[cfg(target_arch = "x86_64")]
        let found = set.rules.unwind_frame(unwinder, address, regs, cache, read);
        #[cfg(not(target_arch = "x86_64"))]
        let found = unwinder.unwind_frame(address, regs, cache, read);
        Some(found)
    }
}

/// The cache for an address, made if need be; another one if it cannot be made.
fn cache_for<'a>(
    caches: &'a mut [Option<Box<Cache>>],
    address: u64,
    may_make: bool,
    pool: &Pool,
) -> Option<&'a mut Cache> {
    // The upper bits of a multiplicative hash: framehop picks by the lower bits.
    let hash = address.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let index = (hash >> 32) as usize & (caches.len() - 1);
    if caches[index].is_none()
        && may_make
        && let Some(cache) = make_cache()
    {
        caches[index] = Some(cache);
        pool.caches.fetch_add(1, Ordering::Relaxed);
    }
    if caches[index].is_some() {
        return caches[index].as_deref_mut();
    }
    caches.iter_mut().flatten().next().map(|cache| &mut **cache)
}

impl Drop for CheckedOut {
    fn drop(&mut self) {
        // SAFETY: as in `unwind_frame`.
        let set = unsafe { &mut *self.set };
        set.judge();
        #[cfg(target_arch = "x86_64")]
        if self.may_make {
            let more = set.rules.grow_if_needed();
            self.pool.rules.fetch_add(more, Ordering::Relaxed);
        }
        // There are never more sets than slots, so one is always free; but not the same one, while
        // others come and go, so one look at each may miss it.
        for slot in self.pool.slots().cycle() {
            // Release: pairs with the acquire in `check_out`.
            let put = slot.compare_exchange(
                ptr::null_mut(),
                self.set,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if put.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set that finds no way back is lost for good, and when all are, no stack is captured any
    /// more.
    #[test]
    fn every_set_comes_back() {
        let all: Vec<_> = (0..MAX_SETS).map_while(|_| check_out(true)).collect();
        drop(all);
        std::thread::scope(|scope| {
            for _ in 0..MAX_SETS {
                scope.spawn(|| {
                    for _ in 0..100_000 {
                        drop(check_out(true));
                    }
                });
            }
        });
        let pool = POOL.get().unwrap();
        let free = pool
            .free
            .iter()
            .filter(|slot| !slot.load(Ordering::Relaxed).is_null());
        assert_eq!(free.count(), pool.sets.load(Ordering::Relaxed));
    }
}
