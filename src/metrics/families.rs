//! Metric families as plain data, and how they are written.

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// Names and values of a sample's labels.
pub(super) type Labels = Vec<(&'static str, String)>;

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
    Histogram,
}

#[derive(Debug)]
struct Sample {
    labels: Labels,
    value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Buckets(Buckets),
}

/// A histogram: counts that are not cumulative, by upper bound; the last bound is infinite.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    pub(super) sum: f64,
    pub(super) counts: Vec<(f64, u64)>,
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

impl From<Buckets> for Value {
    fn from(buckets: Buckets) -> Self {
        Value::Buckets(buckets)
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

    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Family::new(Kind::Gauge, name, help)
    }

    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Family::new(Kind::Counter, name, help)
    }

    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Family::new(Kind::Histogram, name, help)
    }

    pub(super) fn bytes(mut self) -> Self {
        self.unit = Some(Unit::Bytes);
        self
    }

    pub(super) fn seconds(mut self) -> Self {
        self.unit = Some(Unit::Seconds);
        self
    }

    pub(super) fn value(self, value: impl Into<Value>) -> Self {
        self.labelled(Vec::new(), value)
    }

    pub(super) fn labelled(mut self, labels: Labels, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.samples.push(Sample { labels, value });
        self
    }

    /// Writes the family.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)?;
        for sample in &self.samples {
            if sample.labels.is_empty() {
                self.encode_value(&sample.value, &mut metric)?;
            } else {
                self.encode_value(&sample.value, &mut metric.encode_family(&sample.labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_value(&self, value: &Value, metric: &mut MetricEncoder<'_>) -> std::fmt::Result {
        match (self.kind, value) {
            (_, Value::Buckets(buckets)) => {
                let count = buckets.counts.iter().map(|(_, count)| count).sum();
                metric.encode_histogram::<NoLabelSet>(buckets.sum, count, &buckets.counts, None)
            }
            (Kind::Counter, Value::Whole(value)) => {
                metric.encode_counter::<NoLabelSet, _, u64>(value, None)
            }
            (Kind::Counter, Value::Real(value)) => {
                metric.encode_counter::<NoLabelSet, _, u64>(value, None)
            }
            (_, Value::Whole(value)) => metric.encode_gauge(value),
            (_, Value::Real(value)) => metric.encode_gauge(value),
        }
    }
}

/// An estimate without digits that mean nothing. Never negative, so that counters only rise.
pub(super) fn whole(estimate: f64) -> u64 {
    estimate.round() as u64
}
