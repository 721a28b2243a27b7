//! The bounded history of one site: at most 32 bins over the whole watch, however long it is.
//!
//! Fed once per tick by the history thread. Ticks here count from the start of the *watch* (the
//! history thread's first tick), so that the series of all sites of one history share their bins and
//! can be summed. The bin width is a power of two and doubles, merging neighbours, whenever time
//! outgrows the bins.

use super::evidence::shift_for;

/// Number of bins; between half of them and all of them are in use once 32 ticks have passed.
pub(crate) const BINS: usize = 32;

/// How much higher than the record before a new record must be.
///
/// Below the factor 1.5 by which the thriftiest collections grow, above what the sampling noise of
/// ten samples yields.
pub(crate) const RECORD_FACTOR: f32 = 1.4;

/// Records kept; four are needed to see a steady filling.
pub(crate) const RECORDS: usize = 6;

/// What the history thread reads at one tick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Estimated live bytes now.
    pub(crate) live_bytes: u64,
    /// Samples born since the last reading.
    pub(crate) births: u64,
    /// Estimated bytes allocated since the last reading.
    pub(crate) allocated_bytes: u64,
}

/// Summary of the readings of one bin. All bytes are estimates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bin {
    /// Least live bytes.
    pub(crate) floor: f32,
    /// Most live bytes.
    pub(crate) peak: f32,
    /// Mean live bytes.
    pub(crate) mean: f32,
    /// Live bytes at the last tick.
    pub(crate) last: f32,
    /// Sampled births.
    pub(crate) births: f32,
    /// Bytes allocated.
    pub(crate) allocated: f32,
    /// Ticks read; 0 marks a hole, when the process was suspended for example.
    pub(crate) ticks: u32,
}

impl Bin {
    fn of(reading: &Reading) -> Self {
        let live = reading.live_bytes as f32;
        Self {
            floor: live,
            peak: live,
            mean: live,
            last: live,
            births: reading.births as f32,
            allocated: reading.allocated_bytes as f32,
            ticks: 1,
        }
    }

    /// This bin followed by `next`.
    fn then(self, next: Self) -> Self {
        if self.ticks == 0 || next.ticks == 0 {
            let kept = if next.ticks == 0 { self } else { next };
            return Self {
                births: self.births + next.births,
                allocated: self.allocated + next.allocated,
                ..kept
            };
        }
        let ticks = self.ticks + next.ticks;
        let share = next.ticks as f32 / ticks as f32;
        Self {
            floor: self.floor.min(next.floor),
            peak: self.peak.max(next.peak),
            mean: self.mean + (next.mean - self.mean) * share,
            last: next.last,
            births: self.births + next.births,
            allocated: self.allocated + next.allocated,
            ticks,
        }
    }

    /// Two sites at the same time. Floors and peaks need not coincide, so the sum's lie between
    /// these two and the mean.
    fn beside(self, other: Self) -> Self {
        Self {
            floor: self.floor + other.floor,
            peak: self.peak + other.peak,
            mean: self.mean + other.mean,
            last: self.last + other.last,
            births: self.births + other.births,
            allocated: self.allocated + other.allocated,
            ticks: self.ticks.max(other.ticks),
        }
    }
}

/// A level of live bytes, held for two ticks, that had never been reached before by [`RECORD_FACTOR`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// Live bytes.
    pub(crate) bytes: f32,
    /// The second tick at which it was seen.
    pub(crate) tick: u32,
}

/// History of one site.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    bins: [Bin; BINS],
    len: u8,
    shift: u8,
    records: [Record; RECORDS],
    record_count: u8,
    next_tick: u32,
}

impl Series {
    /// The history of a site first seen at `tick`: until then it held nothing.
    #[must_use]
    pub(crate) fn new(tick: u32) -> Self {
        let shift = shift_for(tick);
        let mut series = Self {
            bins: [Bin::default(); BINS],
            len: 0,
            shift,
            records: [Record::default(); RECORDS],
            record_count: 0,
            next_tick: tick,
        };
        let index = series.index(tick);
        for bin in &mut series.bins[..index] {
            bin.ticks = 1 << shift;
        }
        series.bins[index].ticks = tick & ((1 << shift) - 1);
        series.len = index as u8 + 1;
        series
    }

    /// Adds the reading of `tick`. A tick that is not after the last one counts as the next.
    ///
    /// Ticks that were skipped leave holes, which judging leaves out.
    pub(crate) fn push(&mut self, tick: u32, reading: &Reading) {
        let tick = tick.max(self.next_tick);
        self.next_tick = tick.saturating_add(1);
        self.widen(shift_for(tick));
        let index = self.index(tick);
        // What is read while a collection moves to its larger block is the old one and the new: no
        // level that was ever held.
        let held = self.live().min(reading.live_bytes as f32);
        self.bins[index] = self.bins[index].then(Bin::of(reading));
        self.len = self.len.max(index as u8 + 1);
        self.note_record(held, tick);
    }

    /// The bins in order of time; bin `i` begins at tick `i · width`.
    #[must_use]
    pub(crate) fn bins(&self) -> &[Bin] {
        &self.bins[..usize::from(self.len)]
    }

    /// Ticks in a bin.
    #[must_use]
    pub(crate) fn width(&self) -> u32 {
        1 << self.shift
    }

    /// One past the last tick that was read.
    #[must_use]
    pub(crate) fn end(&self) -> u32 {
        self.next_tick
    }

    /// Live bytes at the last tick.
    #[must_use]
    pub(crate) fn live(&self) -> f32 {
        self.bins().last().map_or(0.0, |bin| bin.last)
    }

    /// The latest records of live bytes, oldest first, at most six.
    #[must_use]
    pub(crate) fn records(&self) -> &[Record] {
        &self.records[..usize::from(self.record_count)]
    }

    /// The history of several sites taken as one. Its records are of levels that two bins end with,
    /// dated to the end of the second.
    #[must_use]
    pub(crate) fn sum<'a>(parts: impl IntoIterator<Item = &'a Series>) -> Option<Series> {
        let mut parts = parts.into_iter();
        let mut total = parts.next()?.clone();
        for part in parts {
            total.add(part);
        }
        total.records = [Record::default(); RECORDS];
        total.record_count = 0;
        for index in 1..usize::from(total.len) {
            let end = ((index as u32 + 1) << total.shift).min(total.next_tick);
            let held = total.bins[index - 1].last.min(total.bins[index].last);
            total.note_record(held, end.saturating_sub(1));
        }
        Some(total)
    }

    fn add(&mut self, part: &Series) {
        let mut part = part.clone();
        let shift = self.shift.max(part.shift);
        self.widen(shift);
        part.widen(shift);
        for (bin, other) in self.bins.iter_mut().zip(part.bins) {
            *bin = bin.beside(other);
        }
        self.len = self.len.max(part.len);
        self.next_tick = self.next_tick.max(part.next_tick);
    }

    /// A series as it was written down; none if it cannot be one.
    pub(crate) fn from_parts(
        end: u32,
        width: u32,
        bins: &[Bin],
        records: &[Record],
    ) -> Option<Series> {
        let shift = u8::try_from(width.checked_ilog2()?).ok()?;
        let fits = width.is_power_of_two()
            && (shift_for(end.saturating_sub(1))..=shift_for(u32::MAX)).contains(&shift)
            && bins.len() <= BINS
            && records.len() <= RECORDS;
        if !fits || bins.is_empty() {
            return None;
        }
        let mut series = Series {
            bins: [Bin::default(); BINS],
            len: bins.len() as u8,
            shift,
            records: [Record::default(); RECORDS],
            record_count: records.len() as u8,
            next_tick: end,
        };
        series.bins[..bins.len()].copy_from_slice(bins);
        series.records[..records.len()].copy_from_slice(records);
        Some(series)
    }

    fn index(&self, tick: u32) -> usize {
        (tick >> self.shift) as usize
    }

    fn widen(&mut self, shift: u8) {
        if shift <= self.shift {
            return;
        }
        let by = shift - self.shift;
        self.shift = shift;
        let old = core::mem::take(&mut self.bins);
        for (index, bin) in old.into_iter().enumerate() {
            let merged = &mut self.bins[index >> by];
            *merged = merged.then(bin);
        }
        // Not in bytes, of which there are only eight bits to shift.
        self.len = (usize::from(self.len.saturating_sub(1)) >> by) as u8 + 1;
    }

    fn note_record(&mut self, live: f32, tick: u32) {
        let highest = self.records().last().map_or(0.0, |record| record.bytes);
        if live <= 0.0 || live < highest * RECORD_FACTOR {
            return;
        }
        if usize::from(self.record_count) == RECORDS {
            self.records.rotate_left(1);
            self.record_count -= 1;
        }
        self.records[usize::from(self.record_count)] = Record { bytes: live, tick };
        self.record_count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(live_bytes: u64, births: u64) -> Reading {
        Reading {
            live_bytes,
            births,
            allocated_bytes: births * 10,
        }
    }

    fn fed(values: &[u64]) -> Series {
        let mut series = Series::new(0);
        for (tick, value) in values.iter().enumerate() {
            series.push(tick as u32, &reading(*value, 1));
        }
        series
    }

    #[test]
    fn stays_small() {
        assert!(size_of::<Series>() <= 1024, "{}", size_of::<Series>());
    }

    #[test]
    fn bins_of_a_ramp() {
        let series = fed(&(0..64).collect::<Vec<_>>());
        assert_eq!((series.width(), series.bins().len()), (2, 32));
        let last = series.bins()[31];
        assert_eq!(
            (last.floor, last.peak, last.mean, last.last),
            (62.0, 63.0, 62.5, 63.0)
        );
        assert_eq!((last.births, last.allocated, last.ticks), (2.0, 20.0, 2));
    }

    #[test]
    fn a_late_site_held_nothing_before() {
        let mut series = Series::new(100);
        series.push(100, &reading(40, 1));
        assert_eq!((series.width(), series.bins().len()), (4, 26));
        assert_eq!(
            series.bins()[24],
            Bin {
                ticks: 4,
                ..Bin::default()
            }
        );
        assert_eq!(series.bins()[25].ticks, 1);
        let mut late = Series::new(101);
        late.push(101, &reading(40, 1));
        assert_eq!(
            late.bins()[25],
            Bin {
                floor: 0.0,
                mean: 20.0,
                ticks: 2,
                ..series.bins()[25]
            }
        );
    }

    #[test]
    fn skipped_ticks_leave_holes() {
        let mut series = Series::new(0);
        series.push(0, &reading(8, 1));
        series.push(20, &reading(9, 1));
        let ticks: Vec<u32> = series.bins().iter().map(|bin| bin.ticks).collect();
        assert_eq!(ticks.len(), 21);
        assert_eq!(ticks.iter().sum::<u32>(), 2);
    }

    #[test]
    fn records_need_a_factor() {
        let series = fed(&[
            0, 100, 100, 120, 139, 140, 140, 50, 900, 141, 196, 196, 1_000, 1_000,
        ]);
        let records: Vec<(f32, u32)> = series
            .records()
            .iter()
            .map(|record| (record.bytes, record.tick))
            .collect();
        assert_eq!(
            records,
            [(100.0, 2), (140.0, 6), (196.0, 11), (1_000.0, 13)]
        );
    }

    #[test]
    fn sums_add_live_bytes_bin_by_bin() {
        let one = fed(&[10; 50]);
        let mut two = Series::new(40);
        (40..50).for_each(|tick| two.push(tick, &reading(30, 2)));
        let sum = Series::sum([&one, &two]).expect("two parts");
        let means: Vec<f32> = sum.bins().iter().map(|bin| bin.mean).collect();
        assert_eq!(means[..20], [10.0; 20]);
        assert_eq!(means[20..], [40.0; 5]);
        assert_eq!(sum.records().len(), 2);
    }

    proptest! {
        /// Merged bins must say what the readings under them say.
        #[test]
        fn merging_keeps_sums_and_extremes(values in prop::collection::vec(0u64..1_000, 1..700)) {
            let series = fed(&values);
            let width = series.width() as usize;
            for (bin, readings) in series.bins().iter().zip(values.chunks(width)) {
                let sum: u64 = readings.iter().sum();
                prop_assert_eq!(bin.floor, *readings.iter().min().unwrap() as f32);
                prop_assert_eq!(bin.peak, *readings.iter().max().unwrap() as f32);
                prop_assert_eq!(bin.last, *readings.last().unwrap() as f32);
                prop_assert!((bin.mean - sum as f32 / readings.len() as f32).abs() < 0.01);
                prop_assert_eq!(bin.ticks as usize, readings.len());
                prop_assert_eq!(bin.births as usize, readings.len());
            }
            prop_assert_eq!(series.bins().len(), values.len().div_ceil(width));
        }
    }
}
