//! Is it one object that gets larger, or a few?
//!
//! A collection that is pushed to for ever is one object, replaced by a larger one each time it is full;
//! a sharded map is several, which grow out of step. Their live bytes rise in jumps and never fall.
//! Filling at a steady rate makes each wait longer than the last by the factor of growth, so a jump
//! that is overdue means that the filling has stopped. So does a doubling that took far longer than the one
//! before: a map that has filled is enlarged once more, much later, when removed entries have used up its
//! free slots.

use super::stats;
use super::{Rate, SiteEvidence, Watch};
use crate::analyze::series::{Bin, Record, Series};
use crate::snapshot::evidence::LiveObject;

/// Records needed.
const RECORDS: usize = 4;

/// At the mean rate so far, the growth since the last record may be this many times the jump that is
/// due: a fifth for irregular filling.
const OVERDUE: f64 = 1.2;

/// A doubling that came about this many times as slowly as the one before is no part of a filling.
const SLOWED: f64 = 6.0;

/// What counts as half of a collection: few are exactly doubled.
const HALF: f32 = 0.55;

/// Records are dated to a tick and need not fall on it.
const ROUNDING: f64 = 1.1;

/// A reading twice as high as it should be raises the mean of fewer ticks than this by over a fifth.
const FEW_TICKS: u32 = 5;

/// More live samples than this are not a few.
const FEW: usize = 64;

/// A collection that keeps growing.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Live bytes at the first record in hand.
    pub(crate) from_bytes: f64,
    /// Live bytes at the last.
    pub(crate) to_bytes: f64,
    /// Jumps seen between them.
    pub(crate) jumps: u32,
    /// Seconds between them.
    pub(crate) over_seconds: f64,
    /// Seconds since the last.
    pub(crate) since_seconds: f64,
    /// Size of the largest object.
    pub(crate) largest_bytes: f64,
    /// Bytes per second, between what fills it and what it reserves.
    pub(crate) rate: Rate,
}

/// The growing collection at this site, if there is one.
pub(crate) fn find(site: &SiteEvidence<'_>, watch: &Watch) -> Option<Container> {
    let series = site.series;
    if series.records().len() < RECORDS {
        return None;
    }
    let floor = watch
        .interval_bytes
        .max(watch.min_bytes / u64::from(stats::MIN_SAMPLES)) as f64;
    let records: Vec<Record> = series
        .records()
        .iter()
        .copied()
        .filter(|record| f64::from(record.bytes) >= floor)
        .collect();
    let (first, last) = (*records.first()?, *records.last()?);
    let large = f64::from(last.bytes) >= stats::floor_bytes(watch);
    let holds = series.live() > 0.9 * last.bytes && !has_fallen(series, first.tick);
    if records.len() < RECORDS || !large || !holds || !is_few(site, watch) {
        return None;
    }
    let gained = f64::from(last.bytes - first.bytes);
    let over = f64::from(last.tick.saturating_sub(first.tick).max(1));
    let since = f64::from(series.end().saturating_sub(last.tick));
    let factor = records
        .windows(2)
        .map(|pair| pair[1].bytes / pair[0].bytes)
        .fold(1.0, f32::max);
    let due = f64::from(last.bytes) * (f64::from(factor.min(2.0)) - 1.0);
    let overdue = gained / over * since / due;
    if overdue > OVERDUE || has_slowed(&records) {
        return None;
    }
    let per_second = gained / watch.seconds(over);
    Some(Container {
        from_bytes: f64::from(first.bytes),
        to_bytes: f64::from(last.bytes),
        jumps: records.len() as u32 - 1,
        over_seconds: watch.seconds(over),
        since_seconds: watch.seconds(since),
        largest_bytes: site
            .live
            .iter()
            .map(LiveObject::estimate)
            .fold(0.0, f64::max),
        rate: Rate {
            estimate: per_second / std::f64::consts::SQRT_2,
            low: per_second / 2.0 / ROUNDING,
            high: per_second * ROUNDING,
        },
    })
}

/// Whether the last doubling was filled far more slowly than the one before. Whole doublings are compared, because
/// collections that grow out of step rise in steps of their own.
fn has_slowed(records: &[Record]) -> bool {
    let half_of = |record: &Record| {
        let half = HALF * record.bytes;
        records.iter().rfind(|before| before.bytes <= half)
    };
    let pace = |from: &Record, to: &Record| {
        f64::from(to.bytes - from.bytes) / f64::from(to.tick.saturating_sub(from.tick).max(1))
    };
    let last = records.last();
    let Some((last, middle)) = last.and_then(|last| Some((last, half_of(last)?))) else {
        return false;
    };
    half_of(middle).is_some_and(|first| pace(first, middle) > SLOWED * pace(middle, last))
}

/// Either nothing is born in most bins, or all that lives is a few objects far larger than the interval.
fn is_few(site: &SiteEvidence<'_>, watch: &Watch) -> bool {
    let bins = site.series.bins();
    let busy = bins.iter().filter(|bin| bin.births > 0.0).count();
    let live = site.live.iter().map(LiveObject::estimate).sum::<f64>();
    let largest = site
        .live
        .iter()
        .map(LiveObject::estimate)
        .fold(0.0, f64::max);
    let few = site.live.len() <= FEW
        && stats::unit_bytes(site.live, watch) >= 4.0 * watch.interval_bytes as f64;
    few || 2 * busy < bins.len() && largest > 0.25 * live
}

/// Whether the mean of a bin was a tenth below one before it. Of a few ticks a mean says little: one
/// may have been read while the collection moved, both blocks alive. There two bins must agree.
fn has_fallen(series: &Series, since: u32) -> bool {
    let bins = series.bins().iter().filter(|bin| bin.ticks > 0);
    let bins: Vec<Bin> = bins
        .skip((since / series.width()) as usize)
        .copied()
        .collect();
    let mut highest = 0.0;
    bins.windows(2).any(|pair| {
        let (before, now) = (pair[0], pair[1].mean);
        let held = if before.ticks < FEW_TICKS {
            before.mean.min(now)
        } else {
            before.mean
        };
        highest = f32::max(highest, held);
        now < 0.9 * highest
    })
}
