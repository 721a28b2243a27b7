//! How many objects die at an age, of how many that live.
//!
//! Two measures of the time that objects spend at risk. In *horizons*, deaths per time are the hazard.
//! On a *logarithmic* scale of ages, deaths per time are the age × hazard: how many e-foldings of the
//! survivors a doubling of their age costs, but for the factor ln 2. It is constant for Pareto's
//! lives, and rises with age for all the other usual ones: exponential, gamma, Weibull, lognormal,
//! a fixed time to live. It falls where some of the objects never die.

use crate::snapshot::evidence::Cell;

/// Deaths in a range of ages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mortality {
    /// Samples that died.
    pub(super) died: u32,
    /// Ticks that all spent in the range.
    pub(super) ticks: f64,
    /// The same, on the logarithmic scale.
    pub(super) log_time: f64,
}

impl Mortality {
    /// Counts what happened at ages `from..to`, which are row boundaries of the table of deaths, to
    /// those that have died by `now` and those whose present ages are given.
    pub(super) fn between(
        (from, to): (u32, u32),
        dead: impl Iterator<Item = Cell>,
        ages: impl Iterator<Item = u32>,
        now: u32,
    ) -> Self {
        let mut seen = Self::default();
        let start = f64::from(from.max(1));
        for cell in dead.filter(|cell| cell.age_low >= from) {
            let count = f64::from(cell.count);
            let inside = cell.age_low < to;
            let oldest = (cell.age_high as f64).min(f64::from(now - cell.birth_start));
            let until = if inside {
                f64::midpoint(f64::from(cell.age_low), oldest).max(start)
            } else {
                f64::from(to)
            };
            seen.died += if inside { u32::from(cell.count) } else { 0 };
            seen.add(count, start, until);
        }
        for age in ages.filter(|age| *age > from) {
            seen.add(1.0, start, f64::from(age.min(to)));
        }
        seen
    }

    fn add(&mut self, count: f64, from: f64, until: f64) {
        self.ticks += count * (until - from).max(0.0);
        self.log_time += count * (until / from).ln().max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two died at ages 4..8 (taken as 6), one at 16..32 (by tick 20, taken as 18); one lives at 12.
    #[test]
    fn deaths_and_time_at_risk() {
        let cell = |age_low, age_high, count| Cell {
            birth_start: 0,
            age_low,
            age_high,
            count,
        };
        let dead = [cell(4, 8, 2), cell(16, 32, 1), cell(1, 2, 9)];
        let of = |ages| Mortality::between(ages, dead.into_iter(), [12, 3].into_iter(), 20);
        let young = of((4, 8));
        assert_eq!((young.died, young.ticks), (2, 2.0 * 2.0 + 4.0 + 4.0));
        let expected = 2.0 * 1.5f64.ln() + 2.0 * 2f64.ln();
        assert!((young.log_time - expected).abs() < 1e-12);
        let old = of((8, u32::MAX));
        assert_eq!((old.died, old.ticks), (1, 10.0 + 4.0));
        assert_eq!(of((32, u32::MAX)).died, 0);
    }
}
