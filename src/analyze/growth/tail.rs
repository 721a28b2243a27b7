//! Do objects that have grown old still die, and are such objects still being made?
//!
//! Over a horizon `H` that ends now, of the objects born after a warm-up of `H/10`:
//!
//! - **Mortality at old age.** From age `a` (a power of two ticks, as the table of deaths has it; several
//!   between a thirtieth and two thirds of the horizon are tried) count the deaths and the time lived by
//!   dead and living objects together. With few deaths the Poisson distribution says exactly how
//!   surprising they are. Two harmless kinds of objects must both be ruled out:
//!   *long lives*, which die at a constant hazard of 2 per horizon (harmless ones that reach such an age die
//!   at 3 or more, whether they live exponentially or exactly as long as a cache keeps them); and *heavy
//!   tails*, the hazard of which falls as they age, but not faster than `1/age`. So either the age ×
//!   hazard is below 0.45, which no usual heavy tail reaches, or it has fallen: it is lower than at ages
//!   `a/4..a`. By the latter a leak shows that hides among many objects of long or heavy-tailed lives.
//! - **Production.** The survivors must have been born all along: in several eighths of the time in
//!   which they could have been, in its late half too, also when the fullest eighth is left out. A step,
//!   start-up statics and a cache that has filled fail here.
//!
//! The horizon is the site's whole life. Where that shows nothing, its last half and last quarter are
//! tried, so that a leak that began late is found before the process has doubled its age; but only if
//! objects born before that were not seen to grow as old and die, which would explain the youngest too.
//! Of the whole life, those born in the warm-up explain the others if they die as fast as these are made, and
//! the site holds no more than it did: a cache that was filled at once, and is replaced bit by bit.

use super::mortality::{AtRisk, Mortality, at_risk, log_time};
use super::production::{Alive, PARTS, Production};
use super::stats::{self, MIN_SAMPLES};
use super::{Rate, SiteEvidence, Watch};
use crate::analyze::series::Series;
use crate::snapshot::evidence::LiveObject;
use crate::snapshot::evidence::{Cell, shift_for};

/// Deaths per horizon at old age which a site must be shown to stay below.
const HAZARD: f64 = 2.0;

/// Age × hazard below which no heavy tail is expected.
const HAZARD_AT_AGE: f64 = 0.45;

/// A mortality as low as the one seen may be chance this often.
const SIGNIFICANCE: f64 = 0.05;

/// Evidence that objects grow old without dying.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Objects that reached the age, as samples.
    pub(crate) reached: u32,
    /// Those of them that are still alive.
    pub(crate) alive: u32,
    /// The age in seconds.
    pub(crate) age_seconds: f64,
    /// Time between the first and last birth among the survivors, in seconds.
    pub(crate) born_over_seconds: f64,
    /// Effective number of eighths in which the survivors were born: 8 if evenly.
    pub(crate) evenness: f64,
    /// Survivors' bytes produced per second.
    pub(crate) rate: Rate,
    /// P(such a mortality is no chance) × P(production has not stopped).
    pub(crate) confidence: f64,
    /// Of the mortality test.
    pub(crate) p_value: f64,
}

/// The leak at this site, if there is one.
pub(crate) fn find(site: &SiteEvidence<'_>, watch: &Watch) -> Option<Tail> {
    // No part of so few would be enough.
    if is_few(site.live.iter().map(LiveObject::estimate), watch) {
        return None;
    }
    let live: Vec<Alive> = site
        .live
        .iter()
        .map(|sample| Alive::of(sample, watch))
        .collect();
    let cells: Vec<Cell> = site
        .deaths
        .map(|deaths| deaths.cells().collect())
        .unwrap_or_default();
    let width = if cells.is_empty() {
        1
    } else {
        1 << shift_for(watch.now)
    };
    let deaths = cells.iter().map(|cell| cell.birth_start);
    let oldest = live.iter().map(|sample| sample.birth).chain(deaths).min()?;
    let origin = oldest.max(site.deaths_since);
    let life = watch.now.saturating_sub(origin);
    let shortest = (watch.now / 4).max((watch.min_seconds / watch.tick_seconds).ceil() as u32);
    let at_scale = |span: u32, whole: bool| {
        if span < shortest {
            return None;
        }
        // The youngest age shows whether what is made now is still as much as it was.
        let youngest = Horizon::all(watch.now, span, width).last()?;
        if !youngest.is_spread(&live) {
            return None;
        }
        Horizon::all(watch.now, span, width)
            .filter_map(|horizon| Case::of(horizon, &cells, &live, watch))
            .filter(|case| {
                let horizon = &case.horizon;
                !horizon.is_explained(&cells, &live, site.series, (origin, whole))
            })
            .min_by(|a, b| a.p_value.total_cmp(&b.p_value))
            .map(|case| case.tail(watch))
    };
    at_scale(life, true).or_else(|| {
        let parts = [watch.now / 2, watch.now / 4]
            .into_iter()
            .filter(|span| *span < life);
        parts.into_iter().find_map(|span| at_scale(span, false))
    })
}

/// Whether objects that stand for so many bytes are too few to be judged.
fn is_few(bytes: impl ExactSizeIterator<Item = f64>, watch: &Watch) -> bool {
    bytes.len() < MIN_SAMPLES as usize || bytes.sum::<f64>() < watch.min_bytes as f64
}

/// A stretch of time that ends now, all in ticks.
struct Horizon {
    now: u32,
    span: u32,
    /// Objects born before this are left out; a bin boundary of the table of deaths.
    cut: u32,
    /// The age from which objects count as old; a row boundary of the table of deaths.
    age: u32,
}

impl Horizon {
    /// Several ages: the oldest sees through long but mortal lives, the youngest serves where samples are
    /// few.
    fn all(now: u32, span: u32, width: u32) -> impl Iterator<Item = Self> {
        let start = now - span;
        let cut = (start + span / 10).next_multiple_of(width);
        let oldest = (span / 3 * 2).checked_ilog2().map_or(0, |log| 1u32 << log);
        [oldest, oldest / 2, oldest / 4, oldest / 8, oldest / 16]
            .into_iter()
            .filter(move |age| *age > 0 && 2 * age >= width)
            // Production must be seen for at least a quarter of the horizon.
            .filter(move |age| cut + age + span / 4 <= now)
            .map(move |age| Self {
                now,
                span,
                cut,
                age,
            })
    }

    /// Whether objects born before explain those that grow old now. Before the whole of a site's life there was but
    /// its warm-up: what it made then may be of another kind, so that it must account for the others twice over and
    /// have made room for them.
    fn is_explained(
        &self,
        cells: &[Cell],
        live: &[Alive],
        series: &Series,
        (origin, whole): (u32, bool),
    ) -> bool {
        if whole {
            self.elders_die(cells, live, origin, 2.0) && !self.has_risen(live, series)
        } else {
            self.elders_die(cells, live, origin, 0.2)
        }
    }

    /// Whether objects born before this horizon have reached the same age and died: at least `share` of them for
    /// each that reaches it now, in the same time of birth.
    fn elders_die(&self, cells: &[Cell], live: &[Alive], origin: u32, share: f64) -> bool {
        let died: u32 = cells
            .iter()
            .filter(|cell| cell.birth_start < self.cut && cell.age_low >= self.age)
            .map(|cell| u32::from(cell.count))
            .sum();
        let before = f64::from(self.cut.saturating_sub(origin).max(1));
        let during = f64::from(self.now - self.age - self.cut);
        let reached = self.survivors(live).len() as f64;
        f64::from(died) / before > share * reached / during
    }

    /// Whether the site holds more than it did after the warm-up, by half at least of what has grown old since.
    fn has_risen(&self, live: &[Alive], series: &Series) -> bool {
        let bin = series.bins().get((self.cut / series.width()) as usize);
        let before = bin.map_or(0.0, |bin| bin.mean);
        let since: f64 = self.survivors(live).iter().map(|one| one.bytes).sum();
        f64::from(series.live() - before) > 0.5 * since
    }

    fn is_survivor(&self, sample: &Alive) -> bool {
        sample.birth >= self.cut && sample.birth.saturating_add(self.age) <= self.now
    }

    /// Which eighth of the time of production a survivor was born in.
    fn part(&self, sample: &Alive) -> usize {
        let window = u64::from(self.now - self.age - self.cut);
        (u64::from(sample.birth - self.cut) * PARTS as u64 / (window + 1)) as usize
    }

    fn survivors<'a>(&self, live: &'a [Alive]) -> Vec<&'a Alive> {
        live.iter()
            .filter(|sample| self.is_survivor(sample))
            .collect()
    }

    fn production(&self, survivors: &[&Alive]) -> Production {
        Production::of(survivors, |sample| self.part(sample))
    }

    fn is_spread(&self, live: &[Alive]) -> bool {
        self.production(&self.survivors(live)).is_spread()
    }

    /// Nothing that lives was born for twice as long as the longest wait before, although at the
    /// mean rate four objects would have been.
    fn has_stopped(&self, live: &[Alive]) -> bool {
        let mut births: Vec<u32> = live
            .iter()
            .map(|sample| sample.birth.min(self.now))
            .filter(|at| *at >= self.cut)
            .collect();
        births.sort_unstable();
        let longest = births
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0);
        let (first, last) = (births.first().copied(), births.last().copied());
        let gap = self.now - last.unwrap_or(self.cut);
        let active = f64::from(last.unwrap_or(0) - first.unwrap_or(0)).max(1.0);
        gap > 2 * longest && births.len() as f64 * f64::from(gap) > 4.0 * active
    }

    /// Who was at these ages, of those born after the warm-up, without a burst.
    fn at_risk(
        &self,
        ages: (u32, u32),
        cells: &[Cell],
        live: &[Alive],
        burst: &std::ops::Range<usize>,
    ) -> impl Iterator<Item = AtRisk> {
        let dead = cells.iter().filter(|cell| cell.birth_start >= self.cut);
        let alive = live.iter().filter(|sample| {
            let counts = !self.is_survivor(sample) || !burst.contains(&self.part(sample));
            sample.birth >= self.cut && counts
        });
        let alive = alive.map(|sample| self.now.saturating_sub(sample.birth));
        at_risk(ages, dead.copied(), alive, self.now)
    }

    /// Probability that so few of those who live long die at old age by chance.
    /// 1 if it is a half or more.
    fn by_life(&self, old: &Mortality) -> f64 {
        let expected = HAZARD / f64::from(self.span) * old.ticks;
        if stats::poisson_is_likely(old.died, expected) {
            return 1.0;
        }
        stats::poisson_at_most(old.died, expected)
    }

    /// Probability that so few of a heavy tail do. The first test needs no younger deaths; the second is
    /// exact given the deaths of both ages together. Deaths at ages that the table does not tell apart are
    /// left out of the younger, which errs on the side of harmlessness.
    /// Each with its time on the logarithmic scale.
    fn by_tail(&self, old: (&Mortality, f64), young: (&Mortality, f64)) -> f64 {
        let ((old, old_time), (young, young_time)) = (old, young);
        let by_level =
            stats::poisson_at_most(old.died, HAZARD_AT_AGE / f64::from(self.age) * old.ticks);
        let share = old_time / (old_time + young_time).max(f64::MIN_POSITIVE);
        let by_fall = stats::binomial_at_most(old.died, old.died + young.died, share);
        by_level.min(by_fall)
    }

    /// Births are a compound Poisson process, of which sampling takes a part: the squares of the
    /// weighted sizes estimate the variance of both together.
    fn rate(
        &self,
        survivors: &[&Alive],
        production: &Production,
        share: f64,
        watch: &Watch,
    ) -> Rate {
        let window = f64::from(self.now - self.age - self.cut);
        let late = f64::from(production.first - self.cut);
        // A production that began late counts from its first object, which is then not counted.
        let began_late = survivors.len() as f64 * late > 4.0 * (window - late);
        let from = if began_late {
            production.first + 1
        } else {
            self.cut
        };
        let counted = || {
            survivors
                .iter()
                .filter(|one| one.birth >= from)
                .map(|one| one.bytes)
        };
        let squares = counted().map(|bytes| bytes * bytes).sum();
        let unit = watch.interval_bytes.max(1) as f64;
        let sum = stats::gamma_interval(counted().sum(), squares, unit);
        let ticks = f64::from((self.now - self.age).saturating_sub(from).max(1));
        let seconds = watch.seconds(ticks) * if began_late { 1.0 } else { share };
        Rate {
            estimate: sum.estimate / seconds,
            low: sum.low / seconds,
            high: sum.high / seconds,
        }
    }

    /// Probability that no survivor in the last stretch is chance, with one stop in twenty sites.
    fn not_stopped(&self, production: &Production, alive: u32) -> f64 {
        let gap = f64::from(self.now - self.age - production.last);
        let active = f64::from((production.last - production.first).max(1));
        let expected = f64::from(alive) * gap / active;
        1.0 / (1.0 + 0.05 * expected.exp_m1())
    }
}

/// A horizon in which objects grow old without dying.
struct Case<'a> {
    horizon: Horizon,
    survivors: Vec<&'a Alive>,
    burst: std::ops::Range<usize>,
    died: u32,
    p_value: f64,
}

impl<'a> Case<'a> {
    fn of(horizon: Horizon, cells: &[Cell], live: &'a [Alive], watch: &Watch) -> Option<Self> {
        let mut survivors = horizon.survivors(live);
        let all = horizon.production(&survivors);
        // A step must not speak for a leak: what remains without it must do so alone.
        let burst = all.burst();
        survivors.retain(|sample| !burst.contains(&horizon.part(sample)));
        if is_few(survivors.iter().map(|sample| sample.bytes), watch) || !all.is_spread() {
            return None;
        }
        let at_risk = |ages| horizon.at_risk(ages, cells, live, &burst);
        let (old_ages, young_ages) = ((horizon.age, u32::MAX), (horizon.age / 4, horizon.age));
        let old = Mortality::of(at_risk(old_ages));
        let by_life = horizon.by_life(&old);
        if by_life > SIGNIFICANCE {
            return None;
        }
        let young = Mortality::of(at_risk(young_ages));
        let by_tail = horizon.by_tail(
            (&old, log_time(at_risk(old_ages))),
            (&young, log_time(at_risk(young_ages))),
        );
        let p_value = by_life.max(by_tail);
        let leaks = p_value <= SIGNIFICANCE && !horizon.has_stopped(live);
        leaks.then_some(Self {
            horizon,
            survivors,
            burst,
            died: old.died,
            p_value,
        })
    }

    fn tail(&self, watch: &Watch) -> Tail {
        let alive = self.survivors.len() as u32;
        let production = self.horizon.production(&self.survivors);
        let share = 1.0 - self.burst.len() as f64 / PARTS as f64;
        let not_stopped = self.horizon.not_stopped(&production, alive);
        Tail {
            reached: alive + self.died,
            alive,
            age_seconds: watch.seconds(f64::from(self.horizon.age)),
            born_over_seconds: watch.seconds(f64::from(production.last - production.first)),
            evenness: production.evenness(),
            rate: self
                .horizon
                .rate(&self.survivors, &production, share, watch),
            confidence: (1.0 - self.p_value) * not_stopped,
            p_value: self.p_value,
        }
    }
}
