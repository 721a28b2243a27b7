//! What was counted and estimated, and what that costs.

use super::families::{Buckets, Family, whole};
use crate::analyze::Estimate;
use crate::snapshot::{AGE_BUCKETS, Info, Snapshot, loss_reasons};

/// A site with a time series of its own; the last one stands for all others.
#[derive(Debug)]
pub(super) struct SiteSeries {
    pub(super) site: String,
    pub(super) function: String,
    pub(super) location: String,
    pub(super) live_bytes: f64,
}

/// Tasks with a time series of their own, by what was spawned; the last one stands for all others.
#[derive(Debug)]
pub(super) struct TaskSeries {
    pub(super) task: String,
    pub(super) objects: f64,
    pub(super) bytes: f64,
}

/// Everything that a snapshot holds but sites and tasks.
pub(super) fn totals(snapshot: &Snapshot, own_cpu: f64) -> Vec<Family> {
    let (live, allocated, freed) = (snapshot.live(), snapshot.allocated(), snapshot.freed());
    let info = snapshot.info();
    let bounds = Estimate::bytes(&live, info.live_interval());
    vec![
        Family::gauge(
            "heapwatch_live",
            "Bytes allocated and not yet freed, estimated.",
        )
        .bytes()
        .value(whole(live.bytes)),
        Family::gauge(
            "heapwatch_live_low",
            "Lower end of the 95 % interval of heapwatch_live_bytes.",
        )
        .bytes()
        .value(whole(bounds.low)),
        Family::gauge(
            "heapwatch_live_high",
            "Upper end of the 95 % interval of heapwatch_live_bytes.",
        )
        .bytes()
        .value(whole(bounds.high)),
        Family::gauge(
            "heapwatch_live_objects",
            "Objects allocated and not yet freed, estimated.",
        )
        .value(whole(live.objects)),
        Family::counter(
            "heapwatch_allocated",
            "Bytes allocated since the start, estimated.",
        )
        .bytes()
        .value(whole(allocated.bytes)),
        Family::counter("heapwatch_freed", "Bytes freed since the start, estimated.")
            .bytes()
            .value(whole(freed.bytes)),
        Family::counter(
            "heapwatch_allocated_objects",
            "Objects allocated since the start, estimated.",
        )
        .value(whole(allocated.objects)),
        Family::counter(
            "heapwatch_freed_objects",
            "Objects freed since the start, estimated.",
        )
        .value(whole(freed.objects)),
        lifetimes(snapshot),
        Family::counter(
            "heapwatch_samples",
            "Allocations that were sampled since the start.",
        )
        .value(info.samples),
        dropped(info),
        Family::gauge(
            "heapwatch_interval",
            "Mean bytes between two samples; 0 is off, 1 is every allocation.",
        )
        .bytes()
        .value(info.interval_bytes),
        Family::gauge(
            "heapwatch_self",
            "Memory that heapwatch uses for its own tables.",
        )
        .bytes()
        .value(info.self_bytes),
        Family::counter("heapwatch_self_cpu", "CPU time of heapwatch's own threads.")
            .seconds()
            .value(own_cpu),
    ]
}

/// Every reason has a series from the start: the first loss would else be no increase.
fn dropped(info: &Info) -> Family {
    let family = Family::counter(
        "heapwatch_samples_dropped",
        "Samples that were taken and could not be kept, by reason.",
    );
    loss_reasons().fold(family, |family, reason| {
        let loss = info.dropped.iter().find(|loss| loss.reason == reason);
        let labels = vec![("reason", reason.to_owned())];
        family.labelled(labels, loss.map_or(0, |loss| loss.samples))
    })
}

/// Octaves of lifetimes that share a bucket: half as many series, and still fine enough for a quantile.
const OCTAVES: usize = 2;

/// Bucket 0 of a site's lifetimes ends at 2^10 ns.
const FIRST_BOUND_SECONDS: f64 = 1024e-9;

fn lifetimes(snapshot: &Snapshot) -> Family {
    let mut by_octave = [0_u64; AGE_BUCKETS];
    for site in snapshot.sites() {
        for (sum, count) in by_octave.iter_mut().zip(site.lifetimes) {
            *sum += u64::from(count);
        }
    }
    let bound = |octave: usize| FIRST_BOUND_SECONDS * 2_f64.powi(octave as i32);
    // Each octave counts with its middle; nothing is known within it.
    let sum = (0..AGE_BUCKETS)
        .map(|octave| by_octave[octave] as f64 * bound(octave) * 0.75)
        .sum();
    let mut counts: Vec<(f64, u64)> = (0..AGE_BUCKETS)
        .step_by(OCTAVES)
        .map(|first| {
            let end = (first + OCTAVES).min(AGE_BUCKETS);
            (bound(end - 1), by_octave[first..end].iter().sum())
        })
        .collect();
    // The last octave takes all that lived longer.
    if let Some((bound, _)) = counts.last_mut() {
        *bound = f64::INFINITY;
    }
    Family::histogram(
        "heapwatch_lifetime",
        "Lifetimes of the sampled allocations that were freed; each stands for about one interval of bytes.",
    )
    .seconds()
    .value(Buckets { sum, counts })
}

/// The call sites that hold most.
pub(super) fn sites(series: Vec<SiteSeries>) -> Family {
    let family = Family::gauge(
        "heapwatch_site_live",
        "Live bytes of the call sites that hold most, estimated; site=\"other\" is the rest.",
    )
    .bytes();
    series.into_iter().fold(family, |family, series| {
        let labels = vec![
            ("site", series.site),
            ("function", series.function),
            ("location", series.location),
        ];
        family.labelled(labels, whole(series.live_bytes))
    })
}

/// Asynchronous tasks that exist.
pub(super) fn tasks(series: Vec<TaskSeries>) -> Vec<Family> {
    let mut count = Family::gauge(
        "heapwatch_live_tasks",
        "Asynchronous tasks that exist, by what was spawned, estimated; task=\"other\" is the rest.",
    );
    let mut bytes = Family::gauge(
        "heapwatch_live_task",
        "Memory of the asynchronous tasks that exist: what they keep while they wait, estimated.",
    )
    .bytes();
    for series in series {
        let labels = vec![("task", series.task)];
        count = count.labelled(labels.clone(), whole(series.objects));
        bytes = bytes.labelled(labels, whole(series.bytes));
    }
    vec![count, bytes]
}
