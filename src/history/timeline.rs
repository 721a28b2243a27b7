//! The past of the whole process: its figures, and moments that can be compared.

use std::sync::Mutex;

use super::moments::Moments;
use crate::Error;
use crate::analyze::Estimate;
use crate::analyze::figures::{Figure, Figures};
use crate::jemalloc::Jemalloc;
use crate::process::Process;
use crate::snapshot::evidence::{self, Past};
use crate::snapshot::{PerProcess, Snapshot, Totals};

static TIMELINE: PerProcess<Mutex<Timeline>> = PerProcess::new();

/// One process's past.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Ticks of another length begin another past.
    tick_seconds: f64,
    pub(crate) figures: Figures,
    pub(crate) moments: Moments,
}

/// Adds this tick; returns the bytes that the past takes.
pub(super) fn note(tick: u32, readings: &[Past]) -> usize {
    let Some(timeline) = TIMELINE.get_or_init(Mutex::default) else {
        return 0;
    };
    let figure = figure(tick, readings);
    let tick_seconds = evidence::tick_seconds();
    let mut timeline = super::lock(timeline);
    if timeline.tick_seconds != tick_seconds {
        *timeline = Timeline {
            tick_seconds,
            ..Timeline::default()
        };
    }
    let Timeline {
        figures, moments, ..
    } = &mut *timeline;
    moments.push(tick, figure.at_seconds, readings);
    figures.push(figure);
    figures.bytes() + moments.bytes()
}

/// What is known of the past; none before the first tick.
pub(crate) fn read<T>(with: impl FnOnce(&Timeline) -> T) -> Option<T> {
    TIMELINE.get().map(|timeline| with(&super::lock(timeline)))
}

/// The process now.
fn figure(tick: u32, readings: &[Past]) -> Figure {
    let mut live = Totals::default();
    readings.iter().for_each(|site| live += site.live());
    let (_, largest_interval) = evidence::intervals();
    let live = Estimate::bytes(&live, largest_interval);
    let jemalloc = Jemalloc::read().unwrap_or_default();
    let (resident, threads) = Process::resident_and_threads();
    Figure {
        threads: threads.and_then(|n| n.try_into().ok()).unwrap_or(0),
        allocated_bytes: jemalloc.allocated_bytes,
        active_bytes: jemalloc.active_bytes,
        jemalloc_resident_bytes: jemalloc.resident_bytes,
        resident_bytes: resident.unwrap_or(0),
        ..Figure::new(tick, evidence::watched_seconds(), &live)
    }
}

/// The snapshot of the kept moment that is nearest to a time, which is now if that is nearer.
/// Seconds count from the first allocation of the process, or back from now if negative.
pub(crate) fn snapshot_at(seconds: f64) -> Result<Snapshot, Error> {
    let (now, keys) = evidence::with_keys()?;
    let end = now.info.watched_seconds;
    let seconds = if seconds < 0.0 {
        end + seconds
    } else {
        seconds
    };
    let found = read(|past| past.moments.nearest(seconds)).flatten();
    Ok(match found {
        Some((at, past)) if (at - seconds).abs() < (end - seconds).abs() => {
            evidence::back_to(&now, &keys, at, &past)
        }
        _ => now,
    })
}
