//! What the last walk of a thread met.
//!
//! Frames lie innermost first, the outermost one at the end of its array. So an unchanged outer part
//! stays where it is, and the new inner frames are put before it.

use super::row::Frame;
use crate::config::MAX_DEPTH;
use crate::record::memory::Word;

/// Frames after which a walk is going in circles: the depth limit, and room for the frames of the
/// allocator.
pub(super) const FRAMES: usize = MAX_DEPTH + 64;
pub(super) const WORDS: usize = 2 * FRAMES;

/// A frame that was met, but for its address.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Met {
    pub(super) sp: usize,
    pub(super) fp: usize,
    /// Of this frame and all outer ones.
    pub(super) hash: u64,
    /// How many words were read from this frame on outwards; while a walk is going on, of its own
    /// frames, how many had been read before.
    pub(super) words: usize,
}

/// What the last walk met. All zeroes are no walk.
///
/// If `direct_end` is not 0, all words are aligned, none lies below the stack pointer of the frame
/// whose step read it or of any frame further in, and all end at or below `direct_end`.
#[repr(C)]
pub(crate) struct LastWalk {
    pub(super) generation: usize,
    pub(super) direct_end: usize,
    /// Frames that are remembered, at the end of their arrays.
    pub(super) len: usize,
    /// Whether the outermost frame is the thread's first.
    pub(super) reached: bool,
    pub(super) frames: [Met; FRAMES],
    /// Return addresses.
    pub(super) addresses: [usize; FRAMES],
    pub(super) words: [Word; WORDS],
}

impl LastWalk {
    pub(super) fn frame(&self, place: usize) -> Frame {
        match (self.frames.get(place), self.addresses.get(place)) {
            (Some(met), Some(address)) => Frame {
                sp: met.sp,
                at: address.wrapping_sub(1),
                fp: met.fp,
            },
            _ => Frame::default(),
        }
    }

    /// How many words were read from a remembered frame on outwards.
    pub(super) fn words_of(&self, place: usize) -> usize {
        self.frames.get(place).map_or(0, |met| met.words)
    }
}
