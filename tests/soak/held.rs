//! Blocks that know what must be in them.

use std::alloc::Layout;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::common::{Block, Rng};

/// No block is larger.
pub(crate) const LARGEST: usize = 4 << 20;

/// Of a block, this much is filled and compared in full; of the rest a word in each page and the last bytes.
const HEAD: usize = 4096;
const PAGE: usize = 4096;
const WORD: usize = 8;
const TAIL: usize = 64;

/// In all blocks that there are.
pub(crate) static BYTES: AtomicU64 = AtomicU64::new(0);

/// A block and the seed of its contents.
#[derive(Debug)]
pub(crate) struct Held {
    block: Block,
    seed: u64,
}

/// From 1 byte to almost [`LARGEST`], spread evenly over magnitudes.
pub(crate) fn any_size(rng: &mut Rng) -> usize {
    let magnitude = 1 << rng.below(LARGEST.ilog2() as usize);
    magnitude + rng.below(magnitude)
}

/// Mostly the alignments of ordinary types; one in sixteen is any power of two up to 2 MiB.
pub(crate) fn any_layout(rng: &mut Rng) -> Layout {
    let align = match rng.below(16) {
        0 => 1 << rng.below(22),
        n => 1 << (n % 5),
    };
    Layout::from_size_align(any_size(rng), align).unwrap()
}

impl Held {
    /// A new block with contents. Half of them are asked for as zeroed, and must be.
    #[inline(never)]
    pub(crate) fn obtain(layout: Layout, rng: &mut Rng) -> Held {
        let block = if rng.below(2) == 0 {
            Block::alloc(layout)
        } else {
            let mut block = Block::zeroed(layout).expect("memory");
            assert!(
                is_zero(block.bytes()),
                "a zeroed block is not zero: {block:?}"
            );
            Some(block)
        };
        let held = Held {
            block: block.expect("memory"),
            seed: rng.next(),
        };
        BYTES.fetch_add(held.size() as u64, Ordering::Relaxed);
        held.fill();
        held.check("just allocated");
        held
    }

    /// Resizes the block, which must bring its contents along, and gives it new ones.
    #[inline(never)]
    pub(crate) fn resize(&mut self, size: usize, rng: &mut Rng) {
        self.check("before it was resized");
        let old = self.size();
        assert!(self.block.resize(size), "no memory for {size} bytes");
        self.expect_contents(old, old.min(size), "resized");
        BYTES.fetch_add(size as u64, Ordering::Relaxed);
        BYTES.fetch_sub(old as u64, Ordering::Relaxed);
        self.seed = rng.next();
        self.fill();
    }

    pub(crate) fn free(self) {
        self.check("before it was freed");
        self.free_unchecked();
    }

    pub(crate) fn size(&self) -> usize {
        self.block.size()
    }

    /// Whether the block is as it was left; for where nobody can panic.
    pub(crate) fn is_whole(&self) -> bool {
        self.block.is_aligned() && self.first_wrong(self.size(), self.size()).is_none()
    }

    /// As [`Held::free`], without the check.
    pub(crate) fn free_unchecked(self) {
        BYTES.fetch_sub(self.size() as u64, Ordering::Relaxed);
        self.block.free();
    }

    pub(crate) fn check(&self, when: &str) {
        self.expect_contents(self.size(), self.size(), when);
    }

    /// What a block of `size` bytes was filled with must be there, as far as `len`.
    fn expect_contents(&self, size: usize, len: usize, when: &str) {
        let block = &self.block;
        assert!(block.is_aligned(), "misaligned, {when}: {block:?}");
        if let Some(at) = self.first_wrong(size, len) {
            panic!("wrong contents at byte {at} of {size}, {when}: {self:?}");
        }
    }

    fn fill(&self) {
        for place in places(self.size(), self.size()) {
            for_each_word(self.seed, place, |at, bytes| {
                // SAFETY: within the block, which is this value's.
                unsafe {
                    let to = self.block.start.as_ptr().add(at);
                    to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                }
                true
            });
        }
    }

    fn first_wrong(&self, size: usize, len: usize) -> Option<usize> {
        let wrong = |place: &Range<usize>| {
            !for_each_word(self.seed, place.clone(), |at, bytes| {
                // SAFETY: within the block, which is this value's; `fill` wrote there.
                let found = unsafe {
                    std::slice::from_raw_parts(self.block.start.as_ptr().add(at), bytes.len())
                };
                found == bytes
            })
        };
        places(size, len).find(wrong).map(|place| place.start)
    }
}

/// The parts of a block of `size` bytes that are filled, as far as they lie before `len`.
fn places(size: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let words = (HEAD..size).step_by(PAGE).map(|at| at..at + WORD);
    let tail = size.saturating_sub(TAIL)..size;
    let all = std::iter::once(0..HEAD.min(size))
        .chain(words)
        .chain([tail]);
    all.map(move |place| place.start.min(len)..place.end.min(size).min(len))
}

/// Calls with each word, or part of one, that a place holds; false once a call returned that.
fn for_each_word(
    seed: u64,
    place: Range<usize>,
    mut each: impl FnMut(usize, &[u8]) -> bool,
) -> bool {
    let mut at = place.start;
    while at < place.end {
        let number = (at / WORD) as u64;
        let word = Rng(seed ^ number.rotate_right(20)).next().to_le_bytes();
        let within = at % WORD;
        let len = (WORD - within).min(place.end - at);
        if !each(at, &word[within..within + len]) {
            return false;
        }
        at += len;
    }
    true
}

/// Compares the bytes with themselves one further: at the speed of memcmp, also without optimisation.
fn is_zero(bytes: &[u8]) -> bool {
    bytes[0] == 0 && bytes[1..] == bytes[..bytes.len() - 1]
}
