//! Stack → site, and each site's counters.
//!
//! Sites are never removed, so that a live sample may name its site by number. The table is in
//! shards, each behind its own lock, which is held for one look-up, one update or the copying of
//! one shard. All fields of a site change under that lock: who reads them reads one moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use crate::config::{MAX_SELF_BYTES, MAX_SITES};

use super::deaths::Deaths;
use super::fork::PerProcess;
use super::live::{self, LiveSample};
use super::loss::{self, Loss};
use super::sampler::mix;
use super::settings;
use super::stack::Stack;
use super::sum::Sum;

const SHARDS: usize = 64;

/// A site's deaths are kept from this many samples on: nothing is said of fewer, and most sites
/// never have more.
const MIN_SAMPLES_FOR_DEATHS: u64 = 4;

/// Buckets of a histogram of times, each twice as long as the one before.
pub const AGE_BUCKETS: usize = 40;

/// A site's number: its place in a shard times the number of shards, plus the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SiteId(u32);

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

    /// Its place in its shard.
    fn place(self) -> usize {
        self.0 as usize / SHARDS
    }
}

/// The one site for all stacks that found no room.
pub(crate) const OVERFLOW: SiteId = SiteId(u32::MAX);

/// A stack and what was counted for it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Return addresses, innermost first.
    pub(crate) stack: &'static [usize],
    pub(crate) truncated: bool,
    pub(crate) samples: u64,
    pub(crate) allocated: Sum,
    pub(crate) freed: Sum,
    /// Freed samples by lifetime.
    pub(crate) lifetimes: [u32; AGE_BUCKETS],
    /// Place of its deaths in its shard, from the first one on.
    deaths: Option<u32>,
    /// The tick from which on no death is missing among them.
    deaths_since: u32,
}

impl Site {
    const fn new(stack: &'static [usize], truncated: bool) -> Site {
        Site {
            stack,
            truncated,
            samples: 0,
            allocated: Sum::NOTHING,
            freed: Sum::NOTHING,
            lifetimes: [0; AGE_BUCKETS],
            deaths: None,
            deaths_since: 0,
        }
    }
}

struct Shard {
    /// Places in `sites`, by the hash of their stacks.
    index: HashTable<u32>,
    sites: Vec<Site>,
    deaths: Vec<Deaths>,
}

/// All stacks for which there was no room.
struct Overflow {
    site: Site,
    deaths: Deaths,
}

struct Sites {
    shards: [Mutex<Shard>; SHARDS],
    overflow: Mutex<Overflow>,
    count: AtomicUsize,
    bytes: AtomicUsize,
}

static SITES: PerProcess<Sites> = PerProcess::new();

fn sites() -> Option<&'static Sites> {
    SITES.get_or_init(|| Sites {
        shards: [const { Mutex::new(Shard::new()) }; SHARDS],
        overflow: Mutex::new(Overflow {
            site: Site::new(&[], true),
            deaths: Deaths::new(),
        }),
        count: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
    })
}

/// Makes the empty table, as [`live::prepare`](super::live::prepare) does.
pub(crate) fn prepare() {
    let _ = sites();
}

/// The site of a stack, made if need be; the overflow site if there is no room for it. `None`
/// without memory for the table itself.
pub(crate) fn find_or_insert(stack: &Stack) -> Option<SiteId> {
    let sites = sites()?;
    let hash = hash_of(stack.frames());
    let number = (hash >> 32) as usize % SHARDS;
    let mut shard = lock(sites.shards.get(number)?);
    let id = shard
        .find(hash, stack)
        .or_else(|| sites.insert(&mut shard, hash, stack));
    match id {
        Some(place) => Some(SiteId(place * SHARDS as u32 + number as u32)),
        None => {
            loss::count(Loss::SitesFull);
            Some(OVERFLOW)
        }
    }
}

/// Counts a new sample.
pub(crate) fn allocated(id: SiteId, sum: &Sum) {
    let Some(sites) = SITES.get() else { return };
    let count = |site: &mut Site| {
        site.samples += 1;
        site.allocated.add(sum);
    };
    if id == OVERFLOW {
        count(&mut lock(&sites.overflow).site);
    } else if let Some(shard) = sites.shard(id)
        && let Some(site) = lock(shard).sites.get_mut(id.place())
    {
        count(site);
    }
}

/// Counts the free of a sample.
pub(crate) fn freed(sample: &LiveSample, now_ns: u64) {
    let Some(sites) = SITES.get() else { return };
    let sum = Sum::of(sample.size, sample.interval);
    let bucket = age_bucket(now_ns.saturating_sub(sample.birth_ns));
    let count = |site: &mut Site| {
        site.freed.add(&sum);
        if let Some(count) = site.lifetimes.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    };
    if sample.site == OVERFLOW {
        let mut overflow = lock(&sites.overflow);
        count(&mut overflow.site);
        let (birth, now) = (
            settings::tick_of(sample.birth_ns),
            settings::tick_of(now_ns),
        );
        overflow.deaths.record(birth, now);
    } else if let Some(shard) = sites.shard(sample.site) {
        let mut shard = lock(shard);
        let place = sample.site.place();
        if let Some(site) = shard.sites.get_mut(place) {
            count(site);
        }
        sites.record_death(&mut shard, place, sample.birth_ns, now_ns);
    }
}

/// A copy of a site's deaths by birth and age, in ticks, `None` before the first; and the tick from
/// which on none is missing among them.
pub(crate) fn deaths(id: SiteId) -> Option<(Option<Deaths>, u32)> {
    if id == OVERFLOW {
        let overflow = lock(&SITES.get()?.overflow);
        return Some((Some(overflow.deaths.clone()), overflow.site.deaths_since));
    }
    let shard = lock(SITES.get()?.shard(id)?);
    let site = shard.sites.get(id.place())?;
    let table = site
        .deaths
        .and_then(|place| shard.deaths.get(place as usize).cloned());
    Some((table, site.deaths_since))
}

/// Forgets all deaths: they were counted in ticks of another length. `now` is in ticks of the new one.
pub(crate) fn forget_deaths(now: u32) {
    let Some(sites) = SITES.get() else { return };
    for shard in &sites.shards {
        let mut shard = lock(shard);
        shard.deaths.fill_with(Deaths::new);
        for site in &mut shard.sites {
            site.deaths_since = now.saturating_add(1);
        }
    }
    let mut overflow = lock(&sites.overflow);
    overflow.deaths = Deaths::new();
    overflow.site.deaths_since = now.saturating_add(1);
}

/// Copies all sites, shard by shard; memory for the copy is taken before a shard is locked.
pub(crate) fn read() -> Vec<(SiteId, Site)> {
    let Some(sites) = SITES.get() else {
        return Vec::new();
    };
    // Relaxed: an estimate of the size.
    let mut copy = Vec::with_capacity(sites.count.load(Ordering::Relaxed) + SHARDS);
    for (number, shard) in sites.shards.iter().enumerate() {
        copy.reserve(MAX_SITES / SHARDS);
        let shard = lock(shard);
        copy.extend(
            shard
                .sites
                .iter()
                .enumerate()
                // One was found for a sample that is not counted yet.
                .filter(|(_, site)| site.samples > 0)
                .map(|(place, site)| (SiteId((place * SHARDS + number) as u32), site.clone())),
        );
    }
    let overflow = lock(&sites.overflow).site.clone();
    if overflow.samples > 0 {
        copy.push((OVERFLOW, overflow));
    }
    copy
}

/// Bytes that the table takes.
pub(crate) fn bytes() -> usize {
    // Relaxed: a statistic.
    SITES
        .get()
        .map_or(0, |sites| sites.bytes.load(Ordering::Relaxed))
}

/// Which bucket a time falls into: bucket `i` is for less than 2^(i+10) ns, the last for the rest.
pub(crate) fn age_bucket(ns: u64) -> usize {
    ((u64::BITS - (ns >> 10).leading_zeros()) as usize).min(AGE_BUCKETS - 1)
}

impl Shard {
    const fn new() -> Shard {
        Shard {
            index: HashTable::new(),
            sites: Vec::new(),
            deaths: Vec::new(),
        }
    }

    fn find(&self, hash: u64, stack: &Stack) -> Option<u32> {
        let same = |place: &u32| {
            self.sites.get(*place as usize).is_some_and(|site| {
                site.stack == stack.frames() && site.truncated == stack.truncated
            })
        };
        self.index.find(hash, same).copied()
    }

    fn bytes(&self) -> usize {
        self.index.allocation_size()
            + self.sites.capacity() * size_of::<Site>()
            + self.deaths.capacity() * size_of::<Deaths>()
    }
}

impl Sites {
    fn shard(&self, id: SiteId) -> Option<&Mutex<Shard>> {
        self.shards.get(id.0 as usize % SHARDS)
    }

    /// Enters a death into the site's table, made if need be and if there is plenty of room: telling
    /// more sites apart and keeping more samples come first.
    fn record_death(&self, shard: &mut Shard, place: usize, birth_ns: u64, now_ns: u64) {
        let before = shard.bytes();
        let Shard { sites, deaths, .. } = shard;
        let Some(site) = sites.get_mut(place) else {
            return;
        };
        if site.deaths.is_none()
            && site.samples >= MIN_SAMPLES_FOR_DEATHS
            && super::table_bytes() < MAX_SELF_BYTES / 4
            && deaths.try_reserve(1).is_ok()
        {
            site.deaths = Some(deaths.len() as u32);
            deaths.push(Deaths::new());
        }
        let table = site.deaths.and_then(|place| deaths.get_mut(place as usize));
        if let Some(table) = table {
            table.record(settings::tick_of(birth_ns), settings::tick_of(now_ns));
        } else if site.samples >= MIN_SAMPLES_FOR_DEATHS {
            site.deaths_since = settings::tick_of(now_ns).saturating_add(1);
        }
        self.bytes
            .fetch_add(shard.bytes() - before, Ordering::Relaxed);
    }

    /// `None` if the table is full or there is no memory.
    fn insert(&self, shard: &mut Shard, hash: u64, stack: &Stack) -> Option<u32> {
        // Relaxed: bounds that may be missed by as many sites as there are threads. A shard that
        // gets more than twice its share would exceed what `read` and the numbers allow for.
        if self.count.load(Ordering::Relaxed) >= MAX_SITES
            || shard.sites.len() >= 2 * MAX_SITES / SHARDS
            || super::table_bytes().saturating_sub(live::bytes()) + live::reserved_bytes()
                >= MAX_SELF_BYTES
        {
            return None;
        }
        let before = shard.bytes();
        let Shard { index, sites, .. } = shard;
        sites.try_reserve(1).ok()?;
        let rehash = |place: &u32| sites.get(*place as usize).map_or(0, |s| hash_of(s.stack));
        index.try_reserve(1, rehash).ok()?;
        let mut frames = Vec::new();
        frames.try_reserve_exact(stack.frames().len()).ok()?;
        frames.extend_from_slice(stack.frames());
        let place = sites.len() as u32;
        index.insert_unique(hash, place, rehash);
        sites.push(Site::new(frames.leak(), stack.truncated));
        let grown = shard.bytes() - before + size_of_val(stack.frames());
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(grown, Ordering::Relaxed);
        Some(place)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks, so they are never poisoned.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash_of(frames: &[usize]) -> u64 {
    // One multiplication per frame, as a capture is short; the bits are spread at the end.
    let hash = frames.iter().fold(frames.len() as u64, |hash, &frame| {
        (hash.rotate_left(23) ^ frame as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    mix(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without its deaths every object of the overflow site that is alive would look as if none had ever died.
    #[test]
    fn the_overflow_sites_deaths_are_known() {
        prepare();
        let sample = LiveSample {
            address: 0,
            size: 64,
            birth_ns: 0,
            interval: 1,
            site: OVERFLOW,
        };
        freed(&sample, 0);
        let (deaths, since) = deaths(OVERFLOW).expect("the table was made");
        let died: usize = (deaths.iter().flat_map(Deaths::cells))
            .map(|cell| usize::from(cell.count))
            .sum();
        assert_eq!((died, since), (1, 0));
    }
}
