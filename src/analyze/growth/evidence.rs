//! What is known of a site, and of all sites that are judged together.

use crate::analyze::series::Series;
use crate::snapshot::evidence::{Deaths, LiveObject};

/// Lifetimes of a site's freed samples in powers of two: bucket 0 counts those below `unit_seconds`,
/// bucket `i` those in `[2^(i-1), 2^i)` units.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes<'a> {
    /// Counts by octave.
    pub(crate) counts: &'a [u64],
    /// Seconds in a unit.
    pub(crate) unit_seconds: f64,
}

impl Lifetimes<'_> {
    /// The median lifetime, to about a factor of 1.4; none while nothing has died.
    #[must_use]
    pub(crate) fn median_seconds(&self) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            total > 0 && seen * 2 >= total
        })?;
        Some(self.unit_seconds * 2f64.powi(bucket as i32) * std::f64::consts::FRAC_1_SQRT_2)
    }
}

/// What is true of all sites that are judged together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// The tick now, counted from the start of the process.
    pub(crate) now: u32,
    /// The tick at which the history began; series count from it.
    pub(crate) started: u32,
    /// Seconds in a tick.
    pub(crate) tick_seconds: f64,
    /// Sampling interval now, in bytes.
    pub(crate) interval_bytes: u64,
    /// Nothing is judged before this much was watched.
    pub(crate) min_seconds: f64,
    /// No site that holds less than this is judged.
    pub(crate) min_bytes: u64,
}

impl Watch {
    /// How long the history is.
    #[must_use]
    pub(crate) fn watched_seconds(&self) -> f64 {
        f64::from(self.now.saturating_sub(self.started)) * self.tick_seconds
    }

    pub(super) fn seconds(&self, ticks: f64) -> f64 {
        ticks * self.tick_seconds
    }
}

/// All that is known of one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SiteEvidence<'a> {
    /// Live bytes over time.
    pub(crate) series: &'a Series,
    /// Deaths by birth and age; none if none was noted.
    pub(crate) deaths: Option<&'a Deaths>,
    /// The tick from which on every death was noted. Of what was born before nothing is known but what
    /// is still alive, so it says nothing about mortality.
    pub(crate) deaths_since: u32,
    /// The samples that are alive, in any order.
    pub(crate) live: &'a [LiveObject],
    /// Lifetimes of freed samples, since the process began.
    pub(crate) lifetimes: Lifetimes<'a>,
    /// Whether many call sites share this entry because the site table was full.
    pub(crate) mixed: bool,
}

impl<'a> SiteEvidence<'a> {
    /// Of a site of which no death is known.
    pub(crate) fn without_deaths(series: &'a Series, live: &'a [LiveObject]) -> Self {
        Self {
            series,
            deaths: None,
            deaths_since: 0,
            live,
            lifetimes: Lifetimes {
                counts: &[],
                unit_seconds: 1.0,
            },
            mixed: false,
        }
    }
}
