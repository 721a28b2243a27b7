//! The deaths of a site's sampled objects, by when they were born and how old they became (a Lexis
//! table).
//!
//! A trend of live bytes cannot show one object in two hundred that never dies beneath heavy churn;
//! this table can: together with the objects that are still alive it tells, for every birth cohort,
//! how many reached a given age and how many of those died afterwards.
//!
//! It is updated inside the allocator on the free of a sampled block. Hence: fixed size, integers
//! only, no allocation, no formatting, no way to panic, constant cost.
//!
//! Time is counted in ticks since the process started. There are at most [`BIRTH_BINS`] birth bins
//! of `width` ticks, aligned to tick 0, so that the tables of several sites can be added cell by cell.
//! The width is a power of two and doubles whenever time outgrows the bins; ages are octaves
//! measured in widths. Both merges are exact, so it does not matter when they happen: the first
//! change after time has doubled does it.

/// Number of birth bins; between half of them and all of them are in use once 32 ticks have passed.
pub(crate) const BIRTH_BINS: usize = 32;

/// Number of age rows: `[0, ½)`, `[½, 1)`, `[1, 2)`, … `[16, 32)` widths.
pub(crate) const AGE_ROWS: usize = 7;

/// Deaths of one site, birth bin × octave of age at death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deaths {
    shift: u8,
    counts: [[u16; AGE_ROWS]; BIRTH_BINS],
}

/// One cell that holds deaths; all bounds are in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// First tick of the birth bin.
    pub(crate) birth_start: u32,
    /// Least age at death.
    pub(crate) age_low: u32,
    /// First age above the row.
    pub(crate) age_high: u64,
    /// Deaths counted; `u16::MAX` means "that many or more".
    pub(crate) count: u16,
}

impl Deaths {
    /// An empty table.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self {
            shift: 0,
            counts: [[0; AGE_ROWS]; BIRTH_BINS],
        }
    }

    /// Counts the death at tick `now` of an object born at tick `birth`.
    ///
    /// A birth later than `now`, as clocks read on two processors can yield, counts as age 0.
    pub(crate) fn record(&mut self, birth: u32, now: u32) {
        self.advance(now);
        let birth = birth.min(now);
        let bin = (birth >> self.shift) as usize;
        let row = age_row(now - birth, self.shift);
        if let Some(count) = self.counts.get_mut(bin).and_then(|rows| rows.get_mut(row)) {
            *count = count.saturating_add(1);
        }
    }

    /// Merges neighbours until tick `now` fits. Time never runs backwards: an earlier tick than one
    /// seen before changes nothing.
    pub(crate) fn advance(&mut self, now: u32) {
        let shift = shift_for(now);
        if shift > self.shift {
            self.coarsen(shift);
        }
    }

    /// Ticks in a birth bin.
    #[must_use]
    pub(crate) const fn width(&self) -> u32 {
        1 << self.shift
    }

    /// The cells that hold any deaths, oldest births first.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.counts.iter().zip(0u32..).flat_map(move |(rows, bin)| {
            rows.iter()
                .zip(0u32..)
                .filter(|(count, _)| **count > 0)
                .map(move |(count, row)| Cell {
                    birth_start: bin << self.shift,
                    age_low: row_start(row, self.shift) as u32,
                    age_high: row_start(row + 1, self.shift),
                    count: *count,
                })
        })
    }

    /// The counts that are not 0, as birth bin, age row and count.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u8, u8, u16)> + '_ {
        self.counts.iter().zip(0..).flat_map(|(rows, bin)| {
            let rows = rows.iter().zip(0..);
            rows.filter(|(count, _)| **count > 0)
                .map(move |(count, row)| (bin, row, *count))
        })
    }

    /// A table as it was written down; none if it cannot be one.
    pub(crate) fn from_counts(width: u32, counts: &[(u8, u8, u16)]) -> Option<Self> {
        let shift = u8::try_from(width.checked_ilog2()?).ok()?;
        if !width.is_power_of_two() || shift > shift_for(u32::MAX) {
            return None;
        }
        let mut table = Self {
            shift,
            ..Self::new()
        };
        for (bin, row, count) in counts {
            let rows = table.counts.get_mut(usize::from(*bin))?;
            *rows.get_mut(usize::from(*row))? = *count;
        }
        Some(table)
    }

    /// Adds another site's deaths; both tables end at the coarser width of the two.
    pub(crate) fn add(&mut self, other: &Deaths) {
        if other.shift > self.shift {
            self.coarsen(other.shift);
        }
        let by = u32::from(self.shift - other.shift);
        for (rows, bin) in other.counts.iter().zip(0u32..) {
            for (count, row) in rows.iter().zip(0u32..) {
                self.add_to(
                    (bin >> by) as usize,
                    row.saturating_sub(by) as usize,
                    *count,
                );
            }
        }
    }

    /// In place and in one pass: every cell moves to a bin and a row that are not after its own.
    fn coarsen(&mut self, shift: u8) {
        let by = u32::from(shift - self.shift);
        self.shift = shift;
        for bin in 0..BIRTH_BINS {
            let Some(rows) = self.counts.get_mut(bin) else {
                break;
            };
            let rows = core::mem::take(rows);
            for (count, row) in rows.iter().zip(0u32..) {
                self.add_to(bin >> by, row.saturating_sub(by) as usize, *count);
            }
        }
    }

    fn add_to(&mut self, bin: usize, row: usize, count: u16) {
        if let Some(sum) = self.counts.get_mut(bin).and_then(|rows| rows.get_mut(row)) {
            *sum = sum.saturating_add(count);
        }
    }
}

impl Default for Deaths {
    fn default() -> Self {
        Self::new()
    }
}

/// The smallest shift at which tick `now` falls into one of 32 bins; at most 27.
pub(crate) const fn shift_for(now: u32) -> u8 {
    let bits = u32::BITS - now.leading_zeros();
    bits.saturating_sub(5) as u8
}

/// Row 0 is below half a width, row `r` is `[2^(r-2), 2^(r-1))` widths.
const fn age_row(age: u32, shift: u8) -> usize {
    let halves = ((age as u64) << 1) >> shift;
    (u64::BITS - halves.leading_zeros()) as usize
}

/// First age of a row, in ticks, rounded up: ages are whole ticks.
const fn row_start(row: u32, shift: u8) -> u64 {
    match row {
        0 => 0,
        row => ((1u64 << (row - 1)) << shift).div_ceil(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What the table stands for: every death kept, binned only when asked.
    fn model(deaths: &[(u32, u32)], shift: u8) -> BTreeMap<(u32, u32), u16> {
        let mut cells = BTreeMap::new();
        for &(birth, now) in deaths {
            let bin = (birth.min(now) >> shift) << shift;
            let age = now.saturating_sub(birth);
            let low = (0..AGE_ROWS as u32)
                .map(|row| row_start(row, shift) as u32)
                .filter(|low| *low <= age)
                .max()
                .unwrap_or(0);
            *cells.entry((bin, low)).or_insert(0u16) += 1;
        }
        cells
    }

    fn content(table: &Deaths) -> BTreeMap<(u32, u32), u16> {
        let mut cells = BTreeMap::new();
        for cell in table.cells() {
            *cells.entry((cell.birth_start, cell.age_low)).or_insert(0) += cell.count;
        }
        cells
    }

    #[test]
    fn fits_its_budget() {
        assert!(size_of::<Deaths>() <= 512, "{}", size_of::<Deaths>());
    }

    #[test]
    fn bins_double_with_time() {
        let widths: Vec<u32> = [0, 31, 32, 63, 64, 2160, u32::MAX]
            .into_iter()
            .map(|now| 1 << shift_for(now))
            .collect();
        assert_eq!(widths, [1, 1, 2, 2, 4, 128, 1 << 27]);
    }

    #[test]
    fn counts_saturate_instead_of_wrapping() {
        let mut table = Deaths::new();
        for _ in 0..70_000 {
            table.record(3, 4);
        }
        table.record(2, 3);
        table.advance(1_000);
        let counts: Vec<u16> = table.cells().map(|cell| cell.count).collect();
        assert_eq!(counts, [u16::MAX]);
    }

    #[test]
    fn a_birth_after_now_is_age_zero() {
        let mut table = Deaths::new();
        table.record(9, 7);
        let cells: Vec<Cell> = table.cells().collect();
        assert_eq!((cells[0].birth_start, cells[0].age_low), (7, 0));
    }

    proptest! {
        /// Merging early, late or in jumps of many octaves must give the same table as binning all
        /// deaths at the end.
        #[test]
        fn equals_the_list_of_deaths(
            mut deaths in prop::collection::vec((0u32..400_000, 0u32..400_000), 0..300),
            scale in 0u32..14,
            end in 0u32..3,
        ) {
            for (birth, now) in &mut deaths {
                *birth >>= scale;
                *now = (*now >> scale).max(*birth);
            }
            deaths.sort_by_key(|(_, now)| *now);
            let mut table = Deaths::new();
            for &(birth, now) in &deaths {
                table.record(birth, now);
            }
            let last = deaths.last().map_or(0, |(_, now)| *now);
            table.advance(last << end);
            let shift = shift_for(last << end);
            prop_assert_eq!(table.width(), 1 << shift);
            prop_assert_eq!(content(&table), model(&deaths, shift));
        }

        /// The sum of two sites is the table of all their deaths.
        #[test]
        fn adding_equals_recording_all(
            one in prop::collection::vec((0u32..5_000, 0u32..5_000), 0..100),
            two in prop::collection::vec((0u32..90, 0u32..90), 0..100),
        ) {
            let record = |deaths: &[(u32, u32)]| {
                let mut table = Deaths::new();
                deaths.iter().for_each(|&(birth, age)| table.record(birth, birth + age));
                table
            };
            let mut sum = record(&one);
            sum.add(&record(&two));
            let mut sum_back = record(&two);
            sum_back.add(&record(&one));
            let all: Vec<_> = one.iter().chain(&two).copied().collect();
            let mut expected = record(&all);
            expected.advance(0);
            prop_assert_eq!(&sum, &expected);
            prop_assert_eq!(&sum_back, &expected);
        }
    }
}
