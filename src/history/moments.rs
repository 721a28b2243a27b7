//! All sites' counters at some ticks of the past, so that what changed in a span of it can be told
//! afterwards.
//!
//! The latest moment is whole; each earlier one keeps only the sites that were otherwise than in
//! the one after it.

use std::collections::HashMap;

use crate::analyze::thin;
use crate::snapshot::evidence::{Past, SiteKey};

/// Bytes that all moments may take together.
const MAX_BYTES: usize = 8 << 20;

/// Moments in each doubling of age, as long as there is room.
const CELLS_PER_AGE: u32 = 16;

/// See the [module's documentation](self).
#[derive(Debug)]
pub(crate) struct Moments {
    /// In order of time; the last one is whole.
    kept: Vec<Moment>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Moment {
    tick: u32,
    at_seconds: f64,
    /// Ordered by site.
    sites: Vec<Past>,
}

impl Default for Moments {
    fn default() -> Self {
        Moments {
            kept: Vec::new(),
            max_bytes: MAX_BYTES,
        }
    }
}

impl Moments {
    /// Keeps this moment.
    pub(super) fn push(&mut self, tick: u32, at_seconds: f64, readings: &[Past]) {
        let mut sites = readings.to_vec();
        sites.sort_unstable_by_key(|past| past.site);
        if let Some(last) = self.kept.last_mut() {
            if last.tick >= tick {
                return;
            }
            last.sites = changed(&last.sites, &sites);
        }
        self.kept.push(Moment {
            tick,
            at_seconds,
            sites,
        });
        self.bound();
    }

    /// Their times, earliest first.
    pub(crate) fn times(&self) -> Vec<f64> {
        self.kept.iter().map(|moment| moment.at_seconds).collect()
    }

    /// The moment nearest to a time, as it was.
    pub(crate) fn nearest(&self, seconds: f64) -> Option<(f64, HashMap<SiteKey, Past>)> {
        let distance = |moment: &Moment| (moment.at_seconds - seconds).abs();
        let (index, nearest) = self
            .kept
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)))?;
        let mut sites = HashMap::new();
        for moment in self.kept[index..].iter().rev() {
            sites.extend(moment.sites.iter().map(|past| (past.site, *past)));
        }
        Some((nearest.at_seconds, sites))
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        let each = self.kept.iter().map(|moment| moment.sites.capacity());
        each.sum::<usize>() * size_of::<Past>() + self.kept.capacity() * size_of::<Moment>()
    }

    /// Thins the past as far as it must be.
    fn bound(&mut self) {
        let mut cells = CELLS_PER_AGE;
        while cells > 0 {
            let ticks: Vec<u32> = self.kept.iter().map(|moment| moment.tick).collect();
            thin(&ticks, cells, |index| self.forget(index));
            if self.bytes() <= self.max_bytes {
                return;
            }
            cells /= 2;
        }
        while self.kept.len() > 1 && self.bytes() > self.max_bytes {
            self.forget(0);
        }
    }

    /// Takes a moment out; what led from the next one to it now leads on to the one before.
    fn forget(&mut self, index: usize) {
        let gone = self.kept.remove(index);
        let (earlier, later) = self.kept.split_at_mut(index);
        if let Some(before) = earlier.last_mut() {
            // Stable: of two entries for one site the earlier moment's comes first and stays.
            before.sites.extend(gone.sites);
            before.sites.sort_by_key(|past| past.site);
            before.sites.dedup_by_key(|past| past.site);
            // A site that came and went since then is in no moment.
            let is_later = |site| later.iter().rev().any(|moment| moment.names(site));
            before
                .sites
                .retain(|past| !past.is_nothing() || is_later(past.site));
            before.sites.shrink_to_fit();
        }
    }
}

impl Moment {
    fn names(&self, site: SiteKey) -> bool {
        let found = self.sites.binary_search_by_key(&site, |past| past.site);
        found.is_ok()
    }
}

/// What is otherwise in the earlier one of two whole moments: sites that changed, that were not there yet, or
/// that have been removed since.
fn changed(earlier: &[Past], later: &[Past]) -> Vec<Past> {
    let mut earlier = earlier.iter().peekable();
    let mut changed = Vec::new();
    for now in later {
        while let Some(removed) = earlier.next_if(|then| then.site < now.site) {
            changed.push(*removed);
        }
        match earlier.next_if(|then| then.site == now.site) {
            Some(then) if then == now => {}
            Some(then) => changed.push(*then),
            None => changed.push(Past::nothing(now.site)),
        }
    }
    changed.extend(earlier);
    changed.shrink_to_fit();
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Totals;

    fn reading(site: u32, allocated: u64, freed: u64) -> Past {
        let totals = |bytes: u64| Totals {
            bytes: bytes as f64,
            ..Totals::default()
        };
        Past {
            site: SiteKey::of(site),
            samples: allocated,
            allocated: totals(allocated),
            freed: totals(freed),
        }
    }

    /// Site 0 never changes, site 1 grows each tick, the others appear at the tick of their number.
    fn at(tick: u32) -> Vec<Past> {
        let late = (2..=tick).map(|site| reading(site, u64::from(site), 1));
        let first = [reading(1, u64::from(tick) + 1, 0), reading(0, 7, 7)];
        first.into_iter().chain(late).collect()
    }

    fn filled(max_bytes: usize, ticks: u32) -> Moments {
        let mut moments = Moments {
            max_bytes,
            ..Moments::default()
        };
        for tick in 0..ticks {
            moments.push(tick, f64::from(tick), &at(tick));
        }
        moments
    }

    /// A moment that came back otherwise than it was would tell of changes that never were.
    #[test]
    fn every_moment_comes_back_as_it_was() {
        let moments = filled(MAX_BYTES, 500);
        let times = moments.times();
        assert!((64..200).contains(&times.len()), "{}", times.len());
        for time in times {
            let (found, mut sites) = moments.nearest(time).unwrap();
            assert_eq!(found, time);
            sites.retain(|_, past| past.samples > 0);
            let mut expected = at(time as u32);
            assert_eq!(sites.len(), expected.len(), "at {time}");
            while let Some(reading) = expected.pop() {
                assert_eq!(sites[&reading.site], reading, "at {time}");
            }
        }
    }

    /// Sites of unloaded code are removed. What they held then, and what all others did, stays as it was.
    #[test]
    fn a_site_that_was_removed_is_a_part_of_its_past() {
        let mut moments = Moments::default();
        let all: Vec<Past> = (0..5).map(|site| reading(site, 9, 2)).collect();
        let left = [&all[..1], &all[2..4]].concat();
        for (tick, readings) in [(0, &all), (1, &left), (2, &left)] {
            moments.push(tick, f64::from(tick), readings);
        }
        for (time, expected) in [(0.0, &all), (1.0, &left), (2.0, &left)] {
            let (_, sites) = moments.nearest(time).unwrap();
            assert_eq!(sites.len(), expected.len(), "at {time}");
            for past in expected {
                assert_eq!(sites[&past.site], *past, "at {time}");
            }
        }
        assert_eq!(moments.kept[0].sites, [all[1], all[4]]);
    }

    /// Where plugins come and go, sites do: those of all times together would fill the past, and drive out what
    /// can be compared.
    #[test]
    fn what_came_and_went_between_two_moments_takes_nothing() {
        const LASTING: u32 = 100;
        const PASSING: u32 = 50;
        let filled = |passing: u32| {
            let mut moments = Moments::default();
            for tick in 0..2000 {
                let lasting = (0..LASTING).map(|site| reading(site, u64::from(tick) + 1, 0));
                let first = LASTING + tick * passing;
                let passing = (first..first + passing).map(|site| reading(site, 5, 5));
                let readings: Vec<Past> = lasting.chain(passing).collect();
                moments.push(tick, f64::from(tick), &readings);
            }
            moments
        };
        let (with, without) = (filled(PASSING), filled(0));
        assert_eq!(with.times(), without.times());
        // Each moment has those that were there, and tells that those of the next one were not.
        let most = without.bytes() as f64 * f64::from(LASTING + 2 * PASSING) / f64::from(LASTING);
        assert!(
            with.bytes() as f64 <= 1.05 * most,
            "{}, {most}",
            with.bytes()
        );
        for time in with.times() {
            let (_, mut sites) = with.nearest(time).unwrap();
            sites.retain(|_, past| past.samples > 0);
            assert_eq!(sites.len() as u32, LASTING + PASSING, "at {time}");
        }
    }

    /// The bound holds whatever changes, and some past stays.
    #[test]
    fn memory_is_bounded() {
        let mut moments = Moments {
            max_bytes: 200_000,
            ..Moments::default()
        };
        for tick in 0..400 {
            // 200 sites of 80 bytes, all of which change.
            let readings: Vec<Past> = (0..200).map(|site| reading(site, tick + 1, 0)).collect();
            moments.push(tick as u32, tick as f64, &readings);
            assert!(moments.bytes() <= 200_000, "{}", moments.bytes());
        }
        // There is room for twelve, and there are nine doublings.
        assert!(moments.times().len() >= 9, "{:?}", moments.times());
        assert!(moments.times()[0] < 200.0, "{:?}", moments.times());
    }

    #[test]
    fn the_nearest_moment_is_found() {
        let moments = filled(MAX_BYTES, 5);
        assert_eq!(moments.nearest(2.4).unwrap().0, 2.0);
        assert_eq!(moments.nearest(-9.0).unwrap().0, 0.0);
        assert_eq!(moments.nearest(1e9).unwrap().0, 4.0);
        assert!(Moments::default().nearest(0.0).is_none());
    }
}
