//! The walk against framehop, against itself without memory, on made-up stacks and on real ones.
#![allow(unsafe_code)]

mod made_up;
mod oracle;
mod real;
mod rules;

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::row::{Frame, Step};
use super::sources::{Code, Memory};
use super::{LastWalk, Registers, StackMemory, Tables, stack, start};
use crate::config::MAX_DEPTH;
use crate::record::memory::{self, PageCopies};
use crate::record::modules::{self, ListReader};
use crate::record::stack::{Captured, hash_of};

/// The table and the list are the process's, so tests that change or need them take turns.
fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if ListReader::start().current().is_none() {
        memory::prepare();
        super::prepare();
        modules::load();
    }
    turn
}

/// What zeroed pages hold.
fn zeroed<T>() -> Box<T> {
    let layout = std::alloc::Layout::new::<T>();
    // SAFETY: only used for what is valid as zeroes; the block is checked and has this layout.
    unsafe {
        let block = std::alloc::alloc_zeroed(layout);
        assert!(!block.is_null());
        Box::from_raw(block.cast())
    }
}

fn no_walk() -> Box<LastWalk> {
    zeroed()
}

fn no_copies() -> Box<PageCopies> {
    zeroed()
}

/// A stack of one's own.
#[derive(Debug, Default, PartialEq)]
struct Walked {
    frames: Vec<usize>,
    hash: u64,
    truncated: bool,
}

impl From<Captured<'_>> for Walked {
    fn from(stack: Captured<'_>) -> Walked {
        Walked {
            frames: stack.frames.to_vec(),
            hash: stack.hash,
            truncated: stack.truncated,
        }
    }
}

/// A walk that remembers nothing.
#[inline(never)]
fn walk_plainly(from: &Registers, memory: &mut StackMemory<'_>) -> Walked {
    let reading = ListReader::start();
    let mut code = Tables::current(&reading).expect("the modules are loaded");
    walk_all(&mut code, memory, start(from), &stack::is_plumbing)
}

fn walk_all<C: Code, M: Memory>(
    code: &mut C,
    memory: &mut M,
    (mut frame, mut lr): (Frame, Option<usize>),
    is_plumbing: &impl Fn(usize) -> bool,
) -> Walked {
    let mut frames = Vec::with_capacity(MAX_DEPTH + 1);
    let mut reached = false;
    let mut rule = code.rule(frame.at);
    while let Some(known) = rule
        && frames.len() <= MAX_DEPTH
    {
        if let Some(caller) = code.caller(known, frame, &mut |at| memory.read(at)) {
            frame = caller;
        } else {
            match code.step(known, frame, lr, &mut |at| memory.read(at)) {
                Step::To(next) => frame = next,
                Step::Reached => {
                    reached = true;
                    break;
                }
                Step::Lost => break,
            }
        }
        lr = None;
        rule = code.rule(frame.at);
        let address = frame.at.wrapping_add(1);
        if rule.is_some() && !(frames.is_empty() && is_plumbing(address)) {
            frames.push(address);
        }
    }
    let truncated = !reached || frames.len() > MAX_DEPTH;
    frames.truncate(MAX_DEPTH);
    Walked {
        hash: hash_of(&frames),
        frames,
        truncated,
    }
}
