//! When were those born that have grown old: all along, or at a few times only?

use super::Watch;
use super::stats;
use crate::snapshot::evidence::LiveObject;

/// Parts into which the time of production is cut.
pub(super) const PARTS: usize = 8;

/// When the survivors were born.
pub(super) struct Production {
    parts: [f64; PARTS],
    counts: [u32; PARTS],
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Production {
    /// `part` says which of the [`PARTS`] a survivor was born in.
    pub(super) fn of(survivors: &[&Alive], part: impl Fn(&Alive) -> usize) -> Self {
        let births = survivors.iter().map(|sample| sample.birth);
        let mut production = Self {
            parts: [0.0; PARTS],
            counts: [0; PARTS],
            first: births.clone().min().unwrap_or(0),
            last: births.max().unwrap_or(0),
        };
        for sample in survivors {
            let part = part(sample);
            production.parts[part] += sample.expected;
            production.counts[part] += 1;
        }
        production
    }

    /// The fullest part, if it holds far more than the others, and its fuller neighbour, into which
    /// a burst may reach. In the last two short-lived objects gather too.
    pub(super) fn burst(&self) -> std::ops::Range<usize> {
        let (fullest, most) =
            self.parts
                .iter()
                .copied()
                .enumerate()
                .take(PARTS - 2)
                .fold(
                    (0, 0.0),
                    |best, part| if part.1 > best.1 { part } else { best },
                );
        let others = (self.parts.iter().sum::<f64>() - most) / (PARTS as f64 - 1.0);
        if most <= 3.0 * others + 4.0 {
            return 0..0;
        }
        let before = fullest.checked_sub(1).map_or(-1.0, |part| self.parts[part]);
        let after = self.parts.get(fullest + 1).copied().unwrap_or(-1.0);
        if before > after {
            fullest - 1..fullest + 1
        } else {
            fullest..fullest + 2
        }
    }

    /// Still so without the fullest part.
    pub(super) fn is_spread(&self) -> bool {
        let fullest = (0..PARTS).max_by(|a, b| self.parts[*a].total_cmp(&self.parts[*b]));
        let rest = |from: usize| {
            (from..PARTS)
                .filter(move |part| Some(*part) != fullest)
                .map(|part| self.parts[part])
        };
        let counted = |from: usize| -> u32 {
            (from..PARTS)
                .filter(|part| Some(*part) != fullest)
                .map(|part| self.counts[part])
                .sum()
        };
        let occupied = rest(0).filter(|part| *part > 0.0).count();
        let late: f64 = rest(PARTS / 2).sum();
        let (late_count, count) = (counted(PARTS / 2), counted(0));
        if occupied < 2 || count < 3 || late_count < 1 {
            return false;
        }
        let by_chance = || stats::poisson_at_most(late_count, 0.4 * f64::from(count)) > 0.05;
        // Well over half of what this many even births would occupy.
        let all: u32 = self.counts.iter().sum();
        let even = PARTS as f64 * (1.0 - (1.0 - 1.0 / PARTS as f64).powf(f64::from(all)));
        occupied as f64 + 1.0 >= 0.6 * even && (late >= 0.25 * rest(0).sum::<f64>() || by_chance())
    }

    /// `exp` of the entropy.
    pub(super) fn evenness(&self) -> f64 {
        let total: f64 = self.parts.iter().sum();
        let entropy: f64 = self
            .parts
            .iter()
            .filter(|part| **part > 0.0)
            .map(|part| -part / total * (part / total).ln())
            .sum();
        entropy.exp()
    }
}

/// What is needed of a live sample again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    /// The tick of its birth.
    pub(super) birth: u32,
    /// Bytes that it stands for.
    pub(super) bytes: f64,
    /// How many samples at the present interval it stands for: objects sampled when the interval was
    /// shorter are more, and weigh less.
    expected: f64,
}

impl Alive {
    pub(super) fn of(sample: &LiveObject, watch: &Watch) -> Self {
        let interval = watch.interval_bytes.max(1) as f64;
        Alive {
            birth: sample.birth,
            bytes: sample.estimate(),
            expected: f64::from(sample.weight) * -(-(sample.bytes as f64) / interval).exp_m1(),
        }
    }
}
