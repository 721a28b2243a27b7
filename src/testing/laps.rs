//! Whether levels grow from lap to lap. Pure.
//!
//! Laps fall into windows, each of which begins with the last lap of the one before and ends at
//! twice as many laps. Of each series of levels, every window keeps its lowest, its highest and its
//! last. Because windows share the lap between them, a container that doubles with its length has
//! exactly twice the lowest level in each window.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

/// What is allocated and not yet freed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) bytes: u64,
    pub(super) objects: u64,
}

/// A level during one window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Span {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) last: Amount,
}

impl Span {
    fn at(level: Amount) -> Span {
        Span {
            low: level.bytes,
            high: level.bytes,
            last: level,
        }
    }

    /// Both windows as one.
    fn then(self, next: Span) -> Span {
        Span {
            low: self.low.min(next.low),
            high: self.high.max(next.high),
            last: next.last,
        }
    }
}

/// A level in each window.
#[derive(Clone, Debug, Default)]
struct Series {
    spans: Vec<Span>,
}

impl Series {
    /// Before a level was first seen, it was nothing.
    fn record(&mut self, window: usize, lap: usize, level: Amount) {
        if self.spans.len() <= window {
            self.spans.resize(window, Span::default());
            let before = match self.spans.last() {
                Some(span) => span.last,
                None if lap == 1 => level,
                None => Amount::default(),
            };
            self.spans.push(Span::at(before));
        }
        let span = &mut self.spans[window];
        *span = span.then(Span::at(level));
    }

    /// Whether the last window is anywhere above the one before it. Its highest level does not
    /// matter: what falls again is not kept.
    fn rose(&self) -> bool {
        matches!(self.spans[..], [.., before, last]
            if last.low > before.low || last.last.bytes > before.last.bytes)
    }
}

/// Three windows, each of which ends at about twice as many laps as the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Windows {
    /// The last lap of each.
    pub(super) ends: [usize; 3],
    spans: [Span; 3],
}

impl Windows {
    /// Growth that goes on: by more in each window, because each has twice as many laps. A cache
    /// that fills stands still in the last window; a high-water mark, such as the largest input so
    /// far, rises ever less; a level that goes up and down does not keep two windows wholly apart.
    /// A container that doubles stands still for up to a whole window, hence the one in between.
    fn grow(&self) -> bool {
        let [first, middle, last] = &self.spans;
        first.high < last.low
            && grows_by_more([first.low, middle.low, last.low])
            && grows_by_more([first.high, middle.high, last.high])
    }

    /// The highest level in the first window, and the lowest in the last.
    pub(super) fn gap(&self) -> (u64, u64) {
        (self.spans[0].high, self.spans[2].low)
    }

    /// The level at the end.
    pub(super) fn level(&self) -> Amount {
        self.spans[2].last
    }

    /// Bytes and objects that each lap added since the first of the three windows.
    pub(super) fn per_lap(&self) -> (f64, f64) {
        let laps = (self.ends[2] - self.ends[0]) as f64;
        let (from, to) = (self.spans[0].last, self.spans[2].last);
        (
            (to.bytes as f64 - from.bytes as f64) / laps,
            (to.objects as f64 - from.objects as f64) / laps,
        )
    }
}

/// Whether both steps are up, and the second by more.
fn grows_by_more([from, over, to]: [u64; 3]) -> bool {
    from < over && over < to && over - from < to - over
}

/// Levels by key, and all of them together.
#[derive(Debug)]
pub(super) struct Laps<K> {
    /// Laps in the first window.
    first: usize,
    count: usize,
    series: HashMap<K, Series>,
    total: Series,
}

impl<K: Copy + Eq + Hash> Laps<K> {
    pub(super) fn new(first: usize) -> Self {
        Laps {
            first: first.max(1),
            count: 0,
            series: HashMap::new(),
            total: Series::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Ends a lap. A key that was there once is there in every lap that follows.
    pub(super) fn end(&mut self, levels: impl Iterator<Item = (K, Amount)>) {
        self.count += 1;
        let window = self.window();
        let mut total = Amount::default();
        for (key, level) in levels {
            let series = self.series.entry(key).or_default();
            series.record(window, self.count, level);
            total.bytes += level.bytes;
            total.objects += level.objects;
        }
        self.total.record(window, self.count, total);
    }

    /// Whether the last window is full, and in it no level rose.
    fn settled(&self) -> bool {
        let window = self.window();
        window > 0
            && self.count == self.end_of(window)
            && !self.total.rose()
            && !self.series.values().any(Series::rose)
    }

    /// Laps after which [`growing`](Self::growing) can tell.
    pub(super) fn enough(&self) -> usize {
        self.end_of(3)
    }

    /// Laps after which growth is taken for a leak: whatever happened by chance just when
    /// [`enough`](Self::enough) laps were over has not happened again after twice as many.
    pub(super) fn most(&self) -> usize {
        2 * self.enough()
    }

    /// Whether more laps can change the verdict that nothing grows.
    pub(super) fn suspicious(&self) -> bool {
        match self.count.cmp(&self.enough()) {
            Ordering::Less => !self.settled(),
            Ordering::Equal => !self.growing().is_empty() || self.total_growing().is_some(),
            Ordering::Greater => true,
        }
    }

    /// The keys whose levels grow.
    pub(super) fn growing(&self) -> Vec<(K, Windows)> {
        self.all().filter(|(_, windows)| windows.grow()).collect()
    }

    /// All levels together, if they grow.
    pub(super) fn total_growing(&self) -> Option<Windows> {
        self.last_windows(&self.total).filter(Windows::grow)
    }

    /// Every key.
    pub(super) fn all(&self) -> impl Iterator<Item = (K, Windows)> {
        self.series
            .iter()
            .filter_map(|(key, series)| Some((*key, self.last_windows(series)?)))
    }

    /// The last three full windows; laps after them belong to the last.
    fn last_windows(&self, series: &Series) -> Option<Windows> {
        let mut spans = series.spans.clone();
        let mut window = self.window();
        spans.resize(window + 1, Span::default());
        if self.count < self.end_of(window) {
            window = window.checked_sub(1)?;
            let tail = spans.pop()?;
            let last = spans.pop()?;
            spans.push(last.then(tail));
        }
        // The very first window is warm-up.
        let first = window.checked_sub(2).filter(|first| *first > 0)?;
        Some(Windows {
            ends: [self.end_of(first), self.end_of(first + 1), self.count],
            spans: *spans.last_chunk()?,
        })
    }

    /// The window that the last lap fell into.
    fn window(&self) -> usize {
        let firsts = self.count.max(1).div_ceil(self.first);
        firsts.next_power_of_two().trailing_zeros() as usize
    }

    fn end_of(&self, window: usize) -> usize {
        self.first << window
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(first: usize, laps: usize, level: impl Fn(usize) -> u64) -> Laps<()> {
        let mut run = Laps::new(first);
        for lap in 1..=laps {
            let bytes = level(lap);
            run.end(std::iter::once(((), Amount { bytes, objects: 1 })));
        }
        run
    }

    fn grows(first: usize, laps: usize, level: impl Fn(usize) -> u64) -> bool {
        let run = run(first, laps, level);
        let growing = !run.growing().is_empty();
        assert_eq!(growing, run.total_growing().is_some());
        growing
    }

    #[test]
    fn windows_end_at_doubling_numbers_of_laps() {
        let mut run = Laps::<()>::new(5);
        let windows: Vec<usize> = (1..=41)
            .map(|_| {
                run.end(std::iter::empty());
                run.window()
            })
            .collect();
        let expected: Vec<usize> = (1..=41)
            .map(|lap| match lap {
                1..=5 => 0,
                6..=10 => 1,
                11..=20 => 2,
                21..=40 => 3,
                _ => 4,
            })
            .collect();
        assert_eq!(windows, expected);
    }

    /// A rate that is off sends its reader after the wrong thing.
    #[test]
    fn the_rate_is_that_of_the_laps() {
        let run = run(5, 40, |lap| 1000 + 24 * lap as u64);
        let (_, windows) = run.growing()[0];
        assert_eq!(windows.ends, [10, 20, 40]);
        assert_eq!(windows.per_lap().0, 24.0);
        assert_eq!(windows.gap(), (1000 + 240, 1000 + 24 * 20));
    }

    /// A new key's level was nothing before.
    #[test]
    fn late_keys_start_at_nothing() {
        let mut run = Laps::new(1);
        for lap in 1..=8_u64 {
            let level = Amount {
                bytes: lap,
                objects: 1,
            };
            run.end((lap >= 4).then_some(((), level)).into_iter());
        }
        let spans = &run.series[&()].spans;
        let lows: Vec<u64> = spans.iter().map(|span| span.low).collect();
        assert_eq!(lows, [0, 0, 0, 4]);
        assert!(run.growing().is_empty());
    }

    proptest! {
        /// Leaks of any size that come at least once in a window of laps are growth, however many
        /// laps there are.
        #[test]
        fn leaks_grow(
            first in 1_usize..200,
            more in 0_usize..2000,
            size in 1_u64..10_000,
            every in 1_usize..50,
            base in 0_u64..1_000_000,
        ) {
            let every = every.min(first);
            let level = |lap: usize| base + size * (lap / every) as u64;
            prop_assert!(grows(first, 8 * first + more, level));
        }

        /// One object that doubles is growth from its second doubling on.
        #[test]
        fn doubling_containers_grow(
            first in 4_usize..200,
            more in 0_usize..2000,
            per_lap in 1_usize..20,
            element in 1_u64..100,
        ) {
            let capacity = |lap: usize| (lap * per_lap).next_power_of_two().max(4);
            let level = |lap| element * capacity(lap) as u64;
            prop_assert!(grows(first, 8 * first + more, level));
        }

        /// A cache is innocent if it is full by a quarter of the laps, whatever falls out and
        /// comes in afterwards.
        #[test]
        fn caches_that_fill_do_not(
            first in 1_usize..200,
            more in 0_usize..2000,
            full in 0.0..1.0,
            jitter in prop::collection::vec(0_u64..64, 1..50),
            steady in any::<bool>(),
        ) {
            let laps = 8 * first + more;
            let full_at = (full * (2 * first) as f64) as usize;
            let jitter_at = |lap: usize| match steady || lap < full_at {
                true => 0,
                false => jitter[lap % jitter.len()],
            };
            let level = |lap: usize| 100 * lap.min(full_at) as u64 + jitter_at(lap);
            prop_assert!(!grows(first, laps, level));
        }

        /// What creeps up to a bound, as the largest of many inputs does, is no leak, though it
        /// never stands still.
        #[test]
        fn high_water_marks_do_not(
            first in 1_usize..200,
            more in 0_usize..2000,
            bound in 1_000_u64..1_000_000_000,
        ) {
            let level = |lap: usize| bound - bound / (lap as u64 + 1);
            prop_assert!(!grows(first, 8 * first + more, level));
        }

        /// A level that goes up and down periodically is innocent once a window has seen a whole
        /// period.
        #[test]
        fn cycles_do_not(first in 2_usize..200, period in 1_usize..100, height in 1_u64..1000) {
            let period = period.min(first);
            prop_assert!(!grows(first, 8 * first, |lap| height * (lap % period) as u64));
        }
    }
}
