//! The walk by our own reading of the unwind tables.

#[cfg(any(test, target_arch = "aarch64"))]
mod aarch64;
mod cfi;
mod last;
mod row;
mod table;
#[cfg(test)]
mod tests;
#[cfg(any(test, target_arch = "x86_64"))]
mod x86_64;

use super::{End, Registers};
use crate::config::MAX_DEPTH;
use crate::record::memory::StackMemory;
use crate::record::modules::{self, ModuleList};
use crate::record::stack::{self, Stack};

#[cfg(target_arch = "aarch64")]
use aarch64::{Aarch64 as Native, Rule};
#[cfg(target_arch = "x86_64")]
use x86_64::{Amd64 as Native, Rule};

use cfi::{Found, Gap};
pub(crate) use last::LastWalk;
use last::{Code, Memory};
use row::{Frame, Row, Step};
use table::Table;

/// Steps after which a walk is going in circles: the depth limit, and room for the frames of the
/// allocator.
const MAX_STEPS: usize = MAX_DEPTH + 64;

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

/// Puts the return addresses outside of a function into the stack, innermost first and without the
/// allocator's own; with the thread's last walk, only what changed since is unwound.
#[inline(never)]
pub(crate) fn walk(
    from: &Registers,
    memory: &mut StackMemory<'_>,
    last: Option<&mut LastWalk>,
    stack: &mut Stack,
) {
    stack.clear();
    let Some(list) = modules::current() else {
        stack.set(&[], 0, End::Lost);
        return;
    };
    let mut code = Tables {
        list,
        table: Table::current(),
        changed: false,
        missed: false,
    };
    let start = Frame {
        sp: from.sp,
        at: from.ip,
        fp: from.fp,
    };
    match last {
        Some(last) => last::walk(
            &mut code,
            memory,
            (start, from.lr),
            last,
            &stack::is_plumbing,
            stack,
        ),
        None => walk_all(
            &mut code,
            memory,
            (start, from.lr),
            &stack::is_plumbing,
            stack,
        ),
    }
    if code.missed {
        table::grow_if_needed();
    }
}

/// A walk that remembers nothing.
fn walk_all<C: Code, M: Memory>(
    code: &mut C,
    memory: &mut M,
    (mut frame, mut lr): (Frame, Option<usize>),
    is_plumbing: &impl Fn(usize) -> bool,
    stack: &mut Stack,
) {
    let mut in_plumbing = true;
    let mut end = End::Lost;
    let mut rule = code.rule(frame.at);
    for _ in 0..MAX_STEPS {
        let Some(known) = rule else { break };
        if let Some(caller) = code.caller(known, frame, &mut |at| memory.read(at)) {
            frame = caller;
        } else {
            match code.step(known, frame, lr, &mut |at| memory.read(at)) {
                Step::To(next) => frame = next,
                Step::Reached => {
                    end = End::Reached;
                    break;
                }
                Step::Lost => break,
            }
        }
        lr = None;
        rule = code.rule(frame.at);
        let address = frame.at.wrapping_add(1);
        in_plumbing = in_plumbing && is_plumbing(address);
        if rule.is_some() && !in_plumbing && !stack.push(address) {
            end = End::Reached;
            break;
        }
    }
    stack.finish(end);
}

/// The rules of loaded code.
struct Tables {
    list: &'static ModuleList,
    table: Table,
    /// Whether `list` has been replaced since the walk began.
    changed: bool,
    missed: bool,
}

impl Code for Tables {
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
        if self.changed {
            0
        } else {
            std::ptr::from_ref(self.list) as usize
        }
    }
}

impl Tables {
    #[cold]
    #[inline(never)]
    fn learn(&mut self, address: usize) -> Option<Rule> {
        if self.list.find(address).is_none() {
            if !modules::discover(address) {
                // Code that was made at run time, or no code at all.
                return None;
            }
            self.list = modules::current()?;
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
