//! Snapshot, jemalloc's and the process's figures → metric families, as plain data.

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::analyze::{Growth, Report, Verdict};
use crate::jemalloc::Jemalloc;
use crate::process::{MemoryLimit, Process};
use crate::snapshot::Snapshot;

/// A metric family with its samples.
#[derive(Debug)]
pub(super) struct Family {
    /// Name without the unit, and for a counter without `_total`: the encoder adds them.
    name: &'static str,
    unit: Option<Unit>,
    kind: Kind,
    help: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

#[derive(Debug)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Whole(u64),
    Real(f64),
}

/// A site with a time series of its own; the last one stands for all others.
#[derive(Debug)]
pub(super) struct SiteSeries {
    pub(super) site: String,
    pub(super) function: String,
    pub(super) location: String,
    pub(super) live_bytes: f64,
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Real(value)
    }
}

impl Family {
    fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Family {
            name,
            unit: None,
            kind,
            help,
            samples: Vec::new(),
        }
    }

    fn gauge(name: &'static str, help: &'static str) -> Self {
        Family::new(Kind::Gauge, name, help)
    }

    fn counter(name: &'static str, help: &'static str) -> Self {
        Family::new(Kind::Counter, name, help)
    }

    fn bytes(mut self) -> Self {
        self.unit = Some(Unit::Bytes);
        self
    }

    fn seconds(mut self) -> Self {
        self.unit = Some(Unit::Seconds);
        self
    }

    fn value(self, value: impl Into<Value>) -> Self {
        self.labelled(Vec::new(), value)
    }

    fn labelled(mut self, labels: Vec<(&'static str, String)>, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.samples.push(Sample { labels, value });
        self
    }

    /// Writes the family.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
        };
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)?;
        for sample in &self.samples {
            if sample.labels.is_empty() {
                self.encode_value(sample.value, &mut metric)?;
            } else {
                self.encode_value(sample.value, &mut metric.encode_family(&sample.labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_value(&self, value: Value, metric: &mut MetricEncoder<'_>) -> std::fmt::Result {
        match (self.kind, value) {
            (Kind::Gauge, Value::Whole(value)) => metric.encode_gauge(&value),
            (Kind::Gauge, Value::Real(value)) => metric.encode_gauge(&value),
            (Kind::Counter, Value::Whole(value)) => {
                metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
            }
            (Kind::Counter, Value::Real(value)) => {
                metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
            }
        }
    }
}

/// What was counted and estimated, and what that costs.
pub(super) fn heap(snapshot: &Snapshot, sites: Vec<SiteSeries>, own_cpu: f64) -> Vec<Family> {
    let (live, allocated, freed) = (snapshot.live(), snapshot.allocated(), snapshot.freed());
    let info = snapshot.info();
    let mut dropped = Family::counter(
        "heapwatch_samples_dropped",
        "Samples that were taken and could not be kept, by reason.",
    );
    for loss in &info.dropped {
        dropped = dropped.labelled(vec![("reason", loss.reason.to_string())], loss.samples);
    }
    vec![
        Family::gauge(
            "heapwatch_live",
            "Bytes allocated and not yet freed, estimated.",
        )
        .bytes()
        .value(whole(live.bytes)),
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
        site_family(sites),
        Family::counter(
            "heapwatch_samples",
            "Allocations that were sampled since the start.",
        )
        .value(info.samples),
        dropped,
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

fn site_family(sites: Vec<SiteSeries>) -> Family {
    let family = Family::gauge(
        "heapwatch_site_live",
        "Live bytes of the call sites that hold most, estimated; site=\"other\" is the rest.",
    )
    .bytes();
    sites.into_iter().fold(family, |family, series| {
        let labels = vec![
            ("site", series.site),
            ("function", series.function),
            ("location", series.location),
        ];
        family.labelled(labels, whole(series.live_bytes))
    })
}

/// Call sites whose growth has a series: all that alarm, worst first, then those that hold most.
const GROWING: usize = 20;

/// What the verdicts say.
pub(super) fn growth(report: &Report) -> Vec<Family> {
    let sites = Family::gauge(
        "heapwatch_sites",
        "Call sites by what their history says of them.",
    );
    let sites = Verdict::ALL.into_iter().fold(sites, |family, verdict| {
        let labels = vec![("verdict", verdict.name().to_owned())];
        family.labelled(labels, report.count(verdict) as u64)
    });
    let rates = Family::gauge(
        "heapwatch_site_growth_bytes_per_second",
        "Growth of the call sites that leak or grow, and of those that hold most, estimated.",
    );
    let rates = growing(report).into_iter().fold(rates, |family, growth| {
        let labels = vec![
            ("site", format!("{:016x}", growth.site)),
            ("function", growth.function.clone()),
            ("location", growth.location.clone().unwrap_or_default()),
        ];
        family.labelled(labels, growth.rate_bytes_per_second.estimate)
    });
    vec![sites, rates]
}

fn growing(report: &Report) -> Vec<&Growth> {
    let (alarms, mut calm): (Vec<_>, Vec<_>) = report
        .verdicts
        .iter()
        .filter(|growth| growth.verdict != Verdict::TooEarly)
        .partition(|growth| growth.verdict.alarms());
    calm.sort_by(|a, b| b.live_bytes.estimate.total_cmp(&a.live_bytes.estimate));
    alarms.into_iter().chain(calm).take(GROWING).collect()
}

/// jemalloc's own totals.
pub(super) fn jemalloc(totals: &Jemalloc) -> Vec<Family> {
    [
        (
            "jemalloc_allocated",
            "Bytes in blocks that the application holds, at their size class.",
            totals.allocated_bytes,
        ),
        (
            "jemalloc_active",
            "Bytes in pages that hold at least one allocated block.",
            totals.active_bytes,
        ),
        (
            "jemalloc_metadata",
            "Bytes that jemalloc uses for itself.",
            totals.metadata_bytes,
        ),
        (
            "jemalloc_resident",
            "Bytes of physical memory that jemalloc holds, dirty pages included.",
            totals.resident_bytes,
        ),
        (
            "jemalloc_mapped",
            "Bytes in mapped extents.",
            totals.mapped_bytes,
        ),
        (
            "jemalloc_retained",
            "Bytes of address space kept for reuse, without memory behind it.",
            totals.retained_bytes,
        ),
    ]
    .into_iter()
    .map(|(name, help, bytes)| Family::gauge(name, help).bytes().value(bytes))
    .collect()
}

/// What the operating system says of the process; what it does not say is left out.
pub(super) fn process(process: &Process) -> Vec<Family> {
    let resident = Family::gauge("process_resident_memory", "Resident memory size in bytes.");
    let virtual_ = Family::gauge("process_virtual_memory", "Virtual memory size in bytes.");
    let cpu = Family::counter(
        "process_cpu",
        "Total user and system CPU time spent in seconds.",
    );
    let start = Family::gauge(
        "process_start_time",
        "Start time of the process since unix epoch in seconds.",
    );
    [
        process
            .cpu_seconds
            .map(|seconds| cpu.seconds().value(seconds)),
        process
            .start_seconds
            .map(|seconds| start.seconds().value(seconds)),
        process
            .resident_bytes
            .map(|bytes| resident.bytes().value(bytes)),
        process
            .virtual_bytes
            .map(|bytes| virtual_.bytes().value(bytes)),
        process.threads.map(|threads| {
            Family::gauge("process_threads", "Number of OS threads in the process.").value(threads)
        }),
        process.open_fds.map(|fds| {
            Family::gauge("process_open_fds", "Number of open file descriptors.").value(fds)
        }),
        process.max_fds.map(|fds| {
            Family::gauge(
                "process_max_fds",
                "Maximum number of open file descriptors.",
            )
            .value(fds)
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The memory limit of the process's control groups.
pub(super) fn memory_limit(memory: &MemoryLimit) -> Vec<Family> {
    let limit = Family::gauge(
        "heapwatch_memory_limit",
        "Smallest memory limit of the control groups that the process is in.",
    );
    let used = Family::gauge(
        "heapwatch_memory_limit_used",
        "Bytes charged to the control group with the smallest memory limit, page cache included.",
    );
    let used = memory.used_bytes.map(|bytes| used.bytes().value(bytes));
    let limit = limit.bytes().value(memory.limit_bytes);
    std::iter::once(limit).chain(used).collect()
}

/// An estimate without digits that mean nothing. Never negative, so that counters only rise.
fn whole(estimate: f64) -> u64 {
    estimate.round() as u64
}
