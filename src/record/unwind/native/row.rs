//! What a row of an unwind table says, as far as a walk needs it.

use gimli::{CfaRule, Register, RegisterRule};

/// A function that has not returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Frame {
    pub(super) sp: usize,
    /// Where it is: an address within the call, one below the return address.
    pub(super) at: usize,
    pub(super) fp: usize,
}

/// Where a step outwards leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    To(Frame),
    /// The frame is the thread's first.
    Reached,
    Lost,
}

/// Places of the caller's registers that follow from the callee's without an expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plain {
    /// Whether the caller's stack pointer is given by the base pointer.
    pub(super) from_fp: bool,
    /// Bytes from there to the caller's stack pointer.
    pub(super) offset: i64,
    /// Where the caller's base pointer is saved, from the caller's stack pointer; `None` where it is
    /// unchanged.
    pub(super) fp: Option<i64>,
    /// Where the return address is, from there; `None` where it is in its register.
    pub(super) ra: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Row {
    /// Nothing called this.
    End,
    Plain(Plain),
    /// The address is between the functions that the tables know.
    Uncovered,
    /// There are no tables, or they cannot be read.
    NoTable,
    /// Something else, to be evaluated.
    Other,
}

/// The columns of a row that matter.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) cfa: CfaRule<usize>,
    pub(super) fp: Option<RegisterRule<usize>>,
    pub(super) ra: Option<RegisterRule<usize>>,
}

/// What differs between architectures.
pub(super) trait Arch {
    const SP: Register;
    const FP: Register;
    const RA: Register;
    /// The frame that a base pointer describes by itself.
    const FRAME_POINTER: Plain = Plain {
        from_fp: true,
        offset: 16,
        fp: Some(-16),
        ra: Some(-8),
    };

    fn row(columns: &Columns) -> Row;

    /// The address that a return address means.
    fn strip(return_address: usize) -> usize;

    /// Where a return address is if the row does not say so.
    fn implied_ra(cfa: usize) -> Option<usize>;
}

impl Columns {
    /// The row, with the return address in this place.
    pub(super) fn row<A: Arch>(&self, ra: Option<i64>) -> Row {
        match (self.plain_cfa::<A>(), self.plain_fp()) {
            (Some((from_fp, offset)), Some(fp)) => Row::Plain(Plain {
                from_fp,
                offset,
                fp,
                ra,
            }),
            _ => Row::Other,
        }
    }

    /// Whether and how the caller's stack pointer hangs on one of two registers.
    fn plain_cfa<A: Arch>(&self) -> Option<(bool, i64)> {
        match self.cfa {
            CfaRule::RegisterAndOffset { register, offset } if register == A::SP => {
                Some((false, offset))
            }
            CfaRule::RegisterAndOffset { register, offset } if register == A::FP => {
                Some((true, offset))
            }
            _ => None,
        }
    }

    /// Where the base pointer is saved, if at all; `None` if that is not so simple.
    fn plain_fp(&self) -> Option<Option<i64>> {
        match self.fp {
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => Some(None),
            Some(RegisterRule::Offset(offset)) => Some(Some(offset)),
            _ => None,
        }
    }
}

impl Plain {
    pub(super) fn step<A: Arch>(
        &self,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Step {
        if self.from_fp && frame.fp == 0 {
            return Step::Reached;
        }
        self.caller::<A>(frame, lr, read)
            .map_or(Step::Lost, |(cfa, ra, fp)| {
                to_return_address::<A>(cfa, ra, fp)
            })
    }

    /// The caller's stack pointer, the return address as it was read, and the caller's base pointer.
    pub(super) fn caller<A: Arch>(
        &self,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<(usize, usize, usize)> {
        let base = if self.from_fp { frame.fp } else { frame.sp };
        let cfa = base.checked_add_signed(self.offset as isize)?;
        // A function that has saved nothing has its caller's stack pointer.
        if cfa < frame.sp || (cfa == frame.sp && self.ra.is_some()) {
            return None;
        }
        let fp = match self.fp {
            None => frame.fp,
            Some(offset) => read(cfa.checked_add_signed(offset as isize)?)?,
        };
        let ra = match self.ra {
            None => lr?,
            Some(offset) => read(cfa.checked_add_signed(offset as isize)?)?,
        };
        Some((cfa, ra, fp))
    }
}

/// Bytes as a number of parts, where they are whole ones.
pub(super) fn parts(bytes: i64, of: usize) -> Option<usize> {
    let bytes = usize::try_from(bytes).ok()?;
    bytes.is_multiple_of(of).then_some(bytes / of)
}

/// The frame that a call returns to.
#[inline(always)]
pub(super) fn to_return_address<A: Arch>(sp: usize, ra: usize, fp: usize) -> Step {
    let ra = A::strip(ra);
    match ra {
        0 => Step::Reached,
        // No code is there, and the table of rules has no entry for the address 0.
        1 => Step::Lost,
        _ => Step::To(Frame { sp, at: ra - 1, fp }),
    }
}
