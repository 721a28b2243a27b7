//! For targets whose unwind tables we do not read: the platform's unwinder.
#![allow(unsafe_code)]

use super::{End, Registers};
use crate::config::MAX_DEPTH;
use crate::record::memory::StackMemory;
use crate::record::stack::{Captured, hash_of};

/// Where the frames are put: the platform's unwinder walks the whole stack each time.
#[repr(C)]
pub(crate) struct LastWalk {
    /// One more than are wanted shows that there are more.
    frames: [usize; MAX_DEPTH + 1],
}

pub(crate) fn prepare() {}

pub(crate) fn maintain() {}

pub(crate) fn modules_changed() {}

/// The return addresses outside of a function.
pub(crate) fn walk<'a>(
    from: &Registers,
    _memory: &mut StackMemory<'_>,
    last: &'a mut LastWalk,
) -> Captured<'a> {
    let mut outside = false;
    let mut room = last.frames.iter_mut();
    // SAFETY: the caller is muted, so a thread that re-enters does so only through a signal
    // handler, in which malloc is not allowed.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            // The outermost frame returns nowhere.
            let ip = frame.ip() as usize;
            // Once outside, always: a stack that grew in pieces may go on at lower addresses.
            outside |= frame.sp() as usize > from.sp;
            if !outside || ip == 0 {
                return ip != 0;
            }
            match room.next() {
                Some(place) => *place = ip,
                None => return false,
            }
            true
        });
    }
    let unused = room.len();
    let frames = last.frames.get(..last.frames.len() - unused);
    let frames = frames.unwrap_or_default();
    // Whether the first function was reached is not known.
    Captured::new(frames, hash_of(frames), End::Reached)
}
