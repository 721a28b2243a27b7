//! Rules of aarch64. There, a call leaves the return address in a register, and functions that call
//! save it beside the base pointer or alone.

use gimli::{AArch64, Register, RegisterRule};

use super::row::{Arch, Columns, Frame, Plain, Row, Step, parts};

const WORD: usize = size_of::<u64>();
/// The stack pointer's alignment.
const UNIT: usize = 16;
/// User addresses; above them a signed return address has its signature.
const ADDRESS: usize = (1 << 48) - 1;

pub(super) struct Aarch64;

impl Arch for Aarch64 {
    const SP: Register = AArch64::SP;
    const FP: Register = AArch64::X29;
    const RA: Register = AArch64::X30;

    fn row(columns: &Columns) -> Row {
        let ra = match columns.ra {
            Some(RegisterRule::Undefined) => return Row::End,
            // Compilers leave the column out where the register is unchanged.
            None | Some(RegisterRule::SameValue) => None,
            Some(RegisterRule::Offset(offset)) => Some(offset),
            _ => return Row::Other,
        };
        columns.row::<Self>(ra)
    }

    #[inline(always)]
    fn strip(return_address: usize) -> usize {
        return_address & ADDRESS
    }

    fn implied_ra(_cfa: usize) -> Option<usize> {
        None
    }
}

/// Where a frame's caller is, in 16 bits.
///
/// From the top: whether the caller's stack pointer is given by the base pointer rather than by the
/// stack pointer; whether base pointer and return address are saved as a pair, or the return
/// address alone; 9 bits of 16-byte units to the caller's stack pointer; 5 bits of words from there
/// down to the pair or the lone word. A place of 0 words stands for what saves nothing, which only
/// the innermost frame may do, and 0 units for everything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rule(pub(super) u16);

impl Rule {
    /// The row must be looked up and evaluated each time.
    pub(super) const ASK: Rule = Rule(1);
    const NO_TABLE: Rule = Rule(2);
    const END: Rule = Rule(3);
    /// As `NO_TABLE`, but a base pointer of 0 ends nothing.
    const UNCOVERED: Rule = Rule(4);
    const FROM_FP: u16 = 1 << 15;
    const PAIR: u16 = 1 << 14;
    const PLACE_BITS: u32 = 5;
    const UNIT_BITS: u32 = 9;

    pub(super) fn of(row: &Row) -> Rule {
        match row {
            Row::End => Rule::END,
            Row::Plain(plain) => Rule::of_plain(plain).unwrap_or(Rule::ASK),
            Row::NoTable => Rule::NO_TABLE,
            Row::Uncovered => Rule::UNCOVERED,
            Row::Other => Rule::ASK,
        }
    }

    fn of_plain(plain: &Plain) -> Option<Rule> {
        let units = parts(plain.offset, UNIT)?;
        let (pair, place) = match (plain.fp, plain.ra) {
            (None, None) => (0, 0),
            (None, Some(ra)) => (0, parts(ra.checked_neg()?, WORD)?),
            (Some(fp), Some(ra)) if ra == fp.checked_add(WORD as i64)? => {
                (Rule::PAIR, parts(fp.checked_neg()?, WORD)?)
            }
            _ => return None,
        };
        let saves_something = pair != 0 || plain.ra.is_some();
        let fits = (1..1 << Rule::UNIT_BITS).contains(&units)
            && place < 1 << Rule::PLACE_BITS
            && (place > 0) == saves_something
            && (pair == 0 || place > 1);
        let base = if plain.from_fp { Rule::FROM_FP } else { 0 };
        let numbers = (units << Rule::PLACE_BITS | place) as u16;
        fits.then_some(Rule(base | pair | numbers))
    }

    /// What was encoded.
    fn plain(self) -> Option<Plain> {
        let units = usize::from(self.0 >> Rule::PLACE_BITS) & ((1 << Rule::UNIT_BITS) - 1);
        let place = usize::from(self.0) & ((1 << Rule::PLACE_BITS) - 1);
        let below = -((place * WORD) as i64);
        let (fp, ra) = match (self.0 & Rule::PAIR != 0, place) {
            (true, _) => (Some(below), Some(below + WORD as i64)),
            (false, 0) => (None, None),
            (false, _) => (None, Some(below)),
        };
        (units > 0).then_some(Plain {
            from_fp: self.0 & Rule::FROM_FP != 0,
            offset: (units * UNIT) as i64,
            fp,
            ra,
        })
    }

    /// The caller, where all is as usual; else [`step`](Self::step) says what there is.
    #[inline(always)]
    pub(super) fn caller(
        self,
        frame: Frame,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<Frame> {
        let units = usize::from(self.0 >> Rule::PLACE_BITS) & ((1 << Rule::UNIT_BITS) - 1);
        let place = usize::from(self.0) & ((1 << Rule::PLACE_BITS) - 1);
        let from_fp = self.0 & Rule::FROM_FP != 0;
        let base = if from_fp { frame.fp } else { frame.sp };
        let sp = base.wrapping_add(units * UNIT);
        if units == 0 || place == 0 || (from_fp && base == 0) || sp <= frame.sp || sp < base {
            return None;
        }
        let saved = sp.checked_sub(place * WORD)?;
        let (fp, ra) = if self.0 & Rule::PAIR != 0 {
            (read(saved)?, read(saved.wrapping_add(WORD))?)
        } else {
            (frame.fp, read(saved)?)
        };
        let ra = Aarch64::strip(ra);
        (ra > 1).then(|| Frame { sp, at: ra - 1, fp })
    }

    /// `None` where the row must be looked up.
    pub(super) fn step(
        self,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<Step> {
        if let Some(plain) = self.plain() {
            return Some(plain.step::<Aarch64>(frame, lr, read));
        }
        match self {
            Rule::END => Some(Step::Reached),
            Rule::UNCOVERED if frame.fp == 0 => Some(Step::Lost),
            Rule::NO_TABLE | Rule::UNCOVERED => {
                Some(Aarch64::FRAME_POINTER.step::<Aarch64>(frame, None, read))
            }
            _ => None,
        }
    }
}
