//! What the history and the verdicts on growth need beyond a snapshot's counters.

#[cfg(feature = "server")]
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(feature = "server")]
use std::time::{Duration, UNIX_EPOCH};

use crate::Error;
use crate::record::live::LiveSample;
use crate::record::sites::{self, SiteId};
use crate::record::{self, clock, sampler, settings};

pub(crate) use crate::record::deaths::{Cell, Deaths, shift_for};

use super::hash::NumberMap;
use super::watched::{SiteWatch, Watched};
#[cfg(feature = "server")]
use super::{AGE_BUCKETS, Extent, Facts, Info, Site, Snapshot};
use super::{PerProcess, Totals, history, take};

/// What the history takes, so that every snapshot states it with the tables.
static HISTORY_BYTES: PerProcess<AtomicUsize> = PerProcess::new();

/// Names a site within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SiteKey(pub(super) SiteId);

#[cfg(test)]
impl SiteKey {
    /// The site of this number.
    pub(crate) fn of(number: u32) -> Self {
        SiteKey(SiteId::numbered(number))
    }
}

/// A site's counters at one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Past {
    pub(crate) site: SiteKey,
    /// Samples taken since the start.
    pub(crate) samples: u64,
    /// Allocated since the start.
    pub(crate) allocated: Totals,
    /// Freed since the start.
    pub(crate) freed: Totals,
}

impl Past {
    /// A site at a time when it was not there.
    #[cfg(feature = "server")]
    pub(crate) fn nothing(site: SiteKey) -> Past {
        Past {
            site,
            samples: 0,
            allocated: Totals::default(),
            freed: Totals::default(),
        }
    }

    /// Whether the site was not there.
    #[cfg(feature = "server")]
    pub(crate) fn is_nothing(&self) -> bool {
        self.samples == 0
    }

    /// Allocated and not yet freed. Both sums are rounded in the same way and only grow, so none of
    /// this is negative.
    pub(crate) fn live(&self) -> Totals {
        let (born, died) = (&self.allocated, &self.freed);
        Totals {
            objects: born.objects - died.objects,
            bytes: born.bytes - died.bytes,
            objects_variance: born.objects_variance - died.objects_variance,
            bytes_variance: born.bytes_variance - died.bytes_variance,
        }
    }
}

/// A sampled object that is alive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LiveObject {
    /// The tick of its birth, counted from the start of the process.
    pub(crate) birth: u32,
    /// The number of objects that it stands for.
    pub(crate) weight: f32,
    /// Its own size.
    pub(crate) bytes: u64,
}

impl LiveObject {
    /// Bytes that it stands for.
    pub(crate) fn estimate(&self) -> f64 {
        self.bytes as f64 * f64::from(self.weight)
    }
}

/// What is to be done now and then outside of malloc.
pub(crate) fn maintain() {
    record::maintain();
}

/// All sites' counters now; `None` without memory for them.
pub(crate) fn readings() -> Option<Vec<Past>> {
    let read = |(id, site): &(SiteId, sites::Site)| Past {
        site: SiteKey(*id),
        samples: site.samples,
        allocated: take::totals(&site.allocated),
        freed: take::totals(&site.freed),
    };
    let sites = sites::read()?.sites;
    Some(sites.iter().map(read).collect())
}

/// A snapshot, and where in it what each key names is.
#[cfg(feature = "server")]
pub(crate) fn with_keys() -> Result<(Snapshot, Vec<(SiteKey, usize)>), Error> {
    super::check_installed()?;
    let (snapshot, places) = super::muted(|| take::take(Extent::Growth))?;
    Ok((snapshot, keys(places).collect()))
}

pub(super) fn keys(places: take::Places) -> impl Iterator<Item = (SiteKey, usize)> {
    places.into_iter().map(|(id, place)| (SiteKey(id), place))
}

/// The snapshot as it would have been taken when its sites' counters were those of `past`. What
/// only the present knows is left out: lifetimes, ages, the process's figures. What was dropped until
/// now stays stated, because when it was is not known.
#[cfg(feature = "server")]
pub(crate) fn back_to(
    now: &Snapshot,
    keys: &[(SiteKey, usize)],
    at_seconds: f64,
    past: &HashMap<SiteKey, Past>,
) -> Snapshot {
    let then = |site: &Site, past: &Past| Site {
        live: past.live(),
        allocated: past.allocated,
        freed: past.freed,
        samples: past.samples,
        lifetimes: [0; AGE_BUCKETS],
        ages: [0; AGE_BUCKETS],
        ..site.clone()
    };
    let mut sites: Vec<Option<Site>> = vec![None; now.sites.len()];
    for (key, place) in keys {
        if let Some(past) = past.get(key).filter(|past| past.samples > 0) {
            let site = then(&now.sites[*place], past);
            match &mut sites[*place] {
                Some(joined) => joined.join(&site),
                none => *none = Some(site),
            }
        }
    }
    let sites: Vec<Site> = sites.into_iter().flatten().collect();
    let ago = Duration::from_secs_f64((now.info.watched_seconds - at_seconds).max(0.0));
    Snapshot {
        info: Info {
            taken: now.info.taken.checked_sub(ago).unwrap_or(UNIX_EPOCH),
            watched_seconds: at_seconds,
            samples: sites.iter().map(|site| site.samples).sum(),
            process: Facts::default(),
            ..now.info.clone()
        },
        sites,
        watched: None,
        ..now.clone()
    }
}

/// What is known beyond the counters of so many sites, whose places and samples that are alive are
/// given; none where nobody watches.
pub(super) fn watched(
    places: &[(SiteId, usize)],
    sites: usize,
    now: u32,
    live: &[LiveSample],
) -> Option<Box<Watched>> {
    history::read(|history| {
        let mut live = by_site(live);
        let mut site = |id: &SiteId| {
            let (deaths, deaths_since) = sites::deaths(*id).unwrap_or((None, u32::MAX));
            SiteWatch {
                series: history.series(SiteKey(*id)).cloned().map(Box::new),
                deaths: deaths.map(Box::new),
                deaths_since,
                live: live.remove(id).unwrap_or_default(),
            }
        };
        let mut sites = vec![SiteWatch::default(); sites];
        for (id, place) in places {
            sites[*place].join(site(id));
        }
        Box::new(Watched {
            now,
            started: history.started().unwrap_or(now).min(now),
            tick_seconds: tick_seconds(),
            min_seconds: history::min_watch_seconds(),
            sites_left_out: history.left_out(),
            sites,
        })
    })
}

fn by_site(samples: &[LiveSample]) -> NumberMap<SiteId, Vec<LiveObject>> {
    let mut objects: NumberMap<_, Vec<_>> = NumberMap::default();
    for sample in samples {
        objects.entry(sample.site).or_default().push(LiveObject {
            birth: settings::tick_of(sample.birth_ns),
            weight: sampler::weight(sample.size, sample.interval) as f32,
            bytes: sample.size as u64,
        });
    }
    objects
}

/// States what the history takes.
pub(crate) fn set_history_bytes(bytes: usize) {
    if let Some(stated) = HISTORY_BYTES.get_or_init(AtomicUsize::default) {
        // Relaxed: a figure that nothing else is read by.
        stated.store(bytes, Ordering::Relaxed);
    }
}

/// What the history takes.
pub(super) fn history_bytes() -> usize {
    HISTORY_BYTES
        .get()
        .map_or(0, |stated| stated.load(Ordering::Relaxed))
}

/// The tick now, counted from the start of the process.
pub(crate) fn tick_now() -> u32 {
    settings::tick_of(clock::now_ns())
}

/// Nanoseconds until the next tick begins.
pub(crate) fn until_next_tick_ns() -> u64 {
    let tick = settings::tick_ns();
    tick - clock::now_ns() % tick
}

/// Seconds since the profile began, as [`Info::watched_seconds`](super::Info) counts them.
#[cfg(feature = "server")]
pub(crate) fn watched_seconds() -> f64 {
    take::watched_seconds(clock::now_ns())
}

/// Names this process's profile, as [`Info::profile_id`](super::Info) does.
#[cfg(feature = "server")]
pub(crate) fn profile_id() -> u64 {
    take::profile_id(clock::now_ns())
}

/// When a tick began, in seconds since the profile did.
#[cfg(feature = "server")]
pub(crate) fn seconds_of_tick(tick: u32) -> f64 {
    take::watched_seconds(u64::from(tick).saturating_mul(settings::tick_ns()))
}

/// The interval now, and the largest that was in force.
#[cfg(feature = "server")]
pub(crate) fn intervals() -> (u64, u64) {
    (
        settings::interval().into(),
        settings::largest_interval().into(),
    )
}

/// Seconds in a tick.
pub(crate) fn tick_seconds() -> f64 {
    settings::tick_ns() as f64 / 1e9
}

#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only the endpoint's settings have a tick")
)]
/// Changes the tick, in nanoseconds; deaths counted so far are forgotten if it is another.
pub(crate) fn set_tick(tick_ns: u64) {
    if tick_ns != settings::tick_ns() {
        settings::set_tick_ns(tick_ns);
        sites::forget_deaths(tick_now());
    }
}

/// What is wrong with the environment's settings, if anything is.
pub(crate) fn check_environment() -> Result<(), Error> {
    let wrong = if settings::environment_is_bad() {
        "HEAPWATCH_INTERVAL must be a number of bytes from 0 (off) to 4294967295, such as 524288"
    } else if settings::tick_is_bad() {
        "HEAPWATCH_TICK must be a number of seconds from 0.01 to 3600, such as 5 or 0.1"
    } else {
        return Ok(());
    };
    Err(Error::Config(wrong.to_owned()))
}
