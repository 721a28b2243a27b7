//! What each site held at each tick, in memory that does not grow with time. The thread that notes it
//! is in `crate::history`.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::PerProcess;
use super::evidence::{self, SiteKey};
use super::series::{self, Series};

/// Sites whose history is kept. Beyond that, sites that hold nothing now make room.
pub(crate) const MAX_SITES: usize = 8_192;

/// The minimum watch unless told otherwise, in ticks: 5 min at the usual tick.
const MIN_WATCH_TICKS: f64 = 60.0;

/// Nanoseconds; 0 where nobody set it.
static MIN_WATCH_NS: AtomicU64 = AtomicU64::new(0);

static HISTORY: PerProcess<Mutex<History>> = PerProcess::new();

/// One process's history.
#[derive(Default)]
pub(crate) struct History {
    /// The tick of the first reading.
    started: Option<u32>,
    /// A history is of one tick; another tick begins another history.
    tick_seconds: f64,
    sites: HashMap<SiteKey, Box<SiteHistory>>,
    /// Sites that found no room, at the last tick.
    left_out: usize,
    /// When the last tick was noted.
    last_noted: Option<SystemTime>,
}

struct SiteHistory {
    series: Series,
    samples: u64,
    allocated_bytes: f64,
}

/// From now on every snapshot carries the history.
pub(crate) fn begin() {
    HISTORY.get_or_init(Mutex::default);
}

/// Adds what the sites hold now at this tick. `more_bytes` is what else the watching thread keeps.
pub(crate) fn note(tick: u32, readings: &[evidence::Past], more_bytes: usize) {
    if let Some(history) = HISTORY.get_or_init(Mutex::default) {
        let mut history = lock(history);
        history.note(tick, evidence::tick_seconds(), readings);
        history.last_noted = Some(SystemTime::now());
        evidence::set_history_bytes(history.bytes() + more_bytes);
    }
}

/// What the history says now; `None` where none was begun.
pub(super) fn read<T>(with: impl FnOnce(&History) -> T) -> Option<T> {
    HISTORY.get().map(|history| with(&lock(history)))
}

/// When the last tick was noted; none before the first.
#[cfg(feature = "server")]
pub(crate) fn last_noted() -> Option<SystemTime> {
    read(|history| history.last_noted).flatten()
}

/// Changes the minimum watch.
#[cfg(feature = "server")]
pub(crate) fn set_min_watch(time: std::time::Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // Relaxed: the number stands for itself.
    MIN_WATCH_NS.store(nanos.max(1), Ordering::Relaxed);
}

/// Nothing is judged before this many seconds were watched.
pub(super) fn min_watch_seconds() -> f64 {
    match MIN_WATCH_NS.load(Ordering::Relaxed) {
        0 => MIN_WATCH_TICKS * evidence::tick_seconds(),
        nanos => nanos as f64 / 1e9,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl History {
    fn note(&mut self, now: u32, tick_seconds: f64, readings: &[evidence::Past]) {
        if self.tick_seconds != tick_seconds {
            *self = History {
                tick_seconds,
                ..History::default()
            };
        }
        let started = *self.started.get_or_insert(now);
        let tick = now.saturating_sub(started);
        self.left_out = 0;
        // Looked for once a tick: thousands may find none.
        let mut room = true;
        let (known_before, mut known_sites) = (self.sites.len(), 0);
        for reading in readings {
            let known = self.sites.contains_key(&reading.site);
            known_sites += usize::from(known);
            let holds = reading.live().bytes > 0.0;
            if !known && holds {
                room = room && self.make_room();
            }
            if !known && (!holds || !room) {
                self.left_out += usize::from(holds);
                continue;
            }
            let site = self
                .sites
                .entry(reading.site)
                .or_insert_with(|| Box::new(SiteHistory::new(tick, reading)));
            site.note(tick, reading);
        }
        if known_before > known_sites {
            self.forget_all_but(readings);
        }
    }

    /// Forgets sites that were removed, as the code that they were in was unloaded.
    fn forget_all_but(&mut self, readings: &[evidence::Past]) {
        let present: HashSet<SiteKey> = readings.iter().map(|reading| reading.site).collect();
        self.sites.retain(|site, _| present.contains(site));
    }

    /// Whether one more site may have a history.
    fn make_room(&mut self) -> bool {
        if self.sites.len() < MAX_SITES {
            return true;
        }
        self.sites.retain(|_, site| site.series.live() > 0.0);
        self.sites.len() < MAX_SITES
    }

    /// The history of a site.
    pub(super) fn series(&self, site: SiteKey) -> Option<&Series> {
        self.sites.get(&site).map(|site| &site.series)
    }

    /// The tick of the first reading, counted from the start of the process.
    pub(super) fn started(&self) -> Option<u32> {
        self.started
    }

    /// Sites without a history because there are too many.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Bytes that the history takes, about.
    fn bytes(&self) -> usize {
        let slot = size_of::<SiteKey>() + size_of::<usize>() + 1;
        self.sites.capacity() * slot + self.sites.len() * size_of::<SiteHistory>()
    }
}

impl SiteHistory {
    /// What a site did before its history begins is not part of it. At the first tick that is all; a
    /// site that is found later may have come and gone for long, and what is alive of it is new.
    fn new(tick: u32, reading: &evidence::Past) -> Self {
        let (allocated, freed) = (reading.allocated.bytes, reading.freed.bytes);
        let before = if tick == 0 { allocated } else { freed };
        let share = if allocated > 0.0 {
            before / allocated
        } else {
            0.0
        };
        Self {
            series: Series::new(tick),
            samples: (reading.samples as f64 * share).round() as u64,
            allocated_bytes: before,
        }
    }

    fn note(&mut self, tick: u32, reading: &evidence::Past) {
        self.series.push(
            tick,
            &series::Reading {
                live_bytes: reading.live().bytes as u64,
                births: reading.samples.saturating_sub(self.samples),
                allocated_bytes: (reading.allocated.bytes - self.allocated_bytes).max(0.0) as u64,
            },
        );
        self.samples = reading.samples;
        self.allocated_bytes = reading.allocated.bytes;
    }
}

#[cfg(test)]
mod tests;
