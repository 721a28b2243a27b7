//! Copies `record`'s tables into a snapshot.

use std::collections::hash_map::Entry;
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::error::Error;
use crate::record::fork::{self, PerProcess};
use crate::record::live::{self, LiveSample};
use crate::record::loss::{self, Loss};
use crate::record::sampler::mix;
use crate::record::sites::{self, AGE_BUCKETS, OVERFLOW, SiteId};
use crate::record::sum::Sum;
use crate::record::{self, clock, modules, settings};

use super::hash::NumberMap;
use super::{Dropped, Extent, Facts, Info, Location, Module, Site, Snapshot, Totals, evidence};

/// Where in a snapshot each counted site is.
pub(super) type Places = Vec<(SiteId, usize)>;

/// A snapshot, and where what was counted is in it.
///
/// # Errors
///
/// [`Error::Memory`] if the system refuses memory for a copy of the tables.
pub(super) fn take(extent: Extent) -> Result<(Snapshot, Places), Error> {
    // Before the samples: what is born meanwhile must not look like a pause after it.
    let now = evidence::tick_now();
    record::maintain();
    // Samples before sites: but for those that are being entered at this moment, a sample that is
    // read was counted at its site by the time that is.
    let now_ns = clock::now_ns();
    let live = live::read().ok_or(Error::Memory)?;
    let ages = ages(&live, now_ns);
    let counted = sites::read().ok_or(Error::Memory)?;
    let modules = modules::loaded_and_gone().ok_or(Error::Memory)?;
    let mut locations = Locations::new(&modules);
    let mut joined = Joined::default();
    for (id, site) in &counted.sites {
        joined.add(*id, locations.site(*id, site, ages.get(id)));
    }
    let Joined { sites, places, .. } = joined;
    let snapshot = Snapshot {
        info: info(now_ns, sites.iter().map(|site| site.samples).sum(), &live),
        modules: modules.iter().map(module).collect(),
        locations: locations.list,
        watched: match extent {
            Extent::Counters => None,
            Extent::Growth => evidence::watched(&places, sites.len(), now, &live),
        },
        sites,
        names: OnceLock::new(),
    };
    Ok((snapshot, places))
}

/// Sites of one id as one: code that was unloaded, and loaded again at another address, is counted
/// apart and is the same.
#[derive(Default)]
struct Joined {
    sites: Vec<Site>,
    places: Places,
    /// By the snapshot's id.
    known: NumberMap<u64, usize>,
}

impl Joined {
    fn add(&mut self, counted: SiteId, site: Site) {
        let place = match self.known.entry(site.id) {
            Entry::Occupied(known) => {
                self.sites[*known.get()].join(&site);
                *known.get()
            }
            Entry::Vacant(new) => {
                self.sites.push(site);
                *new.insert(self.sites.len() - 1)
            }
        };
        self.places.push((counted, place));
    }
}

impl Site {
    /// Adds what was counted elsewhere for the same stack.
    pub(super) fn join(&mut self, other: &Site) {
        self.live += other.live;
        self.allocated += other.allocated;
        self.freed += other.freed;
        self.samples += other.samples;
        let buckets = self.lifetimes.iter_mut().chain(&mut self.ages);
        let others = other.lifetimes.iter().chain(&other.ages);
        for (bucket, count) in buckets.zip(others) {
            *bucket = bucket.saturating_add(*count);
        }
    }
}

type Ages = [u32; AGE_BUCKETS];

/// Histograms of the ages of live samples, by site.
fn ages(samples: &[LiveSample], now_ns: u64) -> NumberMap<SiteId, Ages> {
    let mut ages = NumberMap::default();
    for sample in samples {
        let buckets: &mut Ages = ages.entry(sample.site).or_insert([0; AGE_BUCKETS]);
        buckets[sites::age_bucket(now_ns.saturating_sub(sample.birth_ns))] += 1;
    }
    ages
}

/// Interns addresses.
struct Locations<'a> {
    modules: &'a [modules::Module],
    /// What stands for a module in site ids: the same in each run of the same file.
    module_keys: Vec<u64>,
    list: Vec<Location>,
    /// Place in `list` and part of the site id, by address.
    known: NumberMap<usize, (u32, u64)>,
}

impl<'a> Locations<'a> {
    fn new(modules: &'a [modules::Module]) -> Self {
        let key = |module: &modules::Module| {
            let name = if module.build_id.is_empty() {
                module.path
            } else {
                module.build_id
            };
            name.iter()
                .fold(1, |hash, byte| mix(hash ^ u64::from(*byte)))
        };
        Locations {
            modules,
            module_keys: modules.iter().map(key).collect(),
            list: Vec::new(),
            known: NumberMap::default(),
        }
    }

    fn site(&mut self, id: SiteId, site: &sites::Site, ages: Option<&Ages>) -> Site {
        let overflow = id == OVERFLOW;
        let mut hash = mix(u64::from(overflow) * 2 + u64::from(site.truncated));
        let stack = site.stack.iter().map(|&address| {
            let (place, part) = self.intern(address);
            hash = mix(hash ^ part);
            place
        });
        Site {
            stack: stack.collect(),
            id: hash,
            truncated: site.truncated,
            overflow,
            live: totals(&site.allocated.without(&site.freed)),
            allocated: totals(&site.allocated),
            freed: totals(&site.freed),
            samples: site.samples,
            lifetimes: site.lifetimes,
            ages: ages.copied().unwrap_or([0; AGE_BUCKETS]),
        }
    }

    fn intern(&mut self, address: usize) -> (u32, u64) {
        let (modules, keys, list) = (self.modules, &self.module_keys, &mut self.list);
        *self.known.entry(address).or_insert_with(|| {
            let module = modules
                .iter()
                .position(|module| module.range.contains(&address));
            let part = match module {
                Some(module) => mix(keys[module] ^ (address - modules[module].bias) as u64),
                None => address as u64,
            };
            list.push(Location {
                address: address as u64,
                module: module.map(|m| m as u32),
            });
            (list.len() as u32 - 1, part)
        })
    }
}

pub(super) fn totals(sum: &Sum) -> Totals {
    Totals {
        objects: sum.objects(),
        bytes: sum.bytes(),
        objects_variance: sum.objects_variance(),
        bytes_variance: sum.bytes_variance(),
    }
}

fn module(module: &modules::Module) -> Module {
    let path = if module.path.is_empty() {
        std::env::current_exe()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    } else {
        String::from_utf8_lossy(module.path).into_owned()
    };
    let build_id = module
        .build_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    Module {
        path,
        build_id: (!build_id.is_empty()).then_some(build_id),
        start: module.range.start as u64,
        end: module.range.end as u64,
        bias: module.bias as u64,
    }
}

/// The interval now, the largest so far, and the largest that bounds what is live. No interval says
/// anything where nothing was ever sampled.
fn intervals(
    [now, largest]: [u32; 2],
    refused: bool,
    samples: u64,
    live: impl Iterator<Item = u32>,
) -> [u32; 3] {
    match samples == 0 && (now == 0 || refused) {
        true => [0; 3],
        false => [now, largest, live.fold(now, u32::max)],
    }
}

fn info(now_ns: u64, samples: u64, live: &[LiveSample]) -> Info {
    let intervals = intervals(
        [settings::interval(), settings::largest_interval()],
        loss::counted(Loss::RegionRefused) > 0,
        samples,
        live.iter().map(|sample| sample.interval),
    );
    let [now, largest, of_live] = intervals.map(u64::from);
    let dropped = Loss::ALL
        .into_iter()
        .filter(|loss| loss.loses_bytes() && loss::counted(*loss) > 0)
        .map(|loss| Dropped {
            reason: loss.name().into(),
            samples: loss::counted(loss),
        })
        .collect();
    Info {
        taken: SystemTime::now(),
        watched_seconds: watched_seconds(now_ns),
        interval_bytes: now,
        largest_interval_bytes: largest,
        live_interval_bytes: of_live,
        was_off: settings::was_off(),
        samples,
        dropped,
        notes: notes(),
        self_bytes: (record::self_bytes() + evidence::history_bytes()) as u64,
        pid: std::process::id(),
        profile_id: profile_id(now_ns),
        error_bars: true,
        process: Facts::read(),
    }
}

pub(super) fn watched_seconds(now_ns: u64) -> f64 {
    (now_ns - fork::began_ns().min(now_ns)) as f64 / 1e9
}

/// All that [`Dropped::reason`] may be.
#[cfg(feature = "server")]
pub(crate) fn loss_reasons() -> impl Iterator<Item = &'static str> {
    let losses = Loss::ALL.into_iter().filter(|loss| loss.loses_bytes());
    losses.map(Loss::name)
}

/// What limits the snapshot, in sentences.
fn notes() -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |loss: Loss, text: &str| {
        let count = loss::counted(loss);
        if count > 0 {
            notes.push(text.replace("{}", &count.to_string()));
        }
    };
    note(
        Loss::RegionRefused,
        "nothing can be sampled: no address space could be reserved for sampled blocks (is it \
         limited, as by `ulimit -v`, or taken, as by a sanitizer?); {} samples were lost",
    );
    note(
        Loss::RegionFull,
        "there was no memory or address space for sampled blocks; {} samples were lost",
    );
    note(
        Loss::LiveTableFull,
        "the table of live samples is full; {} samples were lost",
    );
    note(Loss::NoMemory, "there was no memory to record {} samples");
    note(
        Loss::SitesFull,
        "there was no room for more sites; {} samples are counted together in one overflow site",
    );
    note(
        Loss::NoStack,
        "the stacks of {} samples could not be captured",
    );
    if modules::copy_refused() {
        notes.push(
            "there was no room to copy the unwind tables of a library that was loaded later (16 \
             MiB in all); stacks through it end early"
                .to_owned(),
        );
    }
    if modules::is_frozen() {
        notes.push(
            "libraries were loaded and unloaded so often that the list of them is no longer kept \
             up to date; stacks through those that were loaded since end early or have wrong names"
                .to_owned(),
        );
    }
    if settings::environment_is_bad() {
        notes.push(
            "HEAPWATCH_INTERVAL is not a number of bytes from 0 to 4294967295; the default is in \
             force"
                .to_owned(),
        );
    }
    let doublings = settings::doublings();
    if doublings > 0 {
        let now = if settings::is_doubled() {
            ""
        } else {
            "; it is back at what was asked for"
        };
        notes.push(format!(
            "the sampling interval was doubled {doublings} times because the table of live \
             samples was running full{now}"
        ));
    }
    if settings::interval() == 0 {
        notes.push("sampling is off".to_owned());
    }
    notes
}

/// A number that no other process's profile has.
pub(super) fn profile_id(now_ns: u64) -> u64 {
    static ID: PerProcess<u64> = PerProcess::new();
    let make = || {
        let wall = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |time| time.as_nanos() as u64);
        mix(mix(wall ^ now_ns.rotate_left(40)) ^ u64::from(std::process::id()))
    };
    ID.get_or_init(make).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interval that nothing was sampled at would be told as a bound on what nobody looked at, and one that
    /// nothing live was sampled at makes bounds vague for good.
    #[test]
    fn intervals_are_those_that_say_something() {
        let of = |now, refused, samples, live: &[u32]| {
            intervals([now, 524_288], refused, samples, live.iter().copied())
        };
        assert_eq!(of(0, false, 0, &[]), [0; 3], "off from the start");
        assert_eq!(of(524_288, true, 0, &[]), [0; 3], "refused");
        assert_eq!(of(524_288, false, 0, &[]), [524_288; 3], "all is small");
        assert_eq!(of(524_288, true, 9, &[524_288]), [524_288; 3]);
        assert_eq!(
            of(4096, false, 9, &[4096, 524_288]),
            [4096, 524_288, 524_288]
        );
        assert_eq!(of(4096, false, 9, &[4096, 4096]), [4096, 524_288, 4096]);
        assert_eq!(of(0, false, 9, &[4096]), [0, 524_288, 4096], "switched off");
    }
}
