//! The walk by our own reading of the unwind tables.

#[cfg(any(test, target_arch = "aarch64"))]
mod aarch64;
mod cfi;
mod last;
mod met;
mod row;
mod sources;
mod table;
#[cfg(test)]
mod tests;
#[cfg(any(test, target_arch = "x86_64"))]
mod x86_64;

use super::Registers;
use crate::record::memory::StackMemory;
use crate::record::module_list::ModuleList;
use crate::record::modules::{self, ListReader};
use crate::record::stack::{self, Captured};

#[cfg(target_arch = "aarch64")]
use aarch64::{Aarch64 as Native, Rule};
#[cfg(target_arch = "x86_64")]
use x86_64::{Amd64 as Native, Rule};

use cfi::{Found, Gap};
pub(crate) use met::LastWalk;
use row::{Frame, Row, Step};
use sources::Code;
use table::Table;

/// Gets the memory for the rules.
pub(crate) fn prepare() {
    table::prepare();
}

/// Grows the table of rules if need be.
pub(crate) fn maintain() {
    table::prepare();
    table::grow_if_needed();
}

/// Forgets all rules; called when another list of modules has been published.
pub(crate) fn modules_changed() {
    table::clear();
}

/// The return addresses outside of a function, innermost first and without the allocator's own. Only
/// what changed since the thread's last walk is unwound.
#[inline(never)]
pub(crate) fn walk<'a>(
    from: &Registers,
    memory: &mut StackMemory<'_>,
    last: &'a mut LastWalk,
) -> Captured<'a> {
    let reading = ListReader::start();
    let Some(mut code) = Tables::current(&reading) else {
        return Captured::NONE;
    };
    let stack = last::walk(&mut code, memory, start(from), last, &stack::is_plumbing);
    let Tables {
        changed, missed, ..
    } = code;
    if missed {
        table::grow_if_needed();
    }
    drop(reading);
    if changed {
        modules::maintain();
    }
    stack
}

/// Where a walk starts, and the link register there.
fn start(from: &Registers) -> (Frame, Option<usize>) {
    let frame = Frame {
        sp: from.sp,
        at: from.ip,
        fp: from.fp,
    };
    (frame, from.lr)
}

/// The rules of loaded code.
struct Tables<'a> {
    reading: &'a ListReader,
    list: &'a ModuleList,
    table: Table,
    /// Whether `list` has been replaced since the walk began.
    changed: bool,
    missed: bool,
}

impl Code for Tables<'_> {
    type Rule = Rule;

    #[inline(always)]
    fn rule(&mut self, address: usize) -> Option<Rule> {
        // What has a rule is in a module.
        self.table.find(address).or_else(|| self.learn(address))
    }

    #[inline(always)]
    fn caller(
        &mut self,
        rule: Rule,
        frame: Frame,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<Frame> {
        rule.caller(frame, read)
    }

    #[cold]
    #[inline(never)]
    fn step(
        &mut self,
        rule: Rule,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Step {
        match rule.step(frame, lr, read) {
            Some(step) => step,
            None => self.ask(frame, lr, read),
        }
    }

    fn generation(&self) -> usize {
        if self.changed { 0 } else { self.list.number }
    }
}

impl<'a> Tables<'a> {
    /// `None` while no module is known.
    fn current(reading: &'a ListReader) -> Option<Tables<'a>> {
        Some(Tables {
            reading,
            list: reading.current()?,
            table: Table::current(),
            changed: false,
            missed: false,
        })
    }

    #[cold]
    #[inline(never)]
    fn learn(&mut self, address: usize) -> Option<Rule> {
        if self.list.find(address).is_none() {
            if !modules::discover(address) {
                // Code that was made at run time, or no code at all.
                return None;
            }
            self.list = self.reading.current()?;
            self.changed = true;
        }
        let module = self.list.find(address)?;
        let row = match Found::at::<Native>(module, address) {
            Ok(found) => found.row::<Native>(),
            Err(Gap::Uncovered) => Row::Uncovered,
            Err(Gap::NoTable) => Row::NoTable,
        };
        let rule = Rule::of(&row);
        self.table.keep(address, rule, self.list);
        self.missed = true;
        Some(rule)
    }

    /// A step by a row that no rule says.
    fn ask(
        &mut self,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Step {
        let Some(module) = self.list.find(frame.at) else {
            return Step::Lost;
        };
        match Found::at::<Native>(module, frame.at) {
            Ok(found) => found.step::<Native>(module, frame, lr, read),
            Err(_) => Step::Lost,
        }
    }
}
