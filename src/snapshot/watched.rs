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

impl SiteWatch {
    /// Adds what is known of another part of the same site.
    pub(super) fn join(&mut self, other: SiteWatch) {
        self.series = match (self.series.take(), other.series) {
            (Some(one), Some(other)) => Series::sum([&*one, &*other]).map(Box::new),
            (one, other) => one.or(other),
        };
        match (&mut self.deaths, other.deaths) {
            (Some(deaths), Some(other)) => deaths.add(&other),
            (deaths, other) => *deaths = deaths.take().or(other),
        }
        self.deaths_since = self.deaths_since.max(other.deaths_since);
        if self.live.is_empty() {
            self.live = other.live;
        } else {
            self.live.extend(other.live);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::series::Reading;

    /// A plugin that was loaded twice and leaks each time has leaked what both did.
    #[test]
    fn parts_of_a_site_are_joined() {
        let part = |live_bytes| {
            let mut series = Series::new(0);
            series.push(
                0,
                &Reading {
                    live_bytes,
                    births: 1,
                    allocated_bytes: live_bytes,
                },
            );
            let mut deaths = Deaths::new();
            deaths.record(0, 1);
            SiteWatch {
                series: Some(Box::new(series)),
                deaths: Some(Box::new(deaths)),
                deaths_since: 3,
                live: vec![LiveObject {
                    birth: 0,
                    weight: 1.0,
                    bytes: live_bytes,
                }],
            }
        };
        let mut joined = SiteWatch::default();
        joined.join(part(100));
        assert_eq!(joined, part(100));
        joined.join(part(28));
        joined.join(SiteWatch::default());
        assert_eq!(joined.series.unwrap().live(), 128.0);
        let counts = joined.deaths.as_deref().unwrap().counts();
        assert_eq!(counts.map(|cell| u32::from(cell.2)).sum::<u32>(), 2);
        assert_eq!((joined.deaths_since, joined.live.len()), (3, 2));
    }
}
