//! The walk with memory against the one without, on made-up stacks that change.

use std::ops::Range;

use proptest::prelude::*;

use super::super::row::{Frame, Step};
use super::super::sources::{Code, Memory};
use super::super::x86_64;
use super::super::{LastWalk, last};
use super::{Walked, no_copies, no_walk, walk_all};
use crate::record::memory::{StackMemory, Word};
use crate::record::sampler::mix;

const CODE: Range<usize> = 0x10_0000..0x10_0040;
const ROOM: usize = 4096;

/// Rules by address: most give the stack pointer, some need the base pointer, one is the end.
struct MadeUp {
    generation: usize,
    steps: usize,
}

fn rule_at(address: usize) -> x86_64::Rule {
    let number = mix(address as u64) as usize;
    let words = 2 + number % 6;
    let saved = match number >> 8 & 3 {
        0 => 0,
        1 => 2,
        _ => words.min(2 + number % 3),
    };
    if address == CODE.start {
        x86_64::Rule(3)
    } else if number >> 16 & 3 == 0 {
        x86_64::Rule(2)
    } else {
        x86_64::Rule((words << 4 | saved) as u16)
    }
}

impl Code for MadeUp {
    type Rule = x86_64::Rule;

    fn rule(&mut self, address: usize) -> Option<x86_64::Rule> {
        CODE.contains(&address).then(|| rule_at(address))
    }

    fn caller(
        &mut self,
        rule: x86_64::Rule,
        frame: Frame,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<Frame> {
        self.steps += 1;
        rule.caller(frame, read)
    }

    fn step(
        &mut self,
        rule: x86_64::Rule,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Step {
        rule.step(frame, lr, read).unwrap_or(Step::Lost)
    }

    fn generation(&self) -> usize {
        self.generation
    }
}

/// A stack in which functions call and return.
struct Calls {
    words: Vec<usize>,
    /// Outermost first.
    frames: Vec<Frame>,
    /// Whether its words may be read directly.
    direct: bool,
}

impl Memory for Calls {
    fn read(&mut self, address: usize) -> Option<usize> {
        let at = address.checked_sub(self.bounds().start)?;
        at.is_multiple_of(8)
            .then(|| self.words.get(at / 8).copied())?
    }

    fn direct(&self) -> Range<usize> {
        if self.direct {
            self.frames.last().map_or(0, |frame| frame.sp)..self.bounds().end
        } else {
            0..0
        }
    }

    unsafe fn read_direct(&self, address: usize) -> usize {
        assert!(self.direct().contains(&address), "{address:x?}");
        self.words[(address - self.bounds().start) / 8]
    }

    fn first_changed(&mut self, words: &[Word]) -> Option<usize> {
        words
            .iter()
            .position(|word| self.read(word.address) != Some(word.value))
    }

    unsafe fn first_changed_direct(&self, words: &[Word]) -> Option<usize> {
        for word in words {
            assert!(self.direct().contains(&word.address), "{word:x?}");
            assert!(word.address.is_multiple_of(8));
        }
        // SAFETY: checked just now.
        unsafe { StackMemory::new(0, &mut no_copies()).first_changed_direct(words) }
    }
}

impl Calls {
    fn new(direct: bool) -> Calls {
        let mut calls = Calls {
            words: vec![0; ROOM],
            frames: Vec::new(),
            direct,
        };
        calls.frames.push(Frame {
            sp: calls.bounds().end - 64,
            at: CODE.start,
            fp: 0,
        });
        calls
    }

    fn bounds(&self) -> Range<usize> {
        let start = self.words.as_ptr().expose_provenance();
        start..start + ROOM * 8
    }

    fn write(&mut self, address: usize, value: usize) {
        let at = (address - self.bounds().start) / 8;
        self.words[at] = value;
    }

    fn call(&mut self, seed: u64) {
        let caller = *self.frames.last().unwrap();
        let number = mix(seed) as usize;
        let at = CODE.start + 1 + number % (CODE.len() - 1);
        if caller.sp < self.bounds().start + 1024 {
            return;
        }
        let rule = rule_at(at);
        let (words, saved) = (usize::from(rule.0 >> 4), usize::from(rule.0 & 15));
        let frame = if words > 0 {
            self.write(caller.sp - saved.max(2) * 8, caller.fp);
            Frame {
                sp: caller.sp - words * 8,
                at,
                fp: if saved == 0 { caller.fp } else { number },
            }
        } else {
            self.write(caller.sp - 16, caller.fp);
            Frame {
                sp: caller.sp - 16 - number % 4 * 8,
                at,
                fp: caller.sp - 16,
            }
        };
        self.write(caller.sp - 8, caller.at + 1);
        self.frames.push(frame);
    }

    fn run(&mut self, change: &Change) {
        match *change {
            Change::Calls(count, seed) => (0..count).for_each(|number| self.call(seed ^ number)),
            Change::Returns(count) => {
                let left = self.frames.len().saturating_sub(count).max(1);
                self.frames.truncate(left);
            }
            Change::Word(at, kind) => {
                let end = self.words.len();
                let value = match kind % 4 {
                    0 => 0,
                    1 => CODE.start + 1 + usize::from(kind) % CODE.len(),
                    2 => self.bounds().start + at % end * 8,
                    _ => usize::from(kind),
                };
                // Among the innermost words, where frames are.
                let sp = self.frames.last().unwrap().sp;
                let first = (sp - self.bounds().start) / 8;
                self.words[first + at % (end - first)] = value;
            }
            Change::Again | Change::Modules | Change::Other => {}
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Calls(u64, u64),
    Returns(usize),
    Word(usize, u16),
    Again,
    /// The list of modules is another one.
    Modules,
    /// Another thread's turn.
    Other,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        6 => (1_u64..12, any::<u64>()).prop_map(|(count, seed)| Change::Calls(count, seed)),
        1 => (100_u64..260, any::<u64>()).prop_map(|(count, seed)| Change::Calls(count, seed)),
        6 => (1_usize..12).prop_map(Change::Returns),
        1 => (50_usize..200).prop_map(Change::Returns),
        2 => (any::<usize>(), any::<u16>()).prop_map(|(at, kind)| Change::Word(at, kind)),
        2 => Just(Change::Again),
        1 => Just(Change::Modules),
        1 => Just(Change::Other),
    ];
    prop::collection::vec(change, 1..80)
}

fn is_plumbing(address: usize) -> bool {
    address % 16 == 5
}

fn walk_both(code: &mut MadeUp, calls: &mut Calls, last: &mut LastWalk) -> [Walked; 2] {
    let from = (*calls.frames.last().unwrap(), None);
    let whole = walk_all(code, calls, from, &is_plumbing);
    [
        whole,
        last::walk(code, calls, from, last, &is_plumbing).into(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// A remembered frame that is no longer there would count memory at a call site that never
    /// allocated it.
    #[test]
    fn what_is_remembered_is_what_is_there(changes in changes(), direct: [bool; 2]) {
        let mut threads = direct.map(Calls::new);
        let mut last = no_walk();
        let mut code = MadeUp { generation: 1, steps: 0 };
        let mut thread = 0;
        for change in &changes {
            match change {
                Change::Modules => code.generation += 1,
                Change::Other => thread = 1 - thread,
                _ => threads[thread].run(change),
            }
            let [whole, remembered] = walk_both(&mut code, &mut threads[thread], &mut last);
            prop_assert_eq!(remembered, whole, "after {:?}", change);
        }
    }
}

/// The point of remembering: what did not change is not unwound, however deep the stack is.
#[test]
fn an_unchanged_stack_is_not_unwound() {
    for (direct, depth) in [(true, 30), (false, 30), (true, 100), (true, 400)] {
        let mut calls = Calls::new(direct);
        (0..depth).for_each(|seed| calls.call(seed));
        let mut code = MadeUp {
            generation: 1,
            steps: 0,
        };
        let mut last = no_walk();
        let [whole, _] = walk_both(&mut code, &mut calls, &mut last);
        assert!(whole.frames.len() as u64 >= depth.min(128) - 8, "{depth}");
        for (change, most) in [
            (Change::Again, 1),
            (Change::Returns(3), 1),
            (Change::Calls(2, 7), 3),
        ] {
            calls.run(&change);
            let from = *calls.frames.last().unwrap();
            code.steps = 0;
            last::walk(&mut code, &mut calls, (from, None), &mut last, &is_plumbing);
            // Where the depth limit cut the stack, what it hid comes into view.
            let shown = if depth > 128 { 3 } else { 0 };
            assert!(
                code.steps <= most + shown,
                "{depth} {change:?}: {} steps",
                code.steps
            );
        }
    }
}
