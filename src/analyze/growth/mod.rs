//! Growth verdicts: what the history of a call site says of it.
//!
//! Three questions, in this order, because a trend alone cannot tell a leak from a cache:
//!
//! 1. **Do objects that grow old still die, and are such objects still being made?** From the deaths
//!    by birth and age and from the live samples. Old objects that do not die, made evenly until
//!    recently: `leaking`. See [`tail`].
//! 2. **Does the mean of live bytes grow, more than the load does?** `growing`; by Little's law
//!    (live = birth rate × lifetime) growth that the birth rate explains is `stable`, pattern `with_load`. See [`trend`].
//! 3. **Is it one object that gets larger?** A collection that is pushed to for ever is replaced by a
//!    larger one each time: `growing`, pattern `container`. See [`container`].
//!
//! What is left is described: `cyclic`, `plateaued`, `stable`. See [`course`].
//!
//! # What cannot be known
//!
//! - A cache that is still filling is a leak to anyone who stops watching before it is full. The
//!   verdict says how long it watched, and [`caution`] what else would look the same.
//! - Objects that live about as long as the watch (more than roughly 0.4 of it) have not been seen to
//!   die often enough to be told from objects that never do.
//! - A leak hidden among objects that live a tenth of the watch or have heavy-tailed lives shows only when
//!   it is most of what grows older than a third of the watch, by about twenty samples.
//! - Fewer than about ten samples say nothing: see [`smallest_visible_rate`].
//! - A behaviour that began in the last quarter of the watch is too young to be judged.
//! - A collection that reached its final size within the last doubling looks as if it were still growing.
//! - Growth that the load explains is not an alarm, though it fills the memory all the same.

mod container;
mod course;
mod evidence;
mod group;
mod limit;
mod lives;
mod mortality;
mod production;
mod stats;
mod tail;
mod trend;
mod verdict;
mod words;

#[cfg(test)]
pub(crate) use group::LEVELS;
pub(crate) use group::{CALLER, Group, Member, judge_all};
pub(crate) use limit::{Span, time_to_limit};
pub(crate) use words::{caution, sentence};

pub(crate) use container::Container;
pub(crate) use course::Course;
pub(crate) use evidence::{Lifetimes, SiteEvidence, Watch};
pub(crate) use tail::Tail;
pub(crate) use trend::Trend;
pub(crate) use verdict::{Finding, Judgement, Rate};
pub use verdict::{Pattern, Verdict};

use crate::analyze::series::Series;
use crate::snapshot::evidence::LiveObject;

/// The least steady leak, in bytes per second, of which ten samples are expected in `watched_seconds`.
/// Anything slower cannot be told yet.
#[must_use]
pub(crate) fn smallest_visible_rate(interval_bytes: u64, watched_seconds: f64) -> f64 {
    10.0 * interval_bytes.max(1) as f64 / watched_seconds.max(f64::MIN_POSITIVE)
}

/// The slope of live bytes over the last two thirds of the watch; none before there is enough history.
#[must_use]
pub(crate) fn rate(series: &Series, live: &[LiveObject], watch: &Watch) -> Option<Rate> {
    let site = SiteEvidence::without_deaths(series, live);
    trend::measure(&site, watch).map(|trend| trend.rate)
}

/// Judges one site by itself. Use [`judge_all`] for many, which controls false discoveries.
#[must_use]
pub(crate) fn judge(site: &SiteEvidence<'_>, watch: &Watch) -> Judgement {
    let mut judgement = verdict_of(site, watch);
    if site.mixed && judgement.alarms() {
        judgement.verdict = Verdict::Growing;
        judgement.pattern = Some(Pattern::Mixed);
    }
    judgement
}

fn verdict_of(site: &SiteEvidence<'_>, watch: &Watch) -> Judgement {
    let blank = blank(site, watch);
    if watch.watched_seconds() < watch.min_seconds || site.series.bins().len() < MIN_BINS {
        return blank;
    }
    let trend = trend::measure(site, watch);
    let course = course::describe(site, watch);
    let blank = Judgement {
        rate: trend.as_ref().map_or(Rate::default(), |trend| trend.rate),
        ..blank
    };
    if let Some(tail) = tail::find(site, watch) {
        return Judgement {
            verdict: Verdict::Leaking,
            rate: tail.rate,
            confidence: Some(tail.confidence),
            p_value: tail.p_value,
            finding: Finding::Tail(tail),
            ..blank
        };
    }
    if let Some(container) = container::find(site, watch) {
        return Judgement {
            verdict: Verdict::Growing,
            pattern: Some(Pattern::Container),
            rate: container.rate,
            p_value: 0.0,
            finding: Finding::Container(container),
            ..blank
        };
    }
    if let Some(trend) = trend.filter(|trend| trend.grows() || trend.follows_load()) {
        let with_load = trend.follows_load();
        let p_value = if with_load { 1.0 } else { trend.p_value() };
        return Judgement {
            verdict: if with_load {
                Verdict::Stable
            } else {
                Verdict::Growing
            },
            pattern: match (with_load, trend.busy) {
                (true, _) => Some(Pattern::WithLoad),
                (false, true) => Some(Pattern::Backlog),
                (false, false) => None,
            },
            confidence: (!with_load).then_some(1.0 - p_value),
            p_value,
            finding: Finding::Trend(trend),
            ..blank
        };
    }
    let enough = f64::from(course.peak) >= stats::floor_bytes(watch);
    Judgement {
        verdict: if enough {
            course.verdict
        } else {
            Verdict::TooEarly
        },
        pattern: course.pattern.filter(|_| enough),
        finding: Finding::Course(course),
        ..blank
    }
}

/// Fewer bins than this show no course.
const MIN_BINS: usize = 12;

fn blank(site: &SiteEvidence<'_>, watch: &Watch) -> Judgement {
    Judgement {
        verdict: Verdict::TooEarly,
        pattern: None,
        rate: Rate::default(),
        confidence: None,
        p_value: 1.0,
        finding: Finding::Nothing,
        live_objects: site
            .live
            .iter()
            .map(|sample| f64::from(sample.weight))
            .sum(),
        live_bytes: site.live.iter().map(LiveObject::estimate).sum(),
        typical_life_seconds: site.lifetimes.median_seconds(),
        watched_seconds: watch.watched_seconds(),
        withdrawn: false,
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
