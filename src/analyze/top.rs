//! The table of those who hold, or have allocated, the most.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::caller::{Caller, source, task_of, type_of, visible};
use super::growth;
use super::series::Series;
use super::whole::{Whole, whole_sites};
use super::{By, DEFAULT_WIDTH, Estimate, MIN_WIDTH, Sort};
use crate::snapshot::watched::SiteWatch;
use crate::snapshot::{Frame, Info, Site, Snapshot, Totals, muted};

/// Rows that a table has unless told otherwise.
const DEFAULT_LIMIT: usize = 20;

/// The table of those who hold, or have allocated, the most.
///
/// Made by [`Snapshot::top`]. Displaying it gives a text table that can be pasted into a ticket,
/// with whole names unless it is [told a width](Top::width).
///
/// ```no_run
/// use heapwatch::report::{By, Sort};
///
/// let snapshot = heapwatch::snapshot()?;
/// println!("{}", snapshot.top(By::Function).sort(Sort::Allocated).limit(10));
/// for row in snapshot.top(By::Site).rows() {
///     println!("{} holds {} bytes", row.function.unwrap_or_default(), row.amounts.live_bytes.estimate);
/// }
/// # Ok::<(), heapwatch::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Top<'s> {
    snapshot: &'s Snapshot,
    by: By,
    sort: Sort,
    limit: usize,
    width: usize,
    frames: bool,
    /// Ordered by `sort`.
    groups: Vec<Group<'s>>,
}

/// A line of a [`Top`] table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Row<'s> {
    /// The site's id, by site; stable across restarts of the same binary, shown as 16 hex digits.
    pub id: Option<u64>,
    /// The type behind the bytes, such as `HashMap<u64, chat::Session>`, by site and type, where the
    /// stack tells it.
    pub allocated_type: Option<String>,
    /// What was spawned, by site and task, where the objects are asynchronous tasks.
    pub task: Option<String>,
    /// The function at the call site; by type and task, at that of the site with most bytes; none
    /// by crate.
    pub function: Option<String>,
    /// Source file and line of the call site; that of the site with most bytes, where there are
    /// several.
    pub location: Option<String>,
    /// The innermost function in the user's own code, where it is not the call site and is the same
    /// at all sites of the row.
    pub own_function: Option<&'s str>,
    /// Source file and line in `own_function`.
    pub own_location: Option<String>,
    /// Crate of `function`, or the shared library's file name for code that is not Rust's.
    pub krate: String,
    /// Version of the crate, if it is a dependency.
    pub version: Option<&'s str>,
    /// By site, the whole stack with inlined frames, innermost first, without the allocator's own;
    /// else empty.
    pub frames: Vec<&'s Frame>,
    /// Whether outer frames are missing from `frames`.
    pub truncated: bool,
    /// What was counted.
    pub amounts: Amounts,
    /// How fast live bytes have grown over the last two thirds of the watch, with the noise of
    /// sampling and of births; none where nobody [watched](crate::watch), or not for long enough.
    /// The rate of a [verdict](mod@crate::growth) may be another: that of a leak leaves out what dies.
    pub growth_bytes_per_second: Option<Estimate>,
}

/// What was counted for a row, for all that is not in a row, or in total.
///
/// Estimates are whole numbers; those of all rows and [`Top::other`] add up to [`Top::total`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Amounts {
    /// Distinct stacks.
    pub sites: usize,
    /// Samples taken since the start.
    pub samples: u64,
    /// Allocated and not yet freed.
    pub live_bytes: Estimate,
    /// Allocated and not yet freed.
    pub live_objects: Estimate,
    /// Allocated since the start.
    pub allocated_bytes: Estimate,
    /// Allocated since the start.
    pub allocated_objects: Estimate,
    /// Freed since the start.
    pub freed_bytes: Estimate,
    /// Freed since the start.
    pub freed_objects: Estimate,
    /// Share of all live bytes, between 0 and 1.
    #[serde(serialize_with = "four_decimals")]
    pub live_share: f64,
    /// Share of all bytes allocated since the start, between 0 and 1.
    #[serde(serialize_with = "four_decimals")]
    pub allocated_share: f64,
}

/// Sites that a row stands for.
#[derive(Debug, Clone)]
struct Group<'s> {
    /// Tells groups apart, and breaks ties so that equal snapshots give equal tables.
    key: Key,
    /// Those with most live bytes first.
    sites: Vec<&'s Site>,
    /// What was watched of them.
    watches: Vec<&'s SiteWatch>,
    sums: Sums,
    /// Known only if the table is ordered by it.
    growth: Option<Estimate>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Site(u64),
    Named {
        function: Option<String>,
        krate: String,
        version: Option<String>,
    },
    Type(Option<String>),
    Task(Option<String>),
}

/// Sums over sites; bytes and objects are whole numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    sites: usize,
    samples: u64,
    live: Totals,
    allocated: Totals,
    freed: Totals,
}

impl Snapshot {
    /// A table of those who hold the most: 20 rows by live bytes, unless told otherwise.
    pub fn top(&self, by: By) -> Top<'_> {
        muted(|| self.grouped(by))
    }

    fn grouped(&self, by: By) -> Top<'_> {
        let mut groups: HashMap<Key, Group<'_>> = HashMap::new();
        let places: HashMap<u64, usize> =
            (self.sites.iter().map(|site| site.id)).zip(0..).collect();
        for (site, whole) in whole_sites(self) {
            let key = key(self, by, site);
            let group = groups.entry(key).or_insert_with_key(|key| Group {
                key: key.clone(),
                sites: Vec::new(),
                watches: Vec::new(),
                sums: Sums::default(),
                growth: None,
            });
            group.sites.push(site);
            group.watches.extend(self.site_watch(places[&site.id]));
            group.sums.count(site, &whole);
        }
        let top = Top {
            snapshot: self,
            by,
            sort: Sort::Live,
            limit: DEFAULT_LIMIT,
            width: DEFAULT_WIDTH,
            frames: true,
            groups: groups.into_values().collect(),
        };
        top.sorted(Sort::Live)
    }
}

impl<'s> Top<'s> {
    /// Orders the table by something else.
    #[must_use]
    pub fn sort(self, sort: Sort) -> Self {
        muted(|| self.sorted(sort))
    }

    fn sorted(mut self, sort: Sort) -> Self {
        self.sort = sort;
        if sort == Sort::Growth {
            for group in &mut self.groups {
                group.growth = growth(self.snapshot, group);
            }
        }
        self.groups.sort_by(|a, b| {
            let (x, y) = (a.rank(sort), b.rank(sort));
            y.total_cmp(&x).then_with(|| a.key.cmp(&b.key))
        });
        self
    }

    /// Shows at most this many rows; the rest is in [`other`](Self::other).
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = rows;
        self
    }

    /// Columns that the text table may have, at least 40; unless told otherwise as many as the names
    /// need. Below 100 it has fewer numbers, and intervals become `±`.
    #[must_use]
    pub fn width(mut self, columns: usize) -> Self {
        self.width = columns.max(MIN_WIDTH);
        self
    }

    /// What names lack, and how to get it.
    pub(crate) fn missing_names(&self) -> &'s [String] {
        self.snapshot.missing_names()
    }

    pub(crate) fn columns(&self) -> usize {
        self.width
    }

    /// Whether rows by site have their stacks with them, which they do unless told otherwise.
    #[must_use]
    pub fn frames(mut self, frames: bool) -> Self {
        self.frames = frames;
        self
    }

    /// What a row stands for.
    pub fn by(&self) -> By {
        self.by
    }

    /// What the table is ordered by.
    pub fn order(&self) -> Sort {
        self.sort
    }

    /// How long growth was watched; none where nobody did.
    pub fn watched_seconds(&self) -> Option<f64> {
        self.snapshot.watch().map(|watch| watch.watched_seconds())
    }

    /// What is true of the snapshot that the table is of.
    pub fn info(&self) -> &'s Info {
        &self.snapshot.info
    }

    /// The rows, most first; equal ones by id or name. Those that have nothing of what the table is
    /// ordered by, or do not grow, are in [`other`](Self::other).
    pub fn rows(&self) -> Vec<Row<'s>> {
        muted(|| {
            let total = self.sum(&self.groups);
            let shown = self.groups.iter().take(self.shown());
            shown.map(|group| self.row(group, &total)).collect()
        })
    }

    /// The row of a site, whether it is shown or not; none where rows are not sites.
    #[cfg(feature = "server")]
    pub(crate) fn find(&self, id: u64) -> Option<Row<'s>> {
        let mut groups = self.groups.iter();
        let group = groups.find(|group| group.key == Key::Site(id))?;
        Some(self.row(group, &self.sum(&self.groups)))
    }

    fn shown(&self) -> usize {
        let some = |group: &Group<'_>| group.rank(self.sort) > 0.0;
        self.groups.partition_point(some).min(self.limit)
    }

    /// All that is not in a row.
    pub fn other(&self) -> Amounts {
        let rest = &self.groups[self.shown()..];
        self.amounts(&self.sum(rest), &self.sum(&self.groups))
    }

    /// How many groups are not in a row.
    pub fn hidden(&self) -> usize {
        self.groups.len() - self.shown()
    }

    /// Everything.
    pub fn total(&self) -> Amounts {
        let total = self.sum(&self.groups);
        self.amounts(&total, &total)
    }

    fn sum(&self, groups: &[Group<'_>]) -> Sums {
        let mut sums = Sums::default();
        for group in groups {
            sums.add(&group.sums);
        }
        sums
    }

    fn row(&self, group: &Group<'s>, total: &Sums) -> Row<'s> {
        let first = group.sites[0];
        let caller = Caller::of(self.snapshot, first);
        let (krate, version) = caller.krate();
        let own = caller.own.map(|step| step.frame).filter(|own| {
            let mut others = group.sites[1..].iter();
            others.all(|site| {
                let other = Caller::of(self.snapshot, site).own;
                other.is_some_and(|other| other.frame.function == own.function)
            })
        });
        let mut row = Row {
            id: None,
            allocated_type: None,
            task: None,
            function: None,
            location: None,
            own_function: None,
            own_location: None,
            krate: krate.into_owned(),
            version,
            frames: Vec::new(),
            truncated: false,
            amounts: self.amounts(&group.sums, total),
            growth_bytes_per_second: match self.sort {
                Sort::Growth => group.growth,
                _ => growth(self.snapshot, group),
            },
        };
        if matches!(self.by, By::Site | By::Type) {
            row.allocated_type = type_of(self.snapshot, first);
        }
        if matches!(self.by, By::Site | By::Task) {
            row.task = task_of(self.snapshot, first);
        }
        if self.by == By::Site {
            row.id = Some(first.id);
            if self.frames {
                let stack = first.stack.iter().map(|&place| self.snapshot.frames(place));
                row.frames = stack.flat_map(visible).collect();
            }
            row.truncated = first.truncated;
        }
        if self.by != By::Crate {
            row.function = Some(caller.function().into_owned());
            row.location = caller.call_site.and_then(|step| source(step.frame));
            row.own_function = own.map(|frame| &*frame.function);
            row.own_location = own.and_then(source);
        }
        row
    }

    fn amounts(&self, sums: &Sums, total: &Sums) -> Amounts {
        let info = self.info();
        let (largest, of_live) = (info.largest_interval_bytes, info.live_interval());
        let bytes = |totals: &Totals, interval| Estimate::bytes(totals, interval);
        let objects =
            |totals: &Totals, interval| Estimate::objects(totals, &sums.allocated, interval);
        Amounts {
            sites: sums.sites,
            samples: sums.samples,
            live_bytes: bytes(&sums.live, of_live),
            live_objects: objects(&sums.live, of_live),
            allocated_bytes: bytes(&sums.allocated, largest),
            allocated_objects: objects(&sums.allocated, largest),
            freed_bytes: bytes(&sums.freed, largest),
            freed_objects: objects(&sums.freed, largest),
            live_share: share(sums.live.bytes, total.live.bytes),
            allocated_share: share(sums.allocated.bytes, total.allocated.bytes),
        }
    }
}

impl Group<'_> {
    /// What the order is by, most first; 0 for what is no row.
    fn rank(&self, sort: Sort) -> f64 {
        if self.key == Key::Task(None) {
            return 0.0;
        }
        match sort {
            Sort::Live => self.sums.live.bytes,
            Sort::Allocated => self.sums.allocated.bytes,
            Sort::Growth => self.growth.map_or(0.0, |rate| rate.estimate.max(0.0)),
        }
    }
}

/// How fast the live bytes of all sites of a group together grow.
fn growth(snapshot: &Snapshot, group: &Group<'_>) -> Option<Estimate> {
    let watches = || group.watches.iter();
    let series = Series::sum(watches().filter_map(|watch| watch.series.as_deref()))?;
    let live: Vec<_> = watches().flat_map(|watch| &watch.live).copied().collect();
    growth::rate(&series, &live, &snapshot.watch()?)
}

fn key(snapshot: &Snapshot, by: By, site: &Site) -> Key {
    match by {
        By::Site => return Key::Site(site.id),
        By::Type => return Key::Type(type_of(snapshot, site)),
        By::Task => return Key::Task(task_of(snapshot, site)),
        By::Function | By::Crate => {}
    }
    let caller = Caller::of(snapshot, site);
    let (krate, version) = caller.krate();
    Key::Named {
        function: (by == By::Function).then(|| caller.function().into_owned()),
        krate: krate.into_owned(),
        version: version.map(str::to_owned),
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// No share is known better.
fn four_decimals<S: Serializer>(share: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((share * 1e4).round() / 1e4)
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.sites += other.sites;
        self.samples += other.samples;
        self.live += other.live;
        self.allocated += other.allocated;
        self.freed += other.freed;
    }

    fn count(&mut self, site: &Site, whole: &Whole) {
        self.sites += 1;
        self.samples += site.samples;
        self.live += whole.live;
        self.allocated += whole.allocated;
        self.freed += whole.freed;
    }
}

#[cfg(test)]
#[path = "top_tests.rs"]
mod tests;
