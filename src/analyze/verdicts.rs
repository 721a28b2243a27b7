//! The verdicts on growth with the names of those whom they are about.

mod naming;
#[cfg(feature = "server")]
mod overview;

use std::collections::HashMap;

use serde::Serialize;

use super::growth::{self, Group, Lifetimes, Member, Pattern, SiteEvidence, Span, Verdict, Watch};
use super::series::Series;
use super::{Estimate, FrameBudget, whole_sites};
use crate::snapshot::watched::SiteWatch;
use crate::snapshot::{Facts, Info, Site, Snapshot, Totals, muted};
pub use naming::GrowthFrame;
use naming::Name;
#[cfg(feature = "server")]
pub(crate) use overview::Overview;

/// No site that holds less than this is judged.
const MIN_BYTES: u64 = 256 * 1024;

/// Bucket 0 of a site's lifetimes ends at 2^10 ns.
const LIFETIME_UNIT_SECONDS: f64 = 1024e-9;

/// What is said of one call site, or of several that belong to one mistake.
///
/// Serialises to the object that `GET /heap/growth?format=json` has for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Growth {
    /// What it comes to.
    pub verdict: Verdict,
    /// How it grows, or why growth is no alarm.
    pub pattern: Option<Pattern>,
    /// Id of the site; of the one that holds most, where several stacks have one verdict. Stable
    /// across restarts of the same binary, written as 16 hex digits.
    #[serde(serialize_with = "hex")]
    pub site: u64,
    /// Stacks that the verdict is about.
    pub sites: usize,
    /// The function to blame: the innermost that merely holds or runs nothing for others.
    pub function: String,
    /// Source file and line in `function`.
    pub location: Option<String>,
    /// The innermost function in the user's own code, where it is not `function`; of the stack that
    /// holds most, where several have one verdict.
    pub own_function: Option<String>,
    /// Source file and line in `own_function`.
    pub own_location: Option<String>,
    /// What `function` called: the function of a collection or runtime that is a dependency, with its
    /// crate and version, since the leak may be its fault; or, where the sites of several functions
    /// are one verdict on their caller, the one of them that holds most.
    pub through: Option<String>,
    /// Crate of `function`.
    #[serde(rename = "crate")]
    pub krate: String,
    /// The type behind the bytes, such as `HashMap<u64, chat::Session>`, where the stack tells it.
    #[serde(rename = "type")]
    pub allocated_type: Option<String>,
    /// What was spawned, where the objects are asynchronous tasks.
    pub task: Option<String>,
    /// Growth; what it means where nothing grows is only that nothing was seen to.
    pub rate_bytes_per_second: Estimate,
    /// Allocated and not yet freed.
    pub live_bytes: Estimate,
    /// Allocated and not yet freed.
    pub live_objects: Estimate,
    /// How long the history is that the verdict rests on.
    pub watched_seconds: f64,
    /// Probability that objects do not die and are still being made, or that the growth is no
    /// noise; none where the rule that decided states no probability.
    pub confidence: Option<f64>,
    /// What was seen, in one sentence.
    pub evidence: String,
    /// What else would look like this, where it alarms.
    pub caution: Option<String>,
    /// The stack with inlined frames, innermost first; where several stacks have one verdict, what
    /// they have in common from `function` outwards. Empty where the stacks of worse verdicts have taken
    /// 8 MiB.
    pub frames: Vec<GrowthFrame>,
}

/// All verdicts at one moment, worst first, and what holds for all of them.
///
/// Displaying it gives text that can be pasted into a ticket.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// What is true of the snapshot that was judged.
    pub info: Info,
    /// How long the history is.
    pub watched_seconds: f64,
    /// Time between two points of the history.
    pub tick_seconds: f64,
    /// Nothing is judged before this much was watched.
    pub min_watch_seconds: f64,
    /// A steady leak slower than this cannot be told yet: fewer than ten samples are expected of it, at
    /// the largest interval so far. None before anything was watched, and if sampling is or was off.
    pub visible_bytes_per_second: Option<f64>,
    /// Sites without a history because there are too many.
    pub sites_left_out: usize,
    /// The process's memory and its limit; none where they cannot be read.
    pub memory: Option<Memory>,
    /// Worst first.
    pub verdicts: Vec<Growth>,
    /// How many of `verdicts`, from there on, have no `frames`, because all together would take more
    /// than 8 MiB.
    pub verdicts_without_frames: usize,
}

/// Where the process's memory is heading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// Physical memory of the process.
    pub resident_bytes: u64,
    /// What is reached first, if either is known.
    pub limit: Option<Limit>,
    /// What `limit` allows: to the control group, or the machine's memory.
    pub limit_bytes: Option<u64>,
    /// What is left: of a control group's limit, what the process does not hold; of the machine's
    /// memory, what is available without swapping.
    pub left_bytes: Option<u64>,
    /// Until nothing is left at the rate of what leaks and grows, if every live byte costs one of
    /// physical memory; an end of the interval is null where growth may be nil.
    pub seconds_to_limit: Option<Estimate>,
}

/// What limits a process's physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// The smallest limit of the control groups that the process is in.
    Cgroup,
    /// The machine's own memory.
    Machine,
}

impl Snapshot {
    /// The verdicts on growth at the moment of the snapshot; none if nobody
    /// [watched](crate::watch), and of another tool's profile.
    ///
    /// A snapshot from a file gives the verdicts that were true when it was taken.
    ///
    /// ```no_run
    /// # #[global_allocator]
    /// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
    /// let snapshot = heapwatch::Snapshot::open("yesterday.heap")?;
    /// if let Some(report) = snapshot.growth() {
    ///     println!("{report}");
    /// }
    /// # Ok::<(), heapwatch::Error>(())
    /// ```
    pub fn growth(&self) -> Option<Report> {
        muted(|| Judged::of(self)?.report())
    }

    /// What holds for all verdicts on this snapshot.
    pub(super) fn watch(&self) -> Option<Watch> {
        let watched = self.watched.as_deref()?;
        Some(Watch {
            now: watched.now,
            started: watched.started,
            tick_seconds: watched.tick_seconds,
            interval_bytes: self.info.interval_bytes.max(1),
            min_seconds: watched.min_seconds,
            min_bytes: MIN_BYTES,
        })
    }

    /// What was watched of a site, by its place among the sites.
    pub(super) fn site_watch(&self, place: usize) -> Option<&SiteWatch> {
        self.watched.as_deref()?.sites.get(place)
    }
}

/// All sites that have a history, judged; what is told of them is made on demand.
struct Judged<'s> {
    snapshot: &'s Snapshot,
    watch: Watch,
    known: Vec<Known<'s>>,
    /// Live counters in whole numbers, by the site's id.
    whole: HashMap<u64, Totals>,
    /// Worst first.
    groups: Vec<Group>,
}

impl<'s> Judged<'s> {
    fn of(snapshot: &'s Snapshot) -> Option<Self> {
        let watch = snapshot.watch()?;
        let known: Vec<Known<'_>> = snapshot
            .sites
            .iter()
            .enumerate()
            .filter_map(|(place, site)| Known::of(snapshot, site, snapshot.site_watch(place)?))
            .collect();
        let members: Vec<Member<'_, &str>> = known.iter().map(Known::member).collect();
        let mut groups = growth::judge_all(&members, &watch);
        groups.sort_by(|a, b| {
            let (a, b) = (a.judgement.severity(), b.judgement.severity());
            b.0.cmp(&a.0)
                .then(b.1.total_cmp(&a.1))
                .then(b.2.total_cmp(&a.2))
        });
        let whole = whole_sites(snapshot).into_iter();
        Some(Judged {
            whole: whole.map(|(site, whole)| (site.id, whole.live)).collect(),
            snapshot,
            watch,
            groups,
            known,
        })
    }

    /// The sites of a group, those with most live bytes first.
    fn sites(&self, group: &Group) -> Vec<&Known<'s>> {
        let members = group.members.iter();
        let mut sites: Vec<&Known<'_>> = members.map(|index| &self.known[*index]).collect();
        sites.sort_by(|a, b| b.site.live.bytes.total_cmp(&a.site.live.bytes));
        sites
    }

    /// What all sites of a group hold, in whole numbers.
    fn live(&self, group: &Group) -> Totals {
        let mut live = Totals::default();
        for index in &group.members {
            let id = self.known[*index].site.id;
            live += self.whole.get(&id).copied().unwrap_or_default();
        }
        live
    }

    fn report(&self) -> Option<Report> {
        let (snapshot, watch) = (self.snapshot, &self.watch);
        // Alarms come first: whoever has to do without frames is calm, unless the alarms are thousands.
        let mut frames = FrameBudget::default();
        let groups = self.groups.iter();
        let verdicts: Vec<Growth> = groups
            .map(|group| self.growth(group, &[], &mut frames))
            .collect();
        let mut info = snapshot.info.clone();
        info.notes.extend_from_slice(snapshot.missing_names());
        Some(Report {
            info,
            watched_seconds: watch.watched_seconds(),
            tick_seconds: watch.tick_seconds,
            min_watch_seconds: watch.min_seconds,
            visible_bytes_per_second: self.visible_bytes_per_second(),
            sites_left_out: snapshot.watched.as_ref()?.sites_left_out,
            memory: memory(&snapshot.info.process, &verdicts),
            verdicts,
            verdicts_without_frames: frames.cut,
        })
    }

    fn visible_bytes_per_second(&self) -> Option<f64> {
        let (info, watched) = (&self.snapshot.info, self.watch.watched_seconds());
        (info.interval_bytes > 0 && !info.was_off && watched > 0.0)
            .then(|| growth::smallest_visible_rate(info.largest_interval_bytes, watched))
    }

    /// The site that a group is told by: who has named it before, or else whoever holds most.
    fn named<'k>(&self, sites: &[&'k Known<'s>], before: &[u64]) -> &'k Known<'s> {
        let mut named = sites.iter().filter(|known| before.contains(&known.site.id));
        named.next().unwrap_or(&sites[0])
    }

    /// A group in words, by the site that named it `before` if there is one.
    fn growth(&self, group: &Group, before: &[u64], frames: &mut FrameBudget) -> Growth {
        let sites = self.sites(group);
        let judgement = &group.judgement;
        let of_caller = group.level == growth::CALLER;
        let interval = self.snapshot.info.live_interval();
        let live = self.live(group);
        let mut allocated = Totals::default();
        sites
            .iter()
            .for_each(|known| allocated += known.site.allocated);
        let named = self.named(&sites, before);
        let names: Vec<&Name<'_>> = sites.iter().map(|known| &known.name).collect();
        let mut stack = naming::common(&names, of_caller);
        if !frames.admits(&stack) {
            stack.clear();
        }
        let own = named.name.own();
        let own = own.filter(|own| own.function != named.name.function);
        let mut growth = Growth {
            verdict: judgement.verdict,
            pattern: judgement.pattern,
            site: named.site.id,
            sites: sites.len(),
            function: named.name.function.to_string(),
            location: named.name.location.clone(),
            own_function: own.as_ref().map(|own| own.function.clone()),
            own_location: own.and_then(|own| own.location),
            through: named.name.through(),
            krate: named.name.krate.to_string(),
            allocated_type: named.name.allocated_type(),
            task: named.name.task(),
            rate_bytes_per_second: judgement.rate,
            live_bytes: Estimate::bytes(&live, interval),
            live_objects: Estimate::objects(&live, &allocated, interval),
            watched_seconds: judgement.watched_seconds,
            confidence: judgement.confidence,
            evidence: growth::sentence(judgement),
            caution: growth::caution(judgement),
            frames: stack.into_iter().map(GrowthFrame::of).collect(),
        };
        if of_caller {
            growth.blame_caller(&named.name);
        }
        growth
    }
}

impl Report {
    /// How many call sites have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        let same = self.verdicts.iter().filter(|one| one.verdict == verdict);
        same.count()
    }
}

/// A site with a history.
struct Known<'a> {
    site: &'a Site,
    watch: &'a SiteWatch,
    series: &'a Series,
    lifetimes: Vec<u64>,
    name: Name<'a>,
}

impl<'a> Known<'a> {
    fn of(snapshot: &'a Snapshot, site: &'a Site, watch: &'a SiteWatch) -> Option<Self> {
        Some(Known {
            site,
            watch,
            series: watch.series.as_deref()?,
            lifetimes: site.lifetimes.iter().copied().map(u64::from).collect(),
            name: Name::of(snapshot, site),
        })
    }

    fn member(&self) -> Member<'_, &str> {
        Member {
            site: SiteEvidence {
                series: self.series,
                deaths: self.watch.deaths.as_deref(),
                deaths_since: self.watch.deaths_since,
                live: &self.watch.live,
                lifetimes: Lifetimes {
                    counts: &self.lifetimes,
                    unit_seconds: LIFETIME_UNIT_SECONDS,
                },
                mixed: self.site.overflow,
            },
            keys: [
                &self.name.call_site,
                &self.name.function,
                self.name.caller(),
            ],
        }
    }
}

impl Growth {
    /// Names the caller of the function that its largest site names, which all sites have in common.
    fn blame_caller(&mut self, name: &Name<'_>) {
        let Some(caller) = name.caller_frame() else {
            return;
        };
        self.through = Some(std::mem::replace(&mut self.function, caller.function));
        self.location = caller.location;
        self.krate = caller.krate.unwrap_or_default();
        // The caller is the user's own, and the innermost such.
        self.own_function = None;
        self.own_location = None;
        self.allocated_type = None;
        self.task = None;
    }
}

fn memory(process: &Facts, verdicts: &[Growth]) -> Option<Memory> {
    let resident_bytes = process.resident_bytes?;
    let group = process.limit_bytes.map(|limit_bytes| {
        let left = limit_bytes.saturating_sub(resident_bytes);
        (left, limit_bytes, Limit::Cgroup)
    });
    let machine = process
        .machine_available_bytes
        .zip(process.machine_bytes)
        .map(|(left, all)| (left, all, Limit::Machine));
    let nearest = group.into_iter().chain(machine).min_by_key(|limit| limit.0);
    let alarms = verdicts.iter().filter(|growth| growth.verdict.alarms());
    let rates: Vec<Estimate> = alarms.map(|growth| growth.rate_bytes_per_second).collect();
    let span = nearest.and_then(|(left, ..)| growth::time_to_limit(left, 1.0, &rates));
    Some(Memory {
        resident_bytes,
        limit: nearest.map(|(.., limit)| limit),
        limit_bytes: nearest.map(|(_, bytes, _)| bytes),
        left_bytes: nearest.map(|(left, ..)| left),
        seconds_to_limit: span.map(
            |Span {
                 estimate,
                 low,
                 high,
             }| Estimate {
                estimate,
                low,
                high,
            },
        ),
    })
}

fn hex<S: serde::Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:016x}"))
}

#[cfg(test)]
#[path = "verdicts/tests.rs"]
mod tests;
#[cfg(test)]
pub(crate) use tests::{sample, sample_snapshot};
