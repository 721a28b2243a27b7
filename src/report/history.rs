//! The past of the process and of a site as JSON, in columns: one list of numbers for each figure.

use serde::Serialize;

use super::json::{Header, Line};
use crate::analyze::figures::Figure;
use crate::analyze::timeline::{Layer, Timeline};
use crate::analyze::{Estimate, FrameBudget, Row};
use crate::snapshot::serial::Hex;
use crate::snapshot::series::{Bin, Series};
use crate::snapshot::{AGE_BUCKETS, Info};

/// What holds for the whole history.
#[derive(Debug, Serialize)]
pub(crate) struct Clock {
    pub(crate) pid: u32,
    /// Tells processes apart that had the same `pid` one after the other, as in containers.
    #[serde(serialize_with = "Hex::serialize")]
    pub(crate) profile_id: u64,
    /// Seconds since 1970.
    pub(crate) taken_seconds: f64,
    /// Since the first allocation of the process: what `at_seconds` counts from, too.
    pub(crate) watched_seconds: f64,
    pub(crate) tick_seconds: f64,
    pub(crate) interval_bytes: u64,
    pub(crate) limit_bytes: Option<u64>,
}

#[derive(Serialize)]
struct History<'h> {
    #[serde(flatten)]
    clock: &'h Clock,
    /// Times that `from=@SECONDS` and `to=@SECONDS` of a diff can mean.
    moments_seconds: &'h [f64],
    at_seconds: Vec<f64>,
    live_bytes: Estimates,
    jemalloc_allocated_bytes: Vec<Option<u64>>,
    jemalloc_active_bytes: Vec<Option<u64>>,
    jemalloc_resident_bytes: Vec<Option<u64>>,
    resident_bytes: Vec<Option<u64>>,
    threads: Vec<Option<u64>>,
}

#[derive(Serialize)]
struct Estimates {
    estimate: Vec<u64>,
    low: Vec<u64>,
    high: Vec<u64>,
}

/// The figures of the process over time.
pub(crate) fn figures(clock: &Clock, moments: &[f64], points: &[Figure]) -> String {
    let live = |part: fn(&Estimate) -> f64| points.iter().map(|p| part(&p.live()) as u64).collect();
    let known = |part: fn(&Figure) -> u64| {
        let values = points.iter().map(|point| Some(part(point)));
        values
            .map(|value| value.filter(|value| *value > 0))
            .collect()
    };
    line(&History {
        clock,
        moments_seconds: moments,
        at_seconds: points
            .iter()
            .map(|point| millis(point.at_seconds))
            .collect(),
        live_bytes: Estimates {
            estimate: live(|live| live.estimate),
            low: live(|live| live.low),
            high: live(|live| live.high),
        },
        jemalloc_allocated_bytes: known(|point| point.allocated_bytes),
        jemalloc_active_bytes: known(|point| point.active_bytes),
        jemalloc_resident_bytes: known(|point| point.jemalloc_resident_bytes),
        resident_bytes: known(|point| point.resident_bytes),
        threads: known(|point| point.threads.into()),
    })
}

#[derive(Serialize)]
struct Layers<'l> {
    #[serde(flatten)]
    clock: &'l Clock,
    at_seconds: Vec<f64>,
    functions: Vec<FunctionLayer<'l>>,
    other_bytes: Vec<u64>,
    tasks: Vec<TaskLayer<'l>>,
}

#[derive(Serialize)]
struct FunctionLayer<'l> {
    function: &'l str,
    location: Option<&'l str>,
    #[serde(serialize_with = "Hex::serialize")]
    site: u64,
    live_bytes: Vec<u64>,
}

#[derive(Serialize)]
struct TaskLayer<'l> {
    task: &'l str,
    /// What one of them takes; the error of their number is that of their bytes, divided by this.
    object_bytes: u64,
    live: Vec<u64>,
}

/// Who held what over time; `at` tells when a tick was.
pub(crate) fn layers(clock: &Clock, timeline: &Timeline, at: impl Fn(u32) -> f64) -> String {
    let whole = |values: &[f64]| values.iter().map(|value| *value as u64).collect::<Vec<_>>();
    let function = |layer: &'_ Layer| whole(&layer.values);
    line(&Layers {
        clock,
        at_seconds: timeline
            .ticks
            .iter()
            .map(|tick| millis(at(*tick)))
            .collect(),
        functions: timeline
            .functions
            .iter()
            .map(|layer| FunctionLayer {
                function: &layer.name,
                location: layer.location.as_deref(),
                site: layer.site,
                live_bytes: function(layer),
            })
            .collect(),
        other_bytes: whole(&timeline.other),
        tasks: timeline
            .tasks
            .iter()
            .map(|layer| TaskLayer {
                task: &layer.name,
                object_bytes: layer.object_bytes.round() as u64,
                live: whole(&layer.values),
            })
            .collect(),
    })
}

/// A site, with its stack and what it did over time.
#[derive(Serialize)]
struct OneSite<'s> {
    #[serde(flatten)]
    snapshot: Header<'s>,
    site: Line<'s>,
    /// Lifetimes of the samples that were freed.
    lifetimes: Vec<Bucket>,
    /// Ages of the samples that are live.
    ages: Vec<Bucket>,
    history: Option<SiteHistory>,
}

/// Samples between this bucket's end and the one's before: half of it.
#[derive(Debug, PartialEq, Serialize)]
struct Bucket {
    /// None of the last, which takes the rest.
    below_seconds: Option<f64>,
    samples: u32,
}

#[derive(Serialize)]
struct SiteHistory {
    bin_seconds: f64,
    /// The end of each bin.
    at_seconds: Vec<f64>,
    floor_bytes: Vec<Option<u64>>,
    mean_bytes: Vec<Option<u64>>,
    peak_bytes: Vec<Option<u64>>,
    last_bytes: Vec<Option<u64>>,
    allocated_bytes: Vec<u64>,
    samples: Vec<u64>,
}

/// What is known of a site beside its row.
pub(crate) struct SiteFacts<'s> {
    pub(crate) row: &'s Row<'s>,
    pub(crate) lifetimes: &'s [u32; AGE_BUCKETS],
    pub(crate) ages: &'s [u32; AGE_BUCKETS],
    pub(crate) series: Option<&'s Series>,
    pub(crate) tick_seconds: f64,
}

/// All that is known of a site; `at` tells when a tick was.
pub(crate) fn site(info: &Info, facts: SiteFacts<'_>, at: impl Fn(u32) -> f64) -> String {
    line(&OneSite {
        snapshot: Header::of(info),
        site: Line::of(facts.row, &mut FrameBudget::default()),
        lifetimes: buckets(facts.lifetimes),
        ages: buckets(facts.ages),
        history: facts
            .series
            .map(|series| past(series, facts.tick_seconds, at)),
    })
}

fn past(series: &Series, tick_seconds: f64, at: impl Fn(u32) -> f64) -> SiteHistory {
    let (bins, width) = (series.bins(), series.width());
    let known = |part: fn(&Bin) -> f32| {
        let values = bins
            .iter()
            .map(|bin| (bin.ticks > 0).then(|| part(bin) as u64));
        values.collect::<Vec<_>>()
    };
    let end = |bin: usize| {
        ((bin as u32 + 1) * width)
            .min(series.end())
            .saturating_sub(1)
    };
    SiteHistory {
        bin_seconds: f64::from(width) * tick_seconds,
        at_seconds: (0..bins.len()).map(|bin| millis(at(end(bin)))).collect(),
        floor_bytes: known(|bin| bin.floor),
        mean_bytes: known(|bin| bin.mean),
        peak_bytes: known(|bin| bin.peak),
        last_bytes: known(|bin| bin.last),
        allocated_bytes: bins.iter().map(|bin| bin.allocated as u64).collect(),
        samples: bins.iter().map(|bin| bin.births as u64).collect(),
    }
}

/// From the first to the last that counted anything; the last of all comes with the one before it,
/// which tells where it begins.
fn buckets(counts: &[u32; AGE_BUCKETS]) -> Vec<Bucket> {
    let some = |count: &u32| *count > 0;
    let (Some(first), Some(last)) = (counts.iter().position(some), counts.iter().rposition(some))
    else {
        return Vec::new();
    };
    let bucket = |index: usize| Bucket {
        below_seconds: (index < LAST).then(|| 2f64.powi(index as i32 + 10) / 1e9),
        samples: counts[index],
    };
    (first.min(LAST - 1)..=last).map(bucket).collect()
}

const LAST: usize = AGE_BUCKETS - 1;

fn millis(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// On one line: this is for programs that ask often.
fn line(value: &impl Serialize) -> String {
    // Plain structs of numbers and strings do not fail to serialise.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::By;
    use crate::report::golden;
    use crate::snapshot::series::Reading;
    use crate::snapshot::testing::sample;

    fn clock() -> Clock {
        Clock {
            pid: 4242,
            profile_id: 0x1234,
            taken_seconds: 1.7e9,
            watched_seconds: 60.5,
            tick_seconds: 5.0,
            interval_bytes: 524_288,
            limit_bytes: Some(1 << 30),
        }
    }

    /// Programs read these fields: a change to them is a change to the public surface.
    #[test]
    fn answers_are_as_agreed() {
        let live = Estimate {
            estimate: 100.0,
            low: 50.0,
            high: 200.0,
        };
        let known = Figure {
            threads: 3,
            allocated_bytes: 110,
            active_bytes: 120,
            jemalloc_resident_bytes: 130,
            resident_bytes: 140,
            ..Figure::new(1, 5.0005, &live)
        };
        let unknown = Figure::new(2, 10.0, &Estimate::exact(7.0));
        let history = figures(&clock(), &[0.0, 5.0], &[known, unknown]);
        let timeline = Timeline {
            ticks: vec![1, 3],
            functions: vec![Layer {
                name: "chat::register".to_owned(),
                location: Some("src/chat.rs:41".to_owned()),
                site: 0x1111,
                values: vec![10.0, 20.0],
                ..Layer::default()
            }],
            other: vec![1.0, 2.0],
            tasks: vec![Layer {
                name: "chat::client".to_owned(),
                object_bytes: 640.0,
                values: vec![3.0, 4.0],
                ..Layer::default()
            }],
        };
        let layers = layers(&clock(), &timeline, |tick| f64::from(tick) * 5.0);
        let snapshot = sample();
        let top = snapshot.top(By::Site).limit(1);
        let mut series = Series::new(0);
        for (tick, live_bytes) in [(0, 10), (1, 30), (3, 20)] {
            let reading = Reading {
                live_bytes,
                births: 2,
                allocated_bytes: 40,
            };
            series.push(tick, &reading);
        }
        let mut ages = [0; AGE_BUCKETS];
        (ages[20], ages[22]) = (3, 1);
        let facts = SiteFacts {
            row: &top.rows()[0],
            lifetimes: &[0; AGE_BUCKETS],
            ages: &ages,
            series: Some(&series),
            tick_seconds: 5.0,
        };
        let site = site(snapshot.info(), facts, |tick| f64::from(tick) * 5.0);
        golden::check("history.json", &pretty(&[history, layers, site]));
    }

    /// What is a week old is not below 6.5 days: the last bucket has no end.
    #[test]
    fn the_last_bucket_takes_the_rest() {
        let mut counts = [0; AGE_BUCKETS];
        counts[LAST] = 7;
        let bucket = |below_seconds, samples| Bucket {
            below_seconds,
            samples,
        };
        assert_eq!(
            buckets(&counts),
            [bucket(Some(2f64.powi(48) / 1e9), 0), bucket(None, 7)]
        );
        counts[0] = 1;
        let all = buckets(&counts);
        assert_eq!(all.len(), AGE_BUCKETS);
        assert_eq!(all[0], bucket(Some(1024e-9), 1));
    }

    fn pretty(lines: &[String]) -> String {
        let mut text = String::new();
        for line in lines {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            text += &serde_json::to_string_pretty(&value).unwrap();
            text.push('\n');
        }
        text
    }
}
