//! The few statistics that the verdicts share.

use super::{Rate, Watch};
use crate::analyze::distributions::{beta_below, gamma_above, gamma_quantile};
use crate::snapshot::evidence::LiveObject;

pub(crate) use crate::analyze::distributions::student_above;

/// Fewer samples than this are not worth a word.
pub(crate) const MIN_SAMPLES: u32 = 5;

/// Bytes below which no site is judged.
pub(crate) fn floor_bytes(watch: &Watch) -> f64 {
    let samples = f64::from(MIN_SAMPLES) * watch.interval_bytes as f64;
    samples.max(watch.min_bytes as f64)
}

/// P(X ≤ `count`) for a Poisson variable of this mean.
pub(crate) fn poisson_at_most(count: u32, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 1.0;
    }
    gamma_above(f64::from(count) + 1.0, mean)
}

/// Whether so few could well be chance for a Poisson variable of this mean, told without the cost of
/// its distribution: its median is at most a third above its mean.
pub(crate) fn poisson_is_likely(count: u32, mean: f64) -> bool {
    f64::from(count) >= mean + 1.0 / 3.0
}

/// P(X ≤ `count`) for the number of `trials` that succeed, each with probability `share`.
pub(crate) fn binomial_at_most(count: u32, trials: u32, share: f64) -> f64 {
    if count >= trials {
        return 1.0;
    }
    let (failed, succeeded) = (f64::from(trials - count), f64::from(count) + 1.0);
    beta_below(failed, succeeded, 1.0 - share.clamp(0.0, 1.0))
}

/// 95 % interval of a sum `total` whose variance is estimated as `variance`; `unit` is what one more
/// unseen sample would add. Gamma, because ±1.96 σ covers far too little where samples are few.
pub(crate) fn gamma_interval(total: f64, variance: f64, unit: f64) -> Rate {
    let quantile = |mean: f64, variance: f64, level: f64| {
        if mean <= 0.0 || variance <= 0.0 {
            return mean.max(0.0);
        }
        let scale = variance / mean;
        let shape = mean / scale;
        if !shape.is_finite() || shape <= 0.0 {
            return mean;
        }
        scale * gamma_quantile(shape, level)
    };
    Rate {
        estimate: total,
        low: quantile(total, variance, 0.025),
        high: quantile(total + unit, variance + unit * unit, 0.975),
    }
}

/// Mean bytes that a live sample stands for, weighted by bytes: `Σ(sw)² / Σ sw`. The variance of an
/// estimate `L` is about `unit · L`.
pub(crate) fn unit_bytes(live: &[LiveObject], watch: &Watch) -> f64 {
    let (sum, squares) = live
        .iter()
        .map(LiveObject::estimate)
        .fold((0.0, 0.0), |(sum, squares), bytes| {
            (sum + bytes, squares + bytes * bytes)
        });
    let interval = watch.interval_bytes.max(1) as f64;
    if sum > 0.0 {
        (squares / sum).max(interval)
    } else {
        interval
    }
}

/// Mann and Kendall's τ: the share of pairs that rise minus the share that fall.
pub(crate) fn kendall_tau(values: &[f64]) -> f64 {
    let pairs = values.len() * values.len().saturating_sub(1) / 2;
    if pairs == 0 {
        return 0.0;
    }
    let mut score = 0i64;
    for (index, early) in values.iter().enumerate() {
        for late in &values[index + 1..] {
            score += match late.total_cmp(early) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Less => -1,
                std::cmp::Ordering::Equal => 0,
            };
        }
    }
    score as f64 / pairs as f64
}

/// Theil and Sen's slope: the median over all pairs.
pub(crate) fn theil_sen(points: &[(f64, f64)]) -> f64 {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, (x0, y0)) in points.iter().enumerate() {
        for (x1, y1) in &points[index + 1..] {
            slopes.push((y1 - y0) / (x1 - x0));
        }
    }
    median(&mut slopes)
}

/// The median; 0 of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let even = values.len().is_multiple_of(2);
    let (below, middle, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    if !even {
        return *middle;
    }
    let next = below.iter().copied().max_by(f64::total_cmp);
    next.map_or(*middle, |next| f64::midpoint(next, *middle))
}

/// Sum of squared deviations from the mean.
fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// Sum of squared errors of the best straight line through equidistant values.
pub(crate) fn error_of_line(values: &[f64]) -> f64 {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let apart = |index: usize| index as f64 - middle;
    let along: f64 = values
        .iter()
        .enumerate()
        .map(|(index, value)| apart(index) * value)
        .sum();
    let across: f64 = (0..values.len()).map(|index| apart(index).powi(2)).sum();
    deviation(values)
        - if across > 0.0 {
            along * along / across
        } else {
            0.0
        }
}

/// Sum of squared errors of the best single step between two levels.
pub(crate) fn error_of_step(values: &[f64]) -> f64 {
    let all = values.iter().sum::<f64>();
    let count = values.len() as f64;
    let mut before = 0.0;
    // A step explains most where the means on its two sides lie furthest apart.
    let explained = values
        .iter()
        .zip(1usize..)
        .take(values.len().saturating_sub(1))
        .map(|(value, at)| {
            before += value;
            let (left, right) = (at as f64, count - at as f64);
            (before / left - (all - before) / right).powi(2) * left * right / count
        })
        .reduce(f64::max);
    explained.map_or(f64::INFINITY, |explained| {
        (deviation(values) - explained).max(0.0)
    })
}

/// Mean and standard error of the mean.
pub(crate) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) {
        assert!(
            (left - right).abs() < 1e-3 * right.abs().max(1e-3),
            "{left} is not {right}"
        );
    }

    #[test]
    fn poisson_sums() {
        close(poisson_at_most(0, 2.0), (-2.0f64).exp());
        close(poisson_at_most(2, 3.0), (-3.0f64).exp() * (1.0 + 3.0 + 4.5));
        close(poisson_at_most(0, 0.0), 1.0);
    }

    /// A site that is passed over by the shortcut must not be one that the distribution would find.
    #[test]
    fn what_is_likely_has_half_of_the_probability() {
        for count in 0..200 {
            for mean in 0..2_000 {
                let mean = f64::from(mean) / 10.0;
                if poisson_is_likely(count, mean) {
                    assert!(poisson_at_most(count, mean) >= 0.5, "{count} at {mean}");
                }
            }
        }
    }

    #[test]
    fn binomial_sums() {
        close(binomial_at_most(0, 3, 0.25), 0.75f64.powi(3));
        close(binomial_at_most(1, 3, 0.5), 0.5);
        close(binomial_at_most(3, 3, 0.9), 1.0);
        close(binomial_at_most(0, 2, 0.0), 1.0);
    }

    /// For equal units the interval is Garwood's exact one of a Poisson count: (1.623, 10.242... ) at 5.
    #[test]
    fn gamma_interval_of_a_count_is_exact() {
        let interval = gamma_interval(5.0, 5.0, 1.0);
        close(interval.low, 1.6235);
        close(interval.high, 11.6683);
        let none = gamma_interval(0.0, 0.0, 1.0);
        close(none.high, 3.6889);
        assert_eq!(none.low, 0.0);
    }

    #[test]
    fn trends_of_a_line() {
        let line: Vec<(f64, f64)> = (0..9).map(|x| (f64::from(x), 3.0 * f64::from(x))).collect();
        close(theil_sen(&line), 3.0);
        close(kendall_tau(&[1.0, 2.0, 3.0]), 1.0);
        close(kendall_tau(&[1.0, 3.0, 2.0]), 1.0 / 3.0);
        close(kendall_tau(&[3.0, 2.0, 1.0]), -1.0);
        close(median(&mut [4.0, 1.0, 3.0]), 3.0);
        close(error_of_line(&[1.0, 3.0, 5.0, 7.0]) + 1.0, 1.0);
        close(error_of_line(&[0.0, 1.0, 0.0]), 2.0 / 3.0);
        close(error_of_step(&[1.0, 1.0, 5.0, 5.0]) + 1.0, 1.0);
        close(error_of_step(&[1.0, 2.0, 3.0]), 0.5);
        let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0]);
        close(mean, 2.0);
        close(error, (1.0f64 / 3.0).sqrt());
    }
}
