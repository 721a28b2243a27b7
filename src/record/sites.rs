//! Stack → site, and each site's counters.
//!
//! The table is in shards, each behind its own lock, which is held for one look-up and update or the
//! copying of one shard. All fields of a site change under that lock: who reads them reads one
//! moment.
//!
//! A site is removed only when its stack cannot come again, because it leads through code that was
//! unloaded, and when nothing of it is live. What it counted goes to the site of the rest, so that
//! totals never go down.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock, RwLockReadGuard};

use hashbrown::HashTable;

use crate::config::{MAX_SELF_BYTES, MAX_SITES};

use super::budget;
use super::deaths::Deaths;
use super::fork::PerProcess;
use super::live::{self, LiveSample};
use super::loss::{self, Loss};
use super::own::{Own, OwnVec};
use super::sampler::mix;
use super::settings;
pub use super::site::AGE_BUCKETS;
pub(crate) use super::site::{Site, age_bucket};
use super::site_id::{MAX_IN_SHARD, MAX_USE, SHARDS};
pub(crate) use super::site_id::{OVERFLOW, SiteId};
use super::stack::Captured;
use super::sum::Sum;
use super::sync::lock;

/// A site's deaths are kept from this many samples on: nothing is said of fewer, and most sites
/// never have more.
const MIN_SAMPLES_FOR_DEATHS: u64 = 4;

struct Shard {
    /// Places in `sites`, by the hash of their stacks.
    index: HashTable<u32, Own>,
    sites: OwnVec<Site>,
    /// Places of sites that are no more.
    free: OwnVec<u32>,
    deaths: OwnVec<Deaths>,
    free_deaths: OwnVec<u32>,
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
    /// Held while stacks are read without a shard's lock.
    reading: RwLock<()>,
}

static SITES: PerProcess<Sites> = PerProcess::new();

fn sites() -> Option<&'static Sites> {
    SITES.get_or_init(|| Sites {
        shards: [const { Mutex::new(Shard::new()) }; SHARDS],
        overflow: Mutex::new(Overflow {
            site: Site::new(&[], true, 0, 0),
            deaths: Deaths::new(),
        }),
        count: AtomicUsize::new(0),
        reading: RwLock::new(()),
    })
}

/// Makes the empty table, as [`live::prepare`] does.
pub(crate) fn prepare() {
    let _ = sites();
}

/// Counts a new sample at the site of its stack, made if need be; at the overflow site if there is
/// no room for it. `None` without memory for the table itself.
pub(crate) fn count(stack: Captured<'_>, sum: &Sum) -> Option<SiteId> {
    let sites = sites()?;
    // Spread, as a stack's is one multiplication per frame.
    let hash = mix(stack.hash);
    let number = (hash >> 32) as usize % SHARDS;
    let mut shard = lock(sites.shards.get(number)?);
    let place = shard
        .find(hash, stack)
        .or_else(|| sites.insert(&mut shard, hash, stack));
    if let Some(place) = place
        && let Some(site) = shard.sites.get_mut(place as usize)
    {
        site.count(sum);
        return Some(SiteId::new(number, place as usize, site.uses));
    }
    drop(shard);
    loss::count(Loss::SitesFull);
    lock(&sites.overflow).site.count(sum);
    Some(OVERFLOW)
}

/// Takes back what [`count`] counted: there is no room for the sample itself.
pub(crate) fn uncount(id: SiteId, sum: &Sum) {
    with_site(id, |site| {
        site.samples = site.samples.saturating_sub(1);
        site.allocated = site.allocated.without(sum);
    });
}

/// Counts the free of a sample.
pub(crate) fn freed(sample: &LiveSample, now_ns: u64) {
    let Some(sites) = SITES.get() else { return };
    let sum = Sum::of(sample.size, sample.interval);
    let bucket = age_bucket(now_ns.saturating_sub(sample.birth_ns));
    let (birth, now) = (
        settings::tick_of(sample.birth_ns),
        settings::tick_of(now_ns),
    );
    if sample.site == OVERFLOW {
        let mut overflow = lock(&sites.overflow);
        overflow.site.count_freed(&sum, bucket);
        overflow.deaths.record(birth, now);
    } else if let Some(shard) = sites.shards.get(sample.site.shard()) {
        let mut shard = lock(shard);
        if let Some(site) = shard.site(sample.site) {
            site.count_freed(&sum, bucket);
            shard.record_death(sample.site.place(), birth, now);
        }
    }
}

fn with_site(id: SiteId, change: impl FnOnce(&mut Site)) {
    let Some(sites) = SITES.get() else { return };
    if id == OVERFLOW {
        change(&mut lock(&sites.overflow).site);
    } else if let Some(shard) = sites.shards.get(id.shard())
        && let Some(site) = lock(shard).site(id)
    {
        change(site);
    }
}

/// A copy of a site's deaths by birth and age, in ticks, `None` before the first; and the tick from
/// which on none is missing among them.
pub(crate) fn deaths(id: SiteId) -> Option<(Option<Deaths>, u32)> {
    if id == OVERFLOW {
        let overflow = lock(&SITES.get()?.overflow);
        return Some((Some(overflow.deaths.clone()), overflow.site.deaths_since));
    }
    let mut shard = lock(SITES.get()?.shards.get(id.shard())?);
    let site = shard.site(id)?;
    let (place, since) = (site.deaths, site.deaths_since);
    let table = place.and_then(|place| shard.deaths.get(place as usize).cloned());
    Some((table, since))
}

/// Forgets all deaths: they were counted in ticks of another length. `now` is in ticks of the new one.
pub(crate) fn forget_deaths(now: u32) {
    let Some(sites) = SITES.get() else { return };
    for shard in &sites.shards {
        let mut shard = lock(shard);
        shard.deaths.fill_with(Deaths::new);
        for site in shard.sites.iter_mut() {
            site.deaths_since = now.saturating_add(1);
        }
    }
    let mut overflow = lock(&sites.overflow);
    overflow.deaths = Deaths::new();
    overflow.site.deaths_since = now.saturating_add(1);
}

/// A copy of all sites. Their stacks are not copied: while this lives, none is freed.
pub(crate) struct Reading {
    pub(crate) sites: Vec<(SiteId, Site)>,
    _stacks: Option<RwLockReadGuard<'static, ()>>,
}

/// Copies all sites, shard by shard; memory for the copy is taken before a shard is locked. `None`
/// without memory for it.
pub(crate) fn read() -> Option<Reading> {
    let mut copy = Vec::new();
    let Some(sites) = SITES.get() else {
        return Some(Reading {
            sites: copy,
            _stacks: None,
        });
    };
    let reading = sites.reading.read();
    let reading = reading.unwrap_or_else(std::sync::PoisonError::into_inner);
    // Relaxed: an estimate of the size.
    copy.try_reserve(sites.count.load(Ordering::Relaxed) + SHARDS)
        .ok()?;
    for (number, shard) in sites.shards.iter().enumerate() {
        copy.try_reserve(MAX_IN_SHARD + 1).ok()?;
        let shard = lock(shard);
        let all = shard.sites.iter().enumerate();
        copy.extend(
            all.filter(|(_, site)| site.samples > 0)
                .map(|(place, site)| (SiteId::new(number, place, site.uses), site.clone())),
        );
    }
    let overflow = lock(&sites.overflow).site.clone();
    if overflow.samples > 0 {
        copy.push((OVERFLOW, overflow));
    }
    Some(Reading {
        sites: copy,
        _stacks: Some(reading),
    })
}

/// Removes the sites of which nothing is live and whose stack has a frame that `is_gone`, if there
/// are more than `keep` of them: fewer stay in reports. False if that must wait for a report.
pub(crate) fn reclaim(keep: usize, is_gone: impl Fn(usize) -> bool) -> bool {
    let Some(sites) = SITES.get() else {
        return true;
    };
    let is_dead = |site: &Site| {
        site.samples > 0
            && site.allocated == site.freed
            && site.uses < MAX_USE
            && site.stack.iter().any(|frame| is_gone(*frame))
    };
    let dead = |shard: &Mutex<Shard>| {
        lock(shard)
            .sites
            .iter()
            .filter(|site| is_dead(site))
            .count()
    };
    if sites.shards.iter().map(dead).sum::<usize>() <= keep {
        return true;
    }
    // Tried, not waited for: a report may take seconds.
    let Ok(_alone) = sites.reading.try_write() else {
        return false;
    };
    for shard in &sites.shards {
        let mut shard = lock(shard);
        for place in 0..shard.sites.len() {
            if shard.sites.get(place).is_some_and(is_dead)
                && let Some(site) = shard.remove(place)
            {
                sites.count.fetch_sub(1, Ordering::Relaxed);
                lock(&sites.overflow).site.add(&site);
            }
        }
    }
    true
}

impl Shard {
    const fn new() -> Shard {
        Shard {
            index: HashTable::new_in(Own::Sites),
            sites: OwnVec::new_in(Own::Sites),
            free: OwnVec::new_in(Own::Sites),
            deaths: OwnVec::new_in(Own::Sites),
            free_deaths: OwnVec::new_in(Own::Sites),
        }
    }

    fn find(&self, hash: u64, stack: Captured<'_>) -> Option<u32> {
        let same = |place: &u32| {
            self.sites.get(*place as usize).is_some_and(|site| {
                site.hash == hash && site.truncated == stack.truncated && site.stack == stack.frames
            })
        };
        self.index.find(hash, same).copied()
    }

    fn site(&mut self, id: SiteId) -> Option<&mut Site> {
        let site = self.sites.get_mut(id.place())?;
        (site.uses == id.uses()).then_some(site)
    }

    /// Enters a death into the site's table, made if need be and if there is plenty of room: telling
    /// more sites apart and keeping more samples come first.
    fn record_death(&mut self, place: usize, birth: u32, now: u32) {
        let Some(site) = self.sites.get_mut(place) else {
            return;
        };
        if site.samples < MIN_SAMPLES_FOR_DEATHS {
            return;
        }
        if site.deaths.is_none() && budget::table_bytes() < MAX_SELF_BYTES / 4 {
            let reused = self.free_deaths.pop();
            if reused.is_some() || self.deaths.try_reserve(1).is_ok() {
                site.deaths = reused.or(Some(self.deaths.len() as u32));
                if reused.is_none() {
                    self.deaths.push(Deaths::new());
                }
            }
        }
        let table = site
            .deaths
            .and_then(|place| self.deaths.get_mut(place as usize));
        match table {
            Some(table) => table.record(birth, now),
            None => site.deaths_since = now.saturating_add(1),
        }
    }

    /// Takes a site out. Room for its places on the free lists is had first.
    fn remove(&mut self, place: usize) -> Option<Site> {
        self.free.try_reserve(1).ok()?;
        self.free_deaths.try_reserve(1).ok()?;
        let site = self.sites.get_mut(place)?;
        let entry = self
            .index
            .find_entry(site.hash, |other| *other as usize == place);
        entry.ok()?.remove();
        let empty = Site::new(&[], false, 0, site.uses + 1);
        let removed = std::mem::replace(site, empty);
        self.free.push(place as u32);
        if let Some(place) = removed.deaths
            && let Some(table) = self.deaths.get_mut(place as usize)
        {
            *table = Deaths::new();
            self.free_deaths.push(place);
        }
        // SAFETY: the stack was kept by `insert`; the site that had it is no more, and the caller
        // makes sure that nobody reads stacks.
        unsafe { Own::Sites.forget(removed.stack) };
        Some(Site {
            stack: &[],
            ..removed
        })
    }
}

impl Sites {
    /// `None` if the table is full or there is no memory.
    fn insert(&self, shard: &mut Shard, hash: u64, stack: Captured<'_>) -> Option<u32> {
        // Relaxed: bounds that may be missed by as many sites as there are threads. A shard that
        // gets more than twice its share would exceed what `read` and the numbers allow for.
        if self.count.load(Ordering::Relaxed) >= MAX_SITES
            || (shard.free.is_empty() && shard.sites.len() >= MAX_IN_SHARD)
            || budget::table_bytes().saturating_sub(Own::Live.bytes()) + live::reserved_bytes()
                >= MAX_SELF_BYTES
        {
            return None;
        }
        let Shard {
            index, sites, free, ..
        } = shard;
        sites.try_reserve(1).ok()?;
        let rehash = |place: &u32| sites.get(*place as usize).map_or(0, |site| site.hash);
        index.try_reserve(1, rehash).ok()?;
        let frames = Own::Sites.keep(stack.frames)?;
        let place = free.pop().unwrap_or(sites.len() as u32);
        index.insert_unique(hash, place, rehash);
        match sites.get_mut(place as usize) {
            Some(empty) => *empty = Site::new(frames, stack.truncated, hash, empty.uses),
            None => sites.push(Site::new(frames, stack.truncated, hash, 0)),
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }
}

#[cfg(test)]
mod tests;
