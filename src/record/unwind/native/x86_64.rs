//! Rules of x86-64. There, the return address is in the word below the caller's stack pointer.

use gimli::{Register, RegisterRule, X86_64};

use super::row::{Arch, Columns, Frame, Plain, Row, Step, parts};

const WORD: usize = size_of::<u64>();

pub(super) struct Amd64;

impl Arch for Amd64 {
    const SP: Register = X86_64::RSP;
    const FP: Register = X86_64::RBP;
    const RA: Register = X86_64::RA;

    fn row(columns: &Columns) -> Row {
        match columns.ra {
            None | Some(RegisterRule::Undefined) => Row::End,
            Some(RegisterRule::Offset(-8)) => columns.row::<Self>(Some(-8)),
            _ => Row::Other,
        }
    }

    #[inline(always)]
    fn strip(return_address: usize) -> usize {
        return_address
    }

    fn implied_ra(cfa: usize) -> Option<usize> {
        cfa.checked_sub(WORD)
    }
}

/// Where a frame's caller is, in 16 bits.
///
/// The upper 12 bits are words from the stack pointer to the caller's; the lower 4 are words from
/// there down to the saved base pointer, 0 where it is unchanged. What would be no frame, 0 words,
/// stands for everything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rule(pub(super) u16);

impl Rule {
    /// The row must be looked up and evaluated each time.
    pub(super) const ASK: Rule = Rule(1);
    /// The caller's stack pointer is two words above the base pointer, which points to the saved one.
    const FRAME_POINTER: Rule = Rule(2);
    const END: Rule = Rule(3);
    /// As `FRAME_POINTER`, but a base pointer of 0 ends nothing.
    const UNCOVERED: Rule = Rule(4);
    const SAVED_BITS: u32 = 4;

    pub(super) fn of(row: &Row) -> Rule {
        match row {
            Row::End => Rule::END,
            Row::Plain(plain) if *plain == Amd64::FRAME_POINTER => Rule::FRAME_POINTER,
            Row::Plain(plain) => Rule::of_plain(plain).unwrap_or(Rule::ASK),
            Row::NoTable => Rule::FRAME_POINTER,
            Row::Uncovered => Rule::UNCOVERED,
            Row::Other => Rule::ASK,
        }
    }

    fn of_plain(plain: &Plain) -> Option<Rule> {
        let saved = match plain.fp {
            None => 0,
            Some(offset) => parts(offset.checked_neg()?, WORD).filter(|words| *words > 1)?,
        };
        let words = parts(plain.offset, WORD)?;
        let fits = !plain.from_fp
            && plain.ra == Some(-8)
            && (1..1 << 12).contains(&words)
            && saved < 1 << Rule::SAVED_BITS;
        fits.then_some(Rule((words << Rule::SAVED_BITS | saved) as u16))
    }

    /// The caller, where all is as usual; else [`step`](Self::step) says what there is.
    #[inline(always)]
    pub(super) fn caller(
        self,
        frame: Frame,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<Frame> {
        let words = usize::from(self.0 >> Rule::SAVED_BITS);
        let (sp, saved) = if words > 0 {
            let saved = usize::from(self.0) & ((1 << Rule::SAVED_BITS) - 1);
            (frame.sp.wrapping_add(words * WORD), saved)
        } else if self == Rule::FRAME_POINTER && frame.fp != 0 {
            (frame.fp.checked_add(2 * WORD)?, 2)
        } else {
            return None;
        };
        if sp <= frame.sp {
            return None;
        }
        let fp = match saved {
            0 => frame.fp,
            _ => read(sp.checked_sub(saved * WORD)?)?,
        };
        let ra = read(sp.wrapping_sub(WORD))?;
        (ra > 1).then(|| Frame { sp, at: ra - 1, fp })
    }

    /// `None` where the row must be looked up.
    pub(super) fn step(
        self,
        frame: Frame,
        _lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<Step> {
        Some(match self {
            Rule::ASK => return None,
            Rule::END => Step::Reached,
            Rule::UNCOVERED if frame.fp == 0 => Step::Lost,
            Rule::FRAME_POINTER | Rule::UNCOVERED => {
                Amd64::FRAME_POINTER.step::<Amd64>(frame, None, read)
            }
            _ => self.plain()?.step::<Amd64>(frame, None, read),
        })
    }

    /// What was encoded.
    fn plain(self) -> Option<Plain> {
        let offset = i64::from(self.0 >> Rule::SAVED_BITS) * WORD as i64;
        let saved = i64::from(self.0 & ((1 << Rule::SAVED_BITS) - 1)) * WORD as i64;
        (offset > 0).then_some(Plain {
            from_fp: false,
            offset,
            fp: (saved > 0).then_some(-saved),
            ra: Some(-(WORD as i64)),
        })
    }
}
