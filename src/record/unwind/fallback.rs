//! For targets whose unwind tables we do not read: the platform's unwinder.
#![allow(unsafe_code)]

use super::{End, Registers};
use crate::record::memory::StackMemory;
use crate::record::stack::Stack;

/// Nothing: the platform's unwinder walks the whole stack each time.
#[repr(C)]
pub(crate) struct LastWalk {
    nothing: u8,
}

pub(crate) fn prepare() {}

pub(crate) fn maintain() {}

pub(crate) fn modules_changed() {}

/// Puts the return addresses outside of a function into the stack.
pub(crate) fn walk(
    from: &Registers,
    _memory: &mut StackMemory<'_>,
    _last: Option<&mut LastWalk>,
    stack: &mut Stack,
) {
    stack.clear();
    let mut outside = false;
    let mut full = false;
    // SAFETY: the caller is muted, so a thread that re-enters does so only through a signal
    // handler, in which malloc is not allowed.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            // The outermost frame returns nowhere.
            let ip = frame.ip() as usize;
            // Once outside, always: a stack that grew in pieces may go on at lower addresses.
            outside |= frame.sp() as usize > from.sp;
            if ip == 0 {
                return false;
            }
            full = outside && !stack.push(ip);
            !full
        });
    }
    stack.finish(if full { End::Reached } else { End::Lost });
    stack.truncated = full;
}
