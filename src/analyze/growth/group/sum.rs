//! Several sites as one.

use super::super::stats::MIN_SAMPLES;
use super::super::{Finding, Judgement, Lifetimes, SiteEvidence, Watch};
use crate::analyze::series::Series;
use crate::snapshot::evidence::{Deaths, LiveObject};

/// What is known of the sites together.
pub(super) struct Sum {
    series: Series,
    deaths: Deaths,
    deaths_since: u32,
    live: Vec<LiveObject>,
    lifetimes: Vec<u64>,
    unit_seconds: f64,
    mixed: bool,
}

impl Sum {
    /// What lives counts for the parts that speak, the dead count for all.
    pub(super) fn of<'a>(
        parts: impl Iterator<Item = &'a SiteEvidence<'a>> + Clone,
        watch: &Watch,
        speaks: impl Fn(&SiteEvidence<'_>) -> bool,
    ) -> Self {
        let speaking = parts.clone().filter(|part| speaks(part));
        let mut sum = Self {
            series: Series::sum(speaking.map(|part| part.series))
                .unwrap_or_else(|| Series::new(watch.now.saturating_sub(watch.started))),
            deaths: Deaths::new(),
            deaths_since: 0,
            live: Vec::new(),
            lifetimes: Vec::new(),
            unit_seconds: 1.0,
            mixed: false,
        };
        for part in parts {
            part.deaths
                .into_iter()
                .for_each(|deaths| sum.deaths.add(deaths));
            sum.deaths_since = sum.deaths_since.max(part.deaths_since);
            if speaks(part) {
                sum.live.extend_from_slice(part.live);
            }
            let counts = part.lifetimes.counts;
            sum.lifetimes
                .resize(sum.lifetimes.len().max(counts.len()), 0);
            sum.lifetimes
                .iter_mut()
                .zip(counts)
                .for_each(|(total, count)| *total += count);
            sum.unit_seconds = part.lifetimes.unit_seconds;
            sum.mixed |= part.mixed;
        }
        sum
    }

    /// Whether this is one collection that several stacks enlarge in turn: each time one dies where
    /// it was, and what lives is mostly the last. None of these stacks needs to have repeated itself.
    pub(super) fn is_handed_over(&self, judgement: &Judgement) -> bool {
        let Finding::Container(container) = &judgement.finding else {
            return false;
        };
        // Not from the table of deaths, which begins with a site's fourth sample.
        let died: u64 = self.lifetimes.iter().sum();
        died >= u64::from(container.jumps) && container.largest_bytes > judgement.live_bytes / 2.0
    }

    pub(super) fn evidence(&self) -> SiteEvidence<'_> {
        SiteEvidence {
            series: &self.series,
            deaths: Some(&self.deaths),
            deaths_since: self.deaths_since,
            live: &self.live,
            lifetimes: Lifetimes {
                counts: &self.lifetimes,
                unit_seconds: self.unit_seconds,
            },
            mixed: self.mixed,
        }
    }
}

impl SiteEvidence<'_> {
    /// A caller that makes ten things once each, at different times, does not leak: only sites that were
    /// seen to make objects again speak for a group. The dead of all sites speak against it.
    pub(super) fn is_repeated(&self, watch: &Watch) -> bool {
        let births = self.live.iter().map(|sample| sample.birth);
        let apart = births.clone().max().unwrap_or(0) - births.min().unwrap_or(0);
        let died = self
            .deaths
            .is_some_and(|deaths| deaths.cells().next().is_some());
        died || apart >= watch.now / 10 || self.live.len() >= MIN_SAMPLES as usize
    }
}
