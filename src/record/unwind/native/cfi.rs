//! The unwind tables: the row of an address, and what takes expressions.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EhFrameOffset, Encoding, EndianSlice, Evaluation,
    EvaluationResult, EvaluationStorage, Expression, LittleEndian, Location, Piece, Pointer,
    Register, RegisterRule, UnwindContext, UnwindContextStorage, UnwindSection, UnwindTableRow,
    Value,
};

use super::row::{Arch, Columns, Frame, Row, Step, to_return_address};
use crate::record::modules::Module;

type Bytes = EndianSlice<'static, LittleEndian>;

/// Operations after which an expression is taken for endless.
const MAX_OPERATIONS: u32 = 64;

/// Fixed room for a row: all registers that are saved, and twice as much as they are remembered.
struct Rows;

impl UnwindContextStorage<usize> for Rows {
    type Rules = [(Register, RegisterRule<usize>); 24];
    type Stack = [UnwindTableRow<usize, Self>; 4];
}

/// Fixed room for an expression.
struct Room;

impl EvaluationStorage<Bytes> for Room {
    type Stack = [Value; 16];
    type ExpressionStack = [(Bytes, Bytes); 1];
    type Result = [Piece<Bytes>; 1];
}

/// The row of one address.
pub(super) struct Found {
    columns: Columns,
    encoding: Encoding,
    /// The frame was made by a signal, and its caller was interrupted rather than calling.
    is_signal: bool,
}

/// Why there is no row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gap {
    Uncovered,
    NoTable,
}

impl Found {
    /// Not inlined, so that its room is given back before anything else runs.
    #[inline(never)]
    pub(super) fn at<A: Arch>(module: &Module, address: usize) -> Result<Found, Gap> {
        let (eh_frame, bases) = sections(module);
        let hdr = EhFrameHdr::new(module.eh_frame_hdr.bytes, LittleEndian)
            .parse(&bases, size_of::<usize>() as u8)
            .map_err(|_| Gap::NoTable)?;
        let table = hdr.table().ok_or(Gap::NoTable)?;
        let fde = table
            .lookup(address as u64, &bases)
            .and_then(|pointer| offset_of(pointer, module))
            .and_then(|offset| eh_frame.fde_from_offset(&bases, offset, EhFrame::cie_from_offset))
            .map_err(|_| Gap::NoTable)?;
        let mut context = UnwindContext::<usize, Rows>::new_in();
        let row = fde
            .unwind_info_for_address(&eh_frame, &bases, &mut context, address as u64)
            .map_err(|_| Gap::Uncovered)?;
        Ok(Found {
            columns: Columns {
                cfa: row.cfa().clone(),
                fp: row.register(A::FP),
                ra: row.register(A::RA),
            },
            encoding: fde.cie().encoding(),
            is_signal: fde.is_signal_trampoline(),
        })
    }

    /// The row without its expressions.
    pub(super) fn row<A: Arch>(&self) -> Row {
        match A::row(&self.columns) {
            // Its caller's address is looked up otherwise than a rule would have it.
            Row::Plain(_) if self.is_signal => Row::Other,
            row => row,
        }
    }

    /// Steps outwards by what the row says, and by the base pointer where that leads nowhere.
    #[inline(never)]
    pub(super) fn step<A: Arch>(
        &self,
        module: &Module,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Step {
        match A::row(&self.columns) {
            Row::End => return Step::Reached,
            Row::Plain(plain) if !self.is_signal => return plain.step::<A>(frame, lr, read),
            _ => {}
        }
        let (section, _) = sections(module);
        let mut machine = Machine::<A, _> {
            section,
            encoding: self.encoding,
            frame,
            lr,
            read,
            arch: std::marker::PhantomData,
        };
        match machine.caller(&self.columns) {
            Some((sp, ra, fp)) if self.is_signal => match A::strip(ra) {
                0 => Step::Reached,
                at => Step::To(Frame { sp, at, fp }),
            },
            Some((sp, ra, fp)) => to_return_address::<A>(sp, ra, fp),
            None => A::FRAME_POINTER.step::<A>(frame, None, machine.read),
        }
    }
}

/// Where in `.eh_frame` a pointer leads. The table may be damaged, so it may lead anywhere.
fn offset_of(pointer: Pointer, module: &Module) -> gimli::Result<EhFrameOffset> {
    let address = usize::try_from(pointer.direct()?).ok();
    let offset = address.and_then(|address| address.checked_sub(module.eh_frame.address));
    offset
        .map(EhFrameOffset)
        .ok_or(gimli::Error::OffsetOutOfBounds(0))
}

/// A module's `.eh_frame`, and the addresses that pointers in its tables are relative to.
fn sections(module: &Module) -> (EhFrame<Bytes>, BaseAddresses) {
    let mut eh_frame = EhFrame::new(module.eh_frame.bytes, LittleEndian);
    eh_frame.set_address_size(size_of::<usize>() as u8);
    let bases = BaseAddresses::default()
        .set_eh_frame(module.eh_frame.address as u64)
        .set_eh_frame_hdr(module.eh_frame_hdr.address as u64);
    (eh_frame, bases)
}

/// What evaluates a row in a frame.
struct Machine<'a, A, F> {
    section: EhFrame<Bytes>,
    encoding: Encoding,
    frame: Frame,
    lr: Option<usize>,
    read: &'a mut F,
    arch: std::marker::PhantomData<A>,
}

impl<A: Arch, F: FnMut(usize) -> Option<usize>> Machine<'_, A, F> {
    /// Stack pointer, return address and base pointer of the caller.
    fn caller(&mut self, columns: &Columns) -> Option<(usize, usize, usize)> {
        let cfa = match &columns.cfa {
            CfaRule::RegisterAndOffset { register, offset } => self
                .register(*register)?
                .checked_add_signed(*offset as isize)?,
            CfaRule::Expression(expression) => {
                let expression = expression.get(&self.section).ok()?;
                self.evaluate(expression, None)?
            }
        };
        let fp = match &columns.fp {
            Some(rule) => self.value(rule, cfa, Some(self.frame.fp)),
            None => None,
        };
        let fp = fp.unwrap_or(self.frame.fp);
        let ra = match &columns.ra {
            Some(rule) => self.value(rule, cfa, self.lr),
            None => self.lr,
        };
        let ra = match ra {
            Some(ra) => ra,
            None => (self.read)(A::implied_ra(cfa)?)?,
        };
        let advances =
            cfa > self.frame.sp || (cfa == self.frame.sp && ra != self.frame.at.wrapping_add(1));
        advances.then_some((cfa, ra, fp))
    }

    fn value(
        &mut self,
        rule: &RegisterRule<usize>,
        cfa: usize,
        unchanged: Option<usize>,
    ) -> Option<usize> {
        match rule {
            RegisterRule::SameValue => unchanged,
            RegisterRule::Offset(offset) => (self.read)(cfa.checked_add_signed(*offset as isize)?),
            RegisterRule::ValOffset(offset) => cfa.checked_add_signed(*offset as isize),
            RegisterRule::Register(register) => self.register(*register),
            RegisterRule::Expression(expression) => {
                let expression = expression.get(&self.section).ok()?;
                let at = self.evaluate(expression, Some(cfa))?;
                (self.read)(at)
            }
            RegisterRule::ValExpression(expression) => {
                let expression = expression.get(&self.section).ok()?;
                self.evaluate(expression, Some(cfa))
            }
            _ => None,
        }
    }

    fn register(&self, register: Register) -> Option<usize> {
        match register {
            _ if register == A::SP => Some(self.frame.sp),
            _ if register == A::FP => Some(self.frame.fp),
            _ if register == A::RA => Some(self.lr.unwrap_or(self.frame.at.wrapping_add(1))),
            _ => None,
        }
    }

    fn evaluate(&mut self, expression: Expression<Bytes>, cfa: Option<usize>) -> Option<usize> {
        let mut evaluation = Evaluation::<Bytes, Room>::new_in(expression.0, self.encoding);
        evaluation.set_max_iterations(MAX_OPERATIONS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa as u64);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.register(register)? as u64;
                    evaluation
                        .resume_with_register(Value::Generic(value))
                        .ok()?
                }
                // Parts of words are not what unwind tables ask for.
                EvaluationResult::RequiresMemory { address, size, .. }
                    if usize::from(size) == size_of::<usize>() =>
                {
                    let value = (self.read)(usize::try_from(address).ok()?)? as u64;
                    evaluation.resume_with_memory(Value::Generic(value)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result().last()?.location {
            Location::Address { address } => usize::try_from(address).ok(),
            _ => None,
        }
    }
}
