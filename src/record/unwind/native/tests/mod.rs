//! The walk against framehop, against itself without memory, on made-up stacks and on real ones.
#![allow(unsafe_code)]

mod made_up;
mod oracle;
mod real;
mod rules;

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::LastWalk;
use crate::record::memory::PageCopies;
use crate::record::{memory, modules};

/// The table and the list are the process's, so tests that change or need them take turns.
fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if modules::current().is_none() {
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
