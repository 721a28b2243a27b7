//! The figures of the heap, of jemalloc and of the process for Prometheus.
//!
//! [`serve`](crate::serve) answers `/metrics` by itself. A program that has its own
//! [`Registry`] adds a [`Collector`] to it instead, and they
//! come with its other metrics.

mod exposition;
mod families;
#[cfg(test)]
pub(crate) mod fixture;
mod growth;
mod heap;
mod system;
mod tasks;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub(crate) use exposition::Exposition;

use crate::Error;
use crate::analyze::{Caller, MEMBERS, members, source};
use crate::jemalloc::Jemalloc;
use crate::process::{Process, own_cpu};
use crate::snapshot::{self, Extent, Names, Site, Snapshot, evidence, history};
use families::Family;
use heap::SiteSeries;
use tasks::Tasks;

/// Where snapshots come from: the running process, or a test.
pub(crate) type Source = Arc<dyn Fn(Extent) -> Result<Snapshot, Error> + Send + Sync>;

/// All metrics of heapwatch, for a registry of your own.
///
/// Each scrape takes a snapshot. Names of call sites are looked up when a site first becomes one of
/// the twenty that are shown, and kept while it is.
///
/// What grows is among the metrics where growth is watched, by [`watch`](crate::watch()) or
/// [`serve`](crate::serve). A scrape shows the verdicts of the one before while they are less than
/// twelve ticks old, a minute at the usual tick, and makes new ones only then.
///
/// ```
/// #[global_allocator]
/// static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
///
/// use prometheus_client::registry::Registry;
///
/// fn main() -> Result<(), heapwatch::Error> {
///     let mut registry = Registry::default();
///     registry.register_collector(Box::new(heapwatch::metrics::Collector::new()?));
///
///     let mut text = String::new();
///     prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
///     assert!(text.contains("\nheapwatch_live_bytes "));
///     Ok(())
/// }
/// ```
pub struct Collector {
    source: Source,
    process_metrics: bool,
    shown: Mutex<Shown>,
    tasks: Mutex<Tasks>,
}

/// The sites with their own series, and their names.
#[derive(Debug, Default)]
struct Shown {
    members: Vec<u64>,
    names: HashMap<u64, (String, String)>,
    /// Some of the names will be better another time.
    passing: bool,
}

impl Collector {
    /// A collector of all metrics.
    ///
    /// # Errors
    ///
    /// [`Error::NotInstalled`] if heapwatch is not the global allocator.
    pub fn new() -> Result<Collector, Error> {
        snapshot::check_installed()?;
        Ok(snapshot::muted(|| {
            Collector::over(Arc::new(snapshot::take))
        }))
    }

    /// Leaves the `process_*` metrics out, for a registry that has them already.
    #[must_use]
    pub fn without_process_metrics(mut self) -> Collector {
        self.process_metrics = false;
        self
    }

    pub(crate) fn over(source: Source) -> Collector {
        Collector {
            source,
            process_metrics: true,
            shown: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    fn families(&self) -> Vec<Family> {
        let mut families = Vec::new();
        if let Ok(snapshot) = (self.source)(Extent::Counters) {
            families.extend(heap::totals(&snapshot, own_cpu::seconds()));
            families.push(heap::sites(self.site_series(&snapshot)));
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            families.extend(heap::tasks(tasks.series(&snapshot)));
        }
        if let Some(noted) = history::last_noted() {
            families.extend(growth::history(noted, evidence::tick_seconds()));
        }
        if let Ok(overview) = crate::growth::recent() {
            families.extend(growth::verdicts(&overview));
        }
        families.extend(Jemalloc::read().iter().flat_map(system::jemalloc));
        families.extend(system::memory_limit());
        if self.process_metrics {
            families.extend(system::process(&Process::read()));
        }
        families
    }

    /// The series of the sites that are shown, and one of all others.
    fn site_series(&self, snapshot: &Snapshot) -> Vec<SiteSeries> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.update(snapshot);
        let sites: HashMap<u64, &Site> =
            snapshot.sites.iter().map(|site| (site.id, site)).collect();
        let mut series: Vec<SiteSeries> = shown
            .members
            .iter()
            .map(|id| {
                let (function, location) = shown.names[id].clone();
                SiteSeries {
                    site: format!("{id:016x}"),
                    function,
                    location,
                    live_bytes: sites[id].live.bytes,
                }
            })
            .collect();
        let others = snapshot
            .sites
            .iter()
            .filter(|site| !shown.members.contains(&site.id));
        series.push(SiteSeries {
            site: "other".into(),
            function: "other".into(),
            location: String::new(),
            live_bytes: others.map(|site| site.live.bytes).sum(),
        });
        series
    }
}

impl Shown {
    fn update(&mut self, snapshot: &Snapshot) {
        let bytes: Vec<(u64, f64)> = snapshot
            .sites
            .iter()
            .map(|site| (site.id, site.live.bytes))
            .collect();
        self.members = members(&self.members, &bytes, MEMBERS);
        if self.passing {
            self.names.clear();
        }
        self.names.retain(|id, _| self.members.contains(id));
        let unnamed = snapshot
            .sites
            .iter()
            .filter(|site| self.members.contains(&site.id) && !self.names.contains_key(&site.id));
        let unnamed = only(snapshot, unnamed);
        self.passing = !unnamed.names_last();
        for site in &unnamed.sites {
            self.names.insert(site.id, name(&unnamed, site));
        }
    }
}

/// Function and `file:line` of a site's call site; the place is empty where it is unknown.
fn name(snapshot: &Snapshot, site: &Site) -> (String, String) {
    let caller = Caller::of(snapshot, site);
    let location = caller.call_site.and_then(|step| source(step.frame));
    (caller.function().into_owned(), location.unwrap_or_default())
}

/// A snapshot of some of the sites, so that only their names are looked up.
fn only<'s>(snapshot: &Snapshot, sites: impl IntoIterator<Item = &'s Site>) -> Snapshot {
    let mut places: Vec<usize> = Vec::new();
    let mut sites: Vec<Site> = sites.into_iter().cloned().collect();
    for place in sites.iter_mut().flat_map(|site| &mut site.stack) {
        places.push(*place as usize);
        *place = places.len() as u32 - 1;
    }
    let locations = places
        .iter()
        .map(|place| snapshot.locations[*place].clone());
    let mut names = OnceLock::new();
    if let Some(known) = snapshot.names.get() {
        let frames = places.iter().map(|place| known.frames[*place].clone());
        names = OnceLock::from(Names {
            missing: Vec::new(),
            frames: frames.collect(),
            lasting: known.lasting,
        });
    }
    Snapshot {
        info: snapshot.info.clone(),
        modules: snapshot.modules.clone(),
        locations: locations.collect(),
        sites,
        watched: None,
        names,
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("process_metrics", &self.process_metrics)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = snapshot::muted(|| self.families());
        families
            .iter()
            .try_for_each(|family| family.encode(&mut encoder))
    }
}

/// All metrics of a collector in one of the two forms.
pub(crate) fn render(collector: &Arc<Collector>, form: Exposition) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Arc::clone(collector)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match form {
        Exposition::OpenMetrics => text,
        Exposition::Classic => exposition::classic(&text),
    })
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
