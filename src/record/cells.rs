//! Which cells of an array are taken, and which may have something in them: two bits for each.
//! Without locks, so that a child of `fork` finds them usable. Pure, so that they can be modelled.
//!
//! A thread takes a cell by setting its bit, and owns it until it clears the bit. Cells whose pages are
//! to go back to the system are taken for that moment, so no other thread can take one.

use std::ops::Range;

use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Cells in a word of bits.
pub(crate) const WORD: usize = 64;

/// Cells that are given back to the system at a time.
const MAX_RUN: usize = 256;

/// The state of an array of cells. All zeroes: no cell is taken, and none was ever used.
#[derive(Debug)]
pub(crate) struct Cells<const WORDS: usize> {
    taken: [AtomicU64; WORDS],
    /// Cells that were handed out since their pages came from the system.
    used: [AtomicU64; WORDS],
    /// No word before this one is likely to have a free cell.
    first: AtomicUsize,
    /// Free cells that were used.
    idle: AtomicUsize,
    /// The number of idle cells above which it is time to give some back.
    sweep_above: AtomicUsize,
}

/// A cell that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) cell: usize,
    /// Its memory is as the system gave it: zeroes.
    pub(crate) fresh: bool,
}

impl<const WORDS: usize> Cells<WORDS> {
    /// Takes a free cell below `len`, a low one.
    pub(crate) fn take(&self, len: usize) -> Option<Taken> {
        // Relaxed: a hint.
        let first = self.first.load(Ordering::Relaxed);
        let cell = self
            .find(first..len.div_ceil(WORD), len)
            .or_else(|| self.find(0..first.min(len.div_ceil(WORD)), len))?;
        self.first.store(cell / WORD, Ordering::Relaxed);
        let (word, bit) = place(cell);
        // Relaxed: the cell is this thread's, and its bit was published with its freeing.
        let used = self.used[word].fetch_or(bit, Ordering::Relaxed);
        let fresh = used & bit == 0;
        if !fresh {
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
        Some(Taken { cell, fresh })
    }

    fn find(&self, words: Range<usize>, len: usize) -> Option<usize> {
        for word in words {
            let bits = self.taken.get(word)?;
            let mut taken = bits.load(Ordering::Relaxed);
            while taken != u64::MAX {
                let free = (!taken).trailing_zeros();
                let cell = word * WORD + free as usize;
                if cell >= len {
                    return None;
                }
                // Acquire: pairs with the releases in `put` and `open`, so that what the last owner
                // did with the cell is over.
                match bits.compare_exchange_weak(
                    taken,
                    taken | 1 << free,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Some(cell),
                    Err(now) => taken = now,
                }
            }
        }
        None
    }

    /// Gives a cell back that the caller has taken.
    pub(crate) fn put(&self, cell: usize) {
        let (word, bit) = place(cell);
        // Before the cell is free, because the thread that takes it next counts it off.
        self.idle.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the acquire in `find`.
        self.taken[word].fetch_and(!bit, Ordering::Release);
        self.first.fetch_min(word, Ordering::Relaxed);
    }

    /// Whether a cell is taken, as far as that can be known of another's.
    pub(crate) fn is_taken(&self, cell: usize) -> bool {
        let (word, bit) = place(cell);
        self.taken
            .get(word)
            .is_some_and(|taken| taken.load(Ordering::Relaxed) & bit != 0)
    }

    /// Free cells that were used, and so may have memory.
    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Whether more than `keep` idle cells have come up since the last look. So many idle cells
    /// may share their pages with live ones, and are not looked at again for each cell freed.
    pub(crate) fn is_sweep_due(&self, keep: usize) -> bool {
        // Relaxed: each number stands for itself.
        let idle = self.idle();
        let above = self.sweep_above.load(Ordering::Relaxed);
        if idle + 2 * keep < above {
            self.sweep_above.store(idle + keep, Ordering::Relaxed);
        }
        idle > above.max(keep)
    }

    /// Gives the pages of idle cells below `len` back through `release`, which says whether it could:
    /// then the cells' memory is zeroes. A page has `unit` cells, a power of two. `keep` as above.
    pub(crate) fn sweep(
        &self,
        len: usize,
        unit: usize,
        keep: usize,
        mut release: impl FnMut(Range<usize>) -> bool,
    ) {
        let mut start = 0;
        while start + unit <= len {
            let mut end = start;
            while end + unit <= len && end - start < MAX_RUN.max(unit) && self.close(end, unit) {
                end += unit;
            }
            if end > start {
                if release(start..end) {
                    self.forget(start..end);
                }
                self.open(start..end);
            }
            start = end + unit;
        }
        self.sweep_above
            .store(self.idle() + keep, Ordering::Relaxed);
    }

    /// Takes all cells of a unit if none is taken and one is used.
    fn close(&self, start: usize, unit: usize) -> bool {
        if !masks(start..start + unit).any(|(word, mask)| self.is_used(word, mask)) {
            return false;
        }
        for (word, mask) in masks(start..start + unit) {
            let taken = &self.taken[word];
            // Acquire: as in `find`.
            let closed = taken.fetch_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
                (taken & mask == 0).then_some(taken | mask)
            });
            if closed.is_err() {
                self.open(start..word * WORD);
                return false;
            }
        }
        true
    }

    fn is_used(&self, word: usize, mask: u64) -> bool {
        self.used[word].load(Ordering::Relaxed) & mask != 0
    }

    fn forget(&self, cells: Range<usize>) {
        for (word, mask) in masks(cells) {
            // Relaxed: the cells are this thread's until `open` publishes this.
            let used = self.used[word].fetch_and(!mask, Ordering::Relaxed);
            let gone = (used & mask).count_ones() as usize;
            self.idle.fetch_sub(gone, Ordering::Relaxed);
        }
    }

    fn open(&self, cells: Range<usize>) {
        for (word, mask) in masks(cells) {
            // Release: pairs with the acquire in `find`, so that the next owner sees zeroes.
            self.taken[word].fetch_and(!mask, Ordering::Release);
        }
    }
}

fn place(cell: usize) -> (usize, u64) {
    (cell / WORD, 1 << (cell % WORD))
}

/// The words that cells are in, and their bits there.
fn masks(cells: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let words = cells.start / WORD..cells.end.div_ceil(WORD);
    words.map(move |word| {
        let low = cells.start.saturating_sub(word * WORD).min(WORD);
        let high = (cells.end - word * WORD).min(WORD);
        let mask = match high - low {
            WORD => u64::MAX,
            count => ((1 << count) - 1) << low,
        };
        (word, mask)
    })
}

#[cfg(test)]
mod tests;
