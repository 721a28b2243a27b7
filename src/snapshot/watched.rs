//! What was watched of a process's sites over time, and what else verdicts on growth rest on: kept
//! with the snapshot of the same moment, so that they can be given later and elsewhere.

use super::evidence::{Deaths, LiveObject};
use super::series::Series;

/// The history of a process up to one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Watched {
    /// The tick of the moment, counted from the start of the process.
    pub(crate) now: u32,
    /// The tick at which the history began; series count from it.
    pub(crate) started: u32,
    /// Seconds in a tick.
    pub(crate) tick_seconds: f64,
    /// Nothing is judged before this much was watched.
    pub(crate) min_seconds: f64,
    /// Sites without a history because there are too many.
    pub(crate) sites_left_out: usize,
    /// For each of the snapshot's sites, in their order.
    pub(crate) sites: Vec<SiteWatch>,
}

/// What is known of a site beyond its counters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SiteWatch {
    /// Live bytes over time; none where the site has no history.
    pub(crate) series: Option<Box<Series>>,
    /// Deaths by birth and age; none if none was noted.
    pub(crate) deaths: Option<Box<Deaths>>,
    /// The tick from which on every death was noted: there was no memory for them before, or the tick
    /// was changed.
    pub(crate) deaths_since: u32,
    /// The samples that are alive, in any order.
    pub(crate) live: Vec<LiveObject>,
}
