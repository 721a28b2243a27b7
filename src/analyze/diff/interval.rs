//! The 95 % interval of a difference `X − Y` of two sums over samples, and how surprising it is.
//!
//! Each sum has the one-sided limits of [`Estimate`](crate::analyze::Estimate); the difference
//! combines them by the method of variance estimates recovery (MOVER), which keeps the skewness of
//! both:
//!
//! ```text
//! low  = X − Y − √((X − low X)² + (high Y − Y)²)
//! high = X − Y + √((high X − X)² + (Y − low Y)²)
//! ```
//!
//! Where nothing of `Y` was seen, `high Y` is what may have gone unseen: 3.69 units `U`. That is too
//! much where the error of `X` alone says more than that already: the interval of pure growth by
//! three samples would always reach below zero and cover the truth every time. The unseen part
//! therefore fades out while `X − low X` rises from 1.8 U to 2.3 U, between two samples and three.
//!
//! Coverage was computed exactly for Poisson counts of births and deaths. It lies between 93.8 and
//! 98.9 % for all pairs of 0, 0.5, 1, 4, 16 and 64 expected. Where 0.75 to 3 of each are expected
//! it falls to 90 %, and must: if half a sample of growth alone is expected, an interval misses the
//! truth in 0.5 % of cases only if it does so at three samples of growth and none of shrinking, and
//! then misses it at three against none and more where as much grows as shrinks, which with two
//! expected of each is 8.75 % of cases. Plain MOVER, without the fading, covers at least 95.6 %
//! there, but all of 10,000 cases where less than one sample is expected.
//!
//! For a test, the sums are scaled to counts of equal weight, the mean weight of the samples by what
//! they stand for. If nothing changed, each sample of the two is as likely to be in either: the
//! p-value is that of the binomial distribution, doubled for its two sides; no normal approximation
//! is made. Beside that, it is at least the probability of missing what is large by chance.
//!
//! Of all rows, those are called significant which the procedure of Benjamini and Hochberg takes for
//! it at a rate of 5 %: the p-value of rank `k` of `n` is at most `0.05·k/n`. Where nothing changed
//! at all, at most 5 % of diffs have a row so called; tests simulate both.

use crate::analyze::Estimate;
use crate::analyze::distributions::beta_below;

/// Errors of `X`, in units, between which the unseen part of `Y` fades out.
const FADE: std::ops::Range<f64> = 1.8..2.3;

/// A sum with its limits, its variance, and the unit that one more sample would add.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) sum: Estimate,
    pub(super) variance: f64,
    pub(super) unit: f64,
}

/// `x − y` with its interval.
pub(super) fn difference(x: &Side, y: &Side) -> Estimate {
    let change = x.sum.estimate - y.sum.estimate;
    if [x, y].iter().all(|side| side.sum.low == side.sum.high) {
        return Estimate::exact(change);
    }
    let low = change - below(x).hypot(above(y, x));
    let high = change + above(x, y).hypot(below(y));
    Estimate {
        estimate: change,
        low: low.floor().min(change),
        high: high.ceil().max(change),
    }
}

fn below(side: &Side) -> f64 {
    side.sum.estimate - side.sum.low
}

fn above(side: &Side, other: &Side) -> f64 {
    let above = side.sum.high - side.sum.estimate;
    if side.sum.estimate > 0.0 || other.unit <= 0.0 {
        return above;
    }
    let seen = below(other) / other.unit;
    above * ((FADE.end - seen) / (FADE.end - FADE.start)).clamp(0.0, 1.0)
}

/// The probability of a difference at least as large as this one where there is none.
pub(super) fn p_value(x: &Side, y: &Side) -> f64 {
    let (larger, smaller) = if x.sum.estimate >= y.sum.estimate {
        (x.sum.estimate, y.sum.estimate)
    } else {
        (y.sum.estimate, x.sum.estimate)
    };
    if larger == smaller {
        return 1.0;
    }
    // What is large is rarely missed but then missed whole, of which the variance of what was seen
    // says nothing: with this probability no sample falls on it.
    let unit = x.unit.max(y.unit);
    let missed = if unit > 1.0 {
        (-larger / unit).exp()
    } else {
        0.0
    };
    // What one sample stands for, on average over what they stand for: no more than all of them.
    let weight = ((x.variance + y.variance) / (larger + smaller)).min(larger);
    // Seen with certainty, or nearly so.
    if weight <= larger * 1e-7 {
        return missed;
    }
    // P(at least `larger` of all), continued between whole numbers.
    let tail = beta_below(larger / weight, smaller / weight + 1.0, 0.5);
    (2.0 * tail).max(missed).min(1.0)
}

/// Which of these hypotheses to reject so that at most a share `rate` of the rejections is expected
/// to be wrong (Benjamini–Hochberg).
pub(super) fn rejected(p_values: &[f64], rate: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let bound = |rank: usize| rate * (rank + 1) as f64 / p_values.len() as f64;
    let last = (0..order.len()).rposition(|rank| p_values[order[rank]] <= bound(rank));
    let mut rejected = vec![false; p_values.len()];
    for index in &order[..last.map_or(0, |last| last + 1)] {
        rejected[*index] = true;
    }
    rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(samples: f64) -> Side {
        let totals = crate::snapshot::Totals {
            bytes: samples,
            bytes_variance: samples,
            ..Default::default()
        };
        Side {
            sum: Estimate::bytes(&totals, 1_000),
            variance: samples,
            unit: 1.0,
        }
    }

    /// Births and deaths in counts of small objects, of which each sample stands for `UNIT` bytes.
    const UNIT: u64 = 1 << 20;

    /// The exact coverage where so many samples of each are expected.
    fn coverage(sides: &[Side], births: f64, deaths: f64) -> f64 {
        let truth = (births - deaths) * UNIT as f64;
        let mut covered = 0.0;
        for (x, p) in sides.iter().zip(poisson(births)) {
            for (y, q) in sides.iter().zip(poisson(deaths)) {
                let change = difference(x, y);
                if (change.low..=change.high).contains(&truth) {
                    covered += p * q;
                }
            }
        }
        covered
    }

    fn poisson(mean: f64) -> impl Iterator<Item = f64> {
        let next = move |(count, p): &(f64, f64)| Some((count + 1.0, p * mean / (count + 1.0)));
        std::iter::successors(Some((0.0, (-mean).exp())), next).map(|(_, p)| p)
    }

    fn counts() -> Vec<Side> {
        let side = |count: u32| {
            let bytes = f64::from(count) * UNIT as f64;
            let totals = crate::snapshot::Totals {
                bytes,
                bytes_variance: bytes * UNIT as f64,
                ..Default::default()
            };
            Side {
                sum: Estimate::bytes(&totals, UNIT),
                variance: totals.bytes_variance,
                unit: UNIT as f64,
            }
        };
        (0..130).map(side).collect()
    }

    /// An interval that covers less lies, one that covers more says nothing. No simulation: this is
    /// the coverage itself.
    #[test]
    fn all_pairs_of_expected_counts_are_covered() {
        let (sides, expected) = (counts(), [0.0, 0.5, 1.0, 4.0, 16.0, 64.0]);
        for births in expected {
            for deaths in expected.into_iter().filter(|deaths| births + deaths > 0.0) {
                let covered = coverage(&sides, births, deaths);
                assert!(
                    (0.93..=0.995).contains(&covered),
                    "{births} {deaths}: {covered}"
                );
            }
        }
    }

    /// Between those counts it dips, as the module's documentation says, and must not further.
    #[test]
    fn coverage_between_those_counts_is_as_documented() {
        let sides = counts();
        for births in 1..=32 {
            for deaths in 1..=32 {
                let (births, deaths) = (f64::from(births) / 4.0, f64::from(deaths) / 4.0);
                let covered = coverage(&sides, births, deaths);
                let dips = |count: f64| (0.75..=3.0).contains(&count);
                let least = if dips(births) && dips(deaths) {
                    0.90
                } else {
                    0.93
                };
                assert!(covered >= least, "{births} {deaths}: {covered}");
            }
        }
    }

    /// The binomial tails of a fair coin: ten heads of ten, eight of ten, five of ten.
    #[test]
    fn p_values_are_those_of_a_fair_coin() {
        let p = |x, y| p_value(&side(x), &side(y));
        assert!((p(10.0, 0.0) - 2.0 / 1024.0).abs() < 1e-12);
        assert!((p(2.0, 8.0) - 2.0 * 56.0 / 1024.0).abs() < 1e-12);
        assert_eq!(p(5.0, 5.0), 1.0);
        assert_eq!(p(0.0, 0.0), 1.0);
        let mut exact = side(7.0);
        exact.variance = 0.0;
        assert_eq!(p_value(&exact, &side(0.0)), 0.0);
        assert!(p(1e9, 1.001e9) < 1e-6);
    }

    /// A file may say anything; a probability stays one.
    #[test]
    fn p_values_of_what_cannot_be_are_probabilities() {
        let values = [0.0, 5e-324, 1e-300, 1e-7, 1.0, 1e9, 1e60];
        let sides = || {
            let of = |sum| values.map(move |variance| (sum, variance));
            let sides = values.into_iter().flat_map(of);
            sides.map(|(sum, variance)| Side {
                sum: Estimate::exact(sum),
                variance,
                unit: 1.0,
            })
        };
        for x in sides() {
            for y in sides() {
                let p = p_value(&x, &y);
                assert!((0.0..=1.0).contains(&p), "{x:?} {y:?}: {p}");
            }
        }
    }

    /// The example of the method's authors' kind: the largest rank below its bound takes all before
    /// it along, also those above their own.
    #[test]
    fn false_discoveries_are_bounded_over_all_rows() {
        let p = [0.03, 0.01, 0.9, 0.02, 0.04];
        assert_eq!(rejected(&p, 0.05), [true, true, false, true, true]);
        assert_eq!(rejected(&[0.03, 0.9], 0.05), [false, false]);
        assert_eq!(rejected(&[], 0.05), [false; 0]);
    }
}
