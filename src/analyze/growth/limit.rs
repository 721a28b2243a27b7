//! When will memory run out?

use super::Rate;

/// A time from now with its 95 % interval, in seconds; infinite where growth may be nil.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    /// Best guess.
    pub(crate) estimate: f64,
    /// Soonest.
    pub(crate) low: f64,
    /// Latest.
    pub(crate) high: f64,
}

/// Time until `left_bytes` of physical memory are used up at these rates of live growth.
///
/// `kappa` is what a live byte costs in resident bytes (`ΔRSS / Δlive`), 1 if unknown. The sites'
/// errors are taken as independent. `None` when nothing is known to grow; zero when nothing is left.
#[must_use]
pub(crate) fn time_to_limit(left_bytes: u64, kappa: f64, rates: &[Rate]) -> Option<Span> {
    let sum = |of: fn(&Rate) -> f64| rates.iter().map(of).sum::<f64>();
    let estimate = sum(|rate| rate.estimate);
    let below = sum(|rate| (rate.estimate - rate.low).powi(2)).sqrt();
    let above = sum(|rate| (rate.high - rate.estimate).powi(2)).sqrt();
    let left = left_bytes as f64;
    let until = |rate: f64| {
        if rate > 0.0 {
            left / (kappa.max(0.0) * rate)
        } else {
            f64::INFINITY
        }
    };
    (estimate > 0.0 && kappa > 0.0).then(|| Span {
        estimate: until(estimate),
        low: until(estimate + above),
        high: until(estimate - below),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_room_over_rate() {
        let rate = |estimate, low, high| Rate {
            estimate,
            low,
            high,
        };
        let rates = [rate(3.0, 0.0, 6.0), rate(7.0, 3.0, 11.0)];
        let span = time_to_limit(1_000, 2.0, &rates).expect("grows");
        assert_eq!(
            span,
            Span {
                estimate: 50.0,
                low: 1_000.0 / 30.0,
                high: 100.0
            }
        );
        assert_eq!(time_to_limit(0, 1.0, &rates).expect("grows").high, 0.0);
        assert_eq!(time_to_limit(10, 1.0, &[rate(-1.0, -2.0, 1.0)]), None);
        assert_eq!(time_to_limit(10, 1.0, &[]), None);
        let doubtful = time_to_limit(10, 1.0, &[rate(1.0, -1.0, 2.0)]).expect("grows");
        assert_eq!(doubtful.high, f64::INFINITY);
    }
}
