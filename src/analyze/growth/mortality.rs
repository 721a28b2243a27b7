//! How many objects die at an age, of how many that live.
//!
//! Two measures of the time that objects spend at risk. In *horizons*, deaths per time are the hazard.
//! On a *logarithmic* scale of ages, deaths per time are the age × hazard: how many e-foldings of the
//! survivors a doubling of their age costs, but for the factor ln 2. It is constant for Pareto's
//! lives, and rises with age for all the other usual ones: exponential, gamma, Weibull, lognormal,
//! a fixed time to live. It falls where some of the objects never die.

use crate::snapshot::evidence::Cell;

/// Objects that spent time in a range of ages.
#[derive(Clone, Copy, Debug)]
pub(super) struct AtRisk {
    count: u32,
    /// Ages from which and until which they were in the range.
    from: f64,
    until: f64,
    /// Whether they died in it.
    died: bool,
}

/// Who was at ages `from..to`, which are row boundaries of the table of deaths: of those that have
/// died by `now`, and of those whose present ages are given.
pub(super) fn at_risk(
    (from, to): (u32, u32),
    dead: impl Iterator<Item = Cell>,
    ages: impl Iterator<Item = u32>,
    now: u32,
) -> impl Iterator<Item = AtRisk> {
    let start = f64::from(from.max(1));
    let dead = dead
        .filter(move |cell| cell.age_low >= from)
        .map(move |cell| {
            let died = cell.age_low < to;
            // A file may tell of births after its end.
            let since = now.saturating_sub(cell.birth_start);
            let oldest = (cell.age_high as f64).min(f64::from(since));
            let until = if died {
                f64::midpoint(f64::from(cell.age_low), oldest).max(start)
            } else {
                f64::from(to)
            };
            AtRisk {
                count: u32::from(cell.count),
                from: start,
                until,
                died,
            }
        });
    let alive = ages.filter(move |age| *age > from).map(move |age| AtRisk {
        count: 1,
        from: start,
        until: f64::from(age.min(to)),
        died: false,
    });
    dead.chain(alive)
}

/// Deaths in a range of ages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mortality {
    /// Samples that died.
    pub(super) died: u32,
    /// Ticks that all spent in the range.
    pub(super) ticks: f64,
}

impl Mortality {
    pub(super) fn of(all: impl Iterator<Item = AtRisk>) -> Self {
        let mut seen = Self::default();
        for one in all {
            seen.died += if one.died { one.count } else { 0 };
            seen.ticks += f64::from(one.count) * (one.until - one.from).max(0.0);
        }
        seen
    }
}

/// The time that all spent in the range, on the logarithmic scale. Of its own, because it costs a
/// logarithm each, and most sites are judged without it.
pub(super) fn log_time(all: impl Iterator<Item = AtRisk>) -> f64 {
    all.fold(0.0, |time, one| {
        time + f64::from(one.count) * (one.until / one.from).ln().max(0.0)
    })
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
        let seen = |ages| at_risk(ages, dead.into_iter(), [12, 3].into_iter(), 20);
        let of = |ages| Mortality::of(seen(ages));
        let young = of((4, 8));
        assert_eq!((young.died, young.ticks), (2, 2.0 * 2.0 + 4.0 + 4.0));
        let expected = 2.0 * 1.5f64.ln() + 2.0 * 2f64.ln();
        assert!((log_time(seen((4, 8))) - expected).abs() < 1e-12);
        let old = of((8, u32::MAX));
        assert_eq!((old.died, old.ticks), (1, 10.0 + 4.0));
        assert_eq!(of((32, u32::MAX)).died, 0);
    }
}
