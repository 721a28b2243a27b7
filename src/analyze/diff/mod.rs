//! What happened between two snapshots.

mod identity;
mod interval;
mod matching;
mod sums;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::caller::{Caller, source, task_of, type_of, visible};
use super::{By, DEFAULT_WIDTH, Estimate, MIN_WIDTH};
use crate::snapshot::{Frame, Site, Snapshot, muted};
use identity::unnumbered;
use interval::rejected;
pub use matching::MatchedBy;
use matching::{Match, matches, same_process};
use sums::Sums;

/// Rows that a table has unless told otherwise.
const DEFAULT_LIMIT: usize = 20;

/// Share of the rows called significant that may be wrong.
const FALSE_DISCOVERIES: f64 = 0.05;

/// What happened between two snapshots, made by [`Snapshot::diff`].
///
/// Displaying it gives a text table that can be pasted into a ticket, with whole names unless it is
/// [told a width](Diff::width).
///
/// ```no_run
/// use heapwatch::report::By;
///
/// let before = heapwatch::snapshot()?;
/// // … some work …
/// let after = heapwatch::snapshot()?;
/// println!("{}", before.diff(&after).by(By::Function).limit(10));
/// for change in before.diff(&after).rows() {
///     println!("{:?}: {:+} bytes", change.function, change.live_bytes.estimate);
/// }
/// # Ok::<(), heapwatch::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Diff<'s> {
    earlier: &'s Snapshot,
    later: &'s Snapshot,
    by: By,
    limit: usize,
    width: usize,
    rows: Vec<Change<'s>>,
    total: Change<'s>,
    matched: f64,
    by_names: f64,
}

/// A line of a [`Diff`]: what changed at a site, a function or a crate, or in total.
///
/// Estimates are whole numbers; those of all rows add up to the total. Where the error is not known
/// they have none.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Change<'s> {
    /// The site's id in the later snapshot if it is there, by site.
    pub id: Option<u64>,
    /// The type behind the bytes, by type, where the stack tells it.
    pub allocated_type: Option<String>,
    /// What was spawned, by task; none for all that is no task.
    pub task: Option<String>,
    /// The function at the call site; where there are several sites, at that whose live bytes changed
    /// most; none by crate.
    pub function: Option<String>,
    /// Source file and line of that call site.
    pub location: Option<String>,
    /// The innermost function in the user's own code, by site, where it is not the call site.
    pub own_function: Option<&'s str>,
    /// Source file and line in `own_function`.
    pub own_location: Option<String>,
    /// Crate of the call site, or the shared library's file name for code that is not Rust's.
    pub krate: String,
    /// Version of the crate in the later snapshot, if it is a dependency.
    pub version: Option<&'s str>,
    /// By site, the whole stack with inlined frames, innermost first; else empty.
    pub frames: Vec<&'s Frame>,
    /// Change of live bytes.
    pub live_bytes: Estimate,
    /// Change of live objects.
    pub live_objects: Estimate,
    /// Live bytes in the earlier snapshot.
    pub before_bytes: Estimate,
    /// Live bytes in the later snapshot.
    pub after_bytes: Estimate,
    /// Bytes allocated between the two; not known across processes.
    pub allocated_bytes: Option<Estimate>,
    /// Objects allocated between the two; not known across processes.
    pub allocated_objects: Option<Estimate>,
    /// Bytes freed between the two; not known across processes.
    pub freed_bytes: Option<Estimate>,
    /// Objects freed between the two; not known across processes.
    pub freed_objects: Option<Estimate>,
    /// Whether live bytes changed more than sampling alone explains: of all rows called significant,
    /// at most 5 % are expected to be wrong. Not known without error bars, nor for the total.
    pub significant: Option<bool>,
    /// What of it is the same in both snapshots; by function and crate, the least certain of its
    /// sites. None within one process and where it is in one of the snapshots alone.
    pub matched_by: Option<MatchedBy>,
    /// Distinct stacks of the earlier snapshot that it stands for.
    pub before_stacks: usize,
    /// Distinct stacks of the later snapshot that it stands for.
    pub after_stacks: usize,
    /// Whether nothing of it was there in the earlier snapshot.
    pub new: bool,
    /// Whether nothing of it is there in the later snapshot.
    pub vanished: bool,
    /// Half of the sampled objects that live in the later snapshot are at least this old.
    pub median_age_seconds: Option<f64>,
}

impl Snapshot {
    /// What happened from this snapshot to a later one, by site.
    ///
    /// Within one process, only what was allocated and freed between the two is uncertain. Across
    /// processes the errors of both snapshots count, and sites are matched by build id and offset,
    /// or in another build by what stays of their stacks: [`MatchedBy`].
    ///
    /// If `later` is the earlier of two of one process, the changes are those of the way back: all
    /// that is live changes by as much the other way, with the same certainty, and what was
    /// allocated and freed between the two is what it was.
    pub fn diff<'s>(&'s self, later: &'s Snapshot) -> Diff<'s> {
        muted(|| Diff::new(self, later, By::Site, DEFAULT_LIMIT))
    }
}

impl<'s> Diff<'s> {
    fn new(earlier: &'s Snapshot, later: &'s Snapshot, by: By, limit: usize) -> Self {
        let matches = matches(earlier, later);
        let context = Context::of(earlier, later);
        let mut groups: BTreeMap<String, Group<'s>> = BTreeMap::new();
        let (mut matched, mut by_names, mut live) = (0.0, 0.0, 0.0);
        for found in matches {
            let sums = Sums::of(&found, &context);
            let bytes = sums.before.bytes + sums.after.bytes;
            live += bytes;
            if !found.before.is_empty() && !found.after.is_empty() {
                matched += bytes;
            }
            if found.by.is_some_and(|by| by != MatchedBy::Address) {
                by_names += bytes;
            }
            let (snapshot, site) = shown(&found, earlier, later);
            let weight = Weight::of(&sums, site);
            let group = groups.entry(key(snapshot, site, by)).or_insert(Group {
                snapshot,
                site,
                weight,
                before: false,
                sums: Sums::default(),
                after: false,
                by: None,
                stacks: (0, 0),
            });
            if weight.is_above(&group.weight) {
                (group.snapshot, group.site, group.weight) = (snapshot, site, weight);
            }
            group.by = group.by.max(found.by);
            group.stacks.0 += found.before.len();
            group.stacks.1 += found.after.len();
            group.before |= found.before.iter().any(|site| !is_empty(site));
            group.after |= found.after.iter().any(|site| !is_empty(site));
            group.sums.add(&sums);
        }
        let mut total = Sums::default();
        let mut rows = Vec::with_capacity(groups.len());
        let mut p_values = Vec::with_capacity(groups.len());
        let mut rounding = sums::Rounding::default();
        for group in groups.values() {
            let sums = rounding.round(&group.sums);
            total.add(&sums);
            // It tells what objects there are, but is no row.
            if group.sums.is_nothing() {
                continue;
            }
            p_values.push(sums.p_value(&context));
            rows.push(group.change(by, sums.change(&context)));
        }
        if context.error_bars {
            for (row, rejected) in rows.iter_mut().zip(rejected(&p_values, FALSE_DISCOVERIES)) {
                row.significant = Some(rejected);
            }
        }
        rows.sort_by(|a, b| {
            let ((a, x), (b, y)) = (rank(a), rank(b));
            a.cmp(&b).then(x.total_cmp(&y))
        });
        Diff {
            earlier,
            later,
            by,
            limit,
            width: DEFAULT_WIDTH,
            rows,
            total: total.change(&context),
            matched: if live > 0.0 { matched / live } else { 1.0 },
            by_names: if live > 0.0 { by_names / live } else { 0.0 },
        }
    }

    /// Groups the changes by something else.
    #[must_use]
    pub fn by(self, by: By) -> Self {
        if by == self.by {
            return self;
        }
        muted(|| Diff::new(self.earlier, self.later, by, self.limit).width(self.width))
    }

    /// Shows at most this many rows.
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

    pub(crate) fn columns(&self) -> usize {
        self.width
    }

    /// What a row stands for.
    pub fn group(&self) -> By {
        self.by
    }

    /// The snapshot that changes are counted from.
    pub fn earlier(&self) -> &'s Snapshot {
        self.earlier
    }

    /// The snapshot that changes are counted to.
    pub fn later(&self) -> &'s Snapshot {
        self.later
    }

    /// The rows: significant growth first, most first; then significant shrinking; then the rest.
    pub fn rows(&self) -> &[Change<'s>] {
        &self.rows[..self.limit.min(self.rows.len())]
    }

    /// All rows but those where nothing lived, also those beyond the limit, in the order of [`rows`](Self::rows).
    pub fn all_rows(&self) -> &[Change<'s>] {
        &self.rows
    }

    /// Everything.
    pub fn total(&self) -> &Change<'s> {
        &self.total
    }

    /// Whether both snapshots are of one process.
    pub fn same_process(&self) -> bool {
        same_process(self.earlier, self.later)
    }

    /// Whether the errors of both snapshots are known.
    pub fn error_bars(&self) -> bool {
        self.earlier.info.error_bars && self.later.info.error_bars
    }

    /// The share of live bytes of both snapshots, between 0 and 1, at sites that are in both.
    pub fn matched_share(&self) -> f64 {
        self.matched
    }

    /// The share of them that were found by names.
    pub(crate) fn share_by_names(&self) -> f64 {
        self.by_names
    }
}

/// What holds for all rows.
pub(super) struct Context {
    same_process: bool,
    /// Whether the first of two snapshots of one process is the later.
    back: bool,
    error_bars: bool,
    interval: u64,
}

impl Context {
    fn of(earlier: &Snapshot, later: &Snapshot) -> Context {
        let error_bars = earlier.info.error_bars && later.info.error_bars;
        let largest = |snapshot: &Snapshot| snapshot.info.largest_interval_bytes;
        Context {
            same_process: same_process(earlier, later),
            back: later.info.watched_seconds < earlier.info.watched_seconds,
            error_bars,
            // An estimate at interval 0 has no error.
            interval: if error_bars {
                largest(earlier).max(largest(later))
            } else {
                0
            },
        }
    }
}

/// Sites of a row, named by the one that changed most.
struct Group<'s> {
    snapshot: &'s Snapshot,
    site: &'s Site,
    weight: Weight,
    before: bool,
    after: bool,
    by: Option<MatchedBy>,
    stacks: (usize, usize),
    sums: Sums,
}

impl<'s> Group<'s> {
    fn change(&self, by: By, numbers: Change<'s>) -> Change<'s> {
        let caller = Caller::of(self.snapshot, self.site);
        let (krate, version) = caller.krate();
        let mut change = Change {
            krate: krate.into_owned(),
            version,
            new: !self.before,
            vanished: !self.after,
            matched_by: self.by,
            before_stacks: self.stacks.0,
            after_stacks: self.stacks.1,
            ..numbers
        };
        if by != By::Crate {
            change.function = Some(caller.function().into_owned());
            change.location = caller.call_site.and_then(|step| source(step.frame));
        }
        match by {
            By::Type => change.allocated_type = type_of(self.snapshot, self.site),
            By::Task => change.task = task_of(self.snapshot, self.site),
            By::Site | By::Function | By::Crate => {}
        }
        if by == By::Site {
            let own = caller.own.map(|step| step.frame);
            change.id = Some(self.site.id);
            change.own_function = own.map(|frame| &*frame.function);
            change.own_location = own.and_then(source);
            let stack = self.site.stack.iter();
            let frames = stack.map(|&location| self.snapshot.frames(location));
            change.frames = frames.flat_map(visible).collect();
        }
        change
    }
}

/// What one site is to its row.
#[derive(Debug, Clone, Copy)]
struct Weight {
    changed: f64,
    live: f64,
    id: u64,
}

impl Weight {
    fn of(sums: &Sums, site: &Site) -> Weight {
        Weight {
            changed: (sums.after.bytes - sums.before.bytes).abs(),
            live: sums.after.bytes + sums.before.bytes,
            id: site.id,
        }
    }

    /// Whether it changed more, else holds more, else comes first, so that equal snapshots give
    /// equal tables.
    fn is_above(&self, other: &Weight) -> bool {
        let order = self.changed.total_cmp(&other.changed);
        let order = order.then(self.live.total_cmp(&other.live));
        order.then(other.id.cmp(&self.id)).is_gt()
    }
}

/// Nothing was ever counted there.
fn is_empty(site: &Site) -> bool {
    site.allocated.bytes == 0.0
}

/// The site that names a match: the one with most live bytes, in the later snapshot if there is one.
fn shown<'s>(
    found: &Match<'s>,
    earlier: &'s Snapshot,
    later: &'s Snapshot,
) -> (&'s Snapshot, &'s Site) {
    let largest = |sites: &[&'s Site]| {
        let bytes = |site: &&&'s Site| site.live.bytes;
        let by_bytes = |a: &&&'s Site, b: &&&'s Site| bytes(a).total_cmp(&bytes(b));
        let largest = sites
            .iter()
            .max_by(|a, b| by_bytes(a, b).then(b.id.cmp(&a.id)));
        largest.copied()
    };
    match (largest(&found.after), largest(&found.before)) {
        (Some(site), _) => (later, site),
        (None, Some(site)) => (earlier, site),
        (None, None) => unreachable!("a match has a site"),
    }
}

/// What tells rows apart, and breaks ties so that equal snapshots give equal tables.
fn key(snapshot: &Snapshot, site: &Site, by: By) -> String {
    if by == By::Site {
        return format!("{:016x}", site.id);
    }
    let caller = Caller::of(snapshot, site);
    let krate = caller.krate().0;
    match by {
        By::Crate => krate.into_owned(),
        By::Type => type_of(snapshot, site).unwrap_or_default(),
        By::Task => task_of(snapshot, site).unwrap_or_default(),
        By::Site | By::Function => format!("{krate} {}", unnumbered(&caller.function())),
    }
}

/// Less comes first.
fn rank(change: &Change<'_>) -> (u8, f64) {
    let bytes = change.live_bytes.estimate;
    match change.significant {
        Some(false) => (2, -bytes.abs()),
        _ if bytes > 0.0 => (0, -bytes),
        _ => (1, bytes),
    }
}
