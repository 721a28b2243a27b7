//! Does the mean of live bytes grow, and more than the load does?
//!
//! Over the last two thirds of the watch: the last third against the first in units of the sampling
//! noise, Mann and Kendall's τ, and the increments between six blocks, whose own scatter guards against
//! the wandering of a slow but healthy queue. By Little's law live bytes are birth rate × lifetime, so
//! what counts as growth is the part that the birth rate (smoothed over a lifetime, because live bytes
//! lag behind it) does not explain.

use super::{Rate, SiteEvidence, Watch};
use super::{lives, stats};
use crate::analyze::series::Bin;

/// Blocks into which the time is cut for their increments.
const BLOCKS: usize = 6;

/// Live bytes may outgrow the load by this factor before it no longer explains them.
const UNEXPLAINED: f64 = 1.3;

/// Births per bin from which the load is known bin by bin.
const MANY: f64 = 20.0;

/// A birth rate that grew by less than this is not a growing load.
const MORE_LOAD: f64 = 1.2;

/// Growth of a site's mean.
#[derive(Clone, Debug)]
pub(crate) struct Trend {
    /// Mean live bytes in the first third of the time looked at.
    pub(crate) early_bytes: f64,
    /// Mean live bytes in the last third.
    pub(crate) late_bytes: f64,
    /// By how much the birth rate grew between them, as a factor.
    pub(crate) load_ratio: f64,
    /// Seconds looked at.
    pub(crate) seconds: f64,
    /// Slope, bytes per second.
    pub(crate) rate: Rate,
    /// Whether objects are born in most bins.
    pub(crate) busy: bool,
    z: f64,
    live: Rise,
    /// Of live bytes per load, where the load is known.
    unexplained: Rise,
    lengthening: Option<f64>,
    /// Standard error of the logarithm of late over early live bytes.
    ratio_error: f64,
}

impl Trend {
    /// Whether the mean grows for sure and has not stopped.
    #[must_use]
    pub(crate) fn grows(&self) -> bool {
        let Rise {
            tau, steps, lasts, ..
        } = self.unexplained;
        let sure = self.z > 3.0 && tau > 0.6 && steps > 2.5;
        let likely = self.z > 2.0 && ((tau > 0.5 && steps > 2.0) || (tau > 0.7 && steps > 1.2));
        let surely_so = match self.lengthening {
            Some(lives) => (sure && lives > 2.0) || (likely && lives > 4.0),
            None => sure,
        };
        // After a step of both, live bytes are flat, but live bytes per load rise as the load fades.
        lasts && !self.live.is_step && surely_so && !self.is_explained()
    }

    /// Whether the mean grows, and no more than the load does.
    #[must_use]
    pub(crate) fn follows_load(&self) -> bool {
        let grows = self.live.lasts && self.z > 2.0 && self.live.tau > 0.5;
        grows && self.load_ratio > MORE_LOAD && self.is_explained()
    }

    /// Whether late cohorts live longer than early ones.
    #[must_use]
    pub(crate) fn lives_lengthen(&self) -> bool {
        self.lengthening.is_some_and(|sure| sure > 2.0)
    }

    /// Of the growth: by noise, and by increments or by longer lives.
    #[must_use]
    pub(crate) fn p_value(&self) -> f64 {
        let p_noise = stats::student_above(self.z, 60.0);
        let p_steps = stats::student_above(self.unexplained.steps, (BLOCKS - 2) as f64);
        let by_lives = |sure| stats::student_above(sure, f64::from(u16::MAX));
        p_noise.max(p_steps.min(self.lengthening.map_or(1.0, by_lives)))
    }

    /// As far as sampling lets it be known.
    fn is_explained(&self) -> bool {
        let by_load = self.early_bytes * self.load_ratio;
        self.late_bytes < UNEXPLAINED * by_load * (1.645 * self.ratio_error).exp()
    }
}

/// Measures the trend; none before there is enough history.
pub(crate) fn measure(site: &SiteEvidence<'_>, watch: &Watch) -> Option<Trend> {
    let series = site.series;
    let width = f64::from(series.width());
    let load = smoothed_load(series.bins(), width);
    let start = f64::from(series.end()) / 3.0;
    let points: Vec<Point> = series
        .bins()
        .iter()
        .zip(load)
        .enumerate()
        .filter(|(index, (bin, _))| {
            2 * bin.ticks >= series.width() && *index as f64 * width >= start
        })
        .map(|(index, (bin, load))| Point {
            tick: (index as f64 + 0.5) * width,
            live: f64::from(bin.mean),
            load,
            births: f64::from(bin.births),
        })
        .collect();
    (points.len() > BLOCKS).then(|| {
        let unit = stats::unit_bytes(site.live, watch);
        trend(&points, unit, || lives::lengthening(site, watch), watch)
    })
}

struct Point {
    tick: f64,
    live: f64,
    load: f64,
    births: f64,
}

fn trend(
    points: &[Point],
    unit: f64,
    lengthening: impl Fn() -> Option<f64>,
    watch: &Watch,
) -> Trend {
    let third = points.len() / 3;
    let (first, last) = (&points[..third], &points[points.len() - third..]);
    let mean = |part: &[Point], value: fn(&Point) -> f64| {
        part.iter().map(value).sum::<f64>() / part.len() as f64
    };
    let (early, late) = (mean(first, |p| p.live), mean(last, |p| p.live));
    let (early_load, late_load) = (mean(first, |p| p.load), mean(last, |p| p.load));
    let lives: Vec<f64> = points.iter().map(|point| point.live).collect();
    let births: f64 = points.iter().map(|point| point.births).sum();
    let known_load = births >= MANY * points.len() as f64;
    let per_load = |p: &Point| p.live / p.load.max(f64::MIN_POSITIVE);
    let noise = (unit * (early + late + unit)).sqrt();
    let z = (late - early) / noise;
    let apart = watch.seconds(mean(last, |p| p.tick) - mean(first, |p| p.tick));
    let spread = 1.96 * noise / apart;
    let sen: Vec<(f64, f64)> = points
        .iter()
        .map(|p| (watch.seconds(p.tick), p.live))
        .collect();
    let slope = stats::theil_sen(&sen);
    let live = Rise::of(&lives);
    let unexplained = if known_load {
        Rise::of(&points.iter().map(per_load).collect::<Vec<_>>())
    } else {
        live
    };
    Trend {
        early_bytes: early,
        late_bytes: late,
        load_ratio: if early_load > 0.0 {
            late_load / early_load
        } else {
            1.0
        },
        seconds: watch.seconds(points[points.len() - 1].tick - points[0].tick),
        rate: Rate {
            estimate: slope,
            low: slope - spread,
            high: slope + spread,
        },
        busy: points.iter().filter(|point| point.births > 0.0).count() * 2 > points.len(),
        z,
        live,
        // Only what may be growth is worth the time.
        lengthening: (z > 2.0 && unexplained.tau > 0.5)
            .then(lengthening)
            .flatten(),
        unexplained,
        ratio_error: (unit / early.max(unit) + unit / late.max(unit)).sqrt(),
    }
}

/// Whether a course rises, and still does.
#[derive(Clone, Copy, Debug)]
struct Rise {
    /// Mann and Kendall's.
    tau: f64,
    /// Student's t of the increments between blocks.
    steps: f64,
    /// Whether the last third rises too, by half of the mean at least, and a line describes the whole
    /// better than one step does.
    lasts: bool,
    /// Whether a single step describes it far better than a line.
    is_step: bool,
}

impl Rise {
    fn of(values: &[f64]) -> Self {
        let blocks: Vec<f64> = (0..BLOCKS)
            .map(|block| {
                let range = block * values.len() / BLOCKS..(block + 1) * values.len() / BLOCKS;
                values[range.clone()].iter().sum::<f64>() / range.len() as f64
            })
            .collect();
        let increments: Vec<f64> = blocks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let (step, error) = stats::mean_and_error(&increments);
        let highest = blocks.iter().copied().fold(0.0, f64::max);
        let [.., c, d, e, f] = blocks[..] else {
            return Self {
                tau: 0.0,
                steps: 0.0,
                lasts: false,
                is_step: false,
            };
        };
        let by_line = stats::error_of_line(values);
        let by_step = stats::error_of_step(values);
        Self {
            tau: stats::kendall_tau(values),
            steps: if error > 0.0 { step / error } else { 0.0 },
            lasts: f >= 0.95 * highest
                && e + f - c - d > step
                && f - d > 0.5 * step
                && by_line < by_step,
            is_step: 2.0 * by_step < by_line,
        }
    }
}

/// Bytes allocated per tick, smoothed over the site's mean lifetime: what live bytes would follow if
/// lifetimes never changed.
fn smoothed_load(bins: &[Bin], width: f64) -> Vec<f64> {
    let watched: f64 = bins.iter().map(|bin| f64::from(bin.ticks)).sum();
    let live: f64 = bins
        .iter()
        .map(|bin| f64::from(bin.mean) * f64::from(bin.ticks))
        .sum();
    let allocated: f64 = bins.iter().map(|bin| f64::from(bin.allocated)).sum();
    let lifetime = if allocated > 0.0 {
        live / allocated
    } else {
        0.0
    };
    // Of a process that stood still less was watched than one bin is wide.
    let shortest = width / 8.0;
    let longest = (watched.max(8.0) / 6.0).max(shortest);
    let keep = (-width / lifetime.clamp(shortest, longest)).exp();
    let mut smooth = None;
    bins.iter()
        .map(|bin| {
            let load = f64::from(bin.allocated) / f64::from(bin.ticks.max(1));
            let value = match smooth {
                Some(previous) if bin.ticks == 0 => previous,
                Some(previous) => previous * keep + load * (1.0 - keep),
                None => load,
            };
            smooth = Some(value);
            value
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::analyze::growth::{Watch, rate};
    use crate::analyze::series::{Reading, Series};

    /// A process that was stopped or frozen for long has few readings in wide bins. To judge it must not
    /// bring it down.
    #[test]
    fn a_long_standstill_is_survived() {
        for still in [1, 30, 500, 20_000, 1 << 20, 1 << 27] {
            let mut series = Series::new(0);
            for tick in (0..12).chain(still + 12..still + 16) {
                let reading = Reading {
                    live_bytes: 1 << 20,
                    births: 1,
                    allocated_bytes: 1 << 16,
                };
                series.push(tick, &reading);
            }
            let watch = Watch {
                now: still + 16,
                started: 0,
                tick_seconds: 5.0,
                interval_bytes: 1 << 19,
                min_seconds: 60.0,
                min_bytes: 1 << 18,
            };
            let bins = series.bins().len();
            assert!((14..=32).contains(&bins), "{bins} bins");
            assert!(rate(&series, &[], &watch).is_none_or(|rate| rate.estimate == 0.0));
        }
    }
}
