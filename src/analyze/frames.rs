//! How many frames one answer may have.

use crate::snapshot::Frame;

/// Bytes that the frames of one answer may take, about.
const MAX_FRAME_BYTES: usize = 8 << 20;

/// What a frame takes beyond its names.
const FRAME_BYTES: usize = 120;

/// Deals out the frames of an answer: rows have theirs whole, from the first on, until no more fit.
#[derive(Debug)]
pub(crate) struct FrameBudget {
    left: usize,
    /// Rows that had to do without.
    pub(crate) cut: usize,
}

impl Default for FrameBudget {
    fn default() -> Self {
        FrameBudget {
            left: MAX_FRAME_BYTES,
            cut: 0,
        }
    }
}

impl FrameBudget {
    /// Whether the next row has its frames.
    pub(crate) fn admits(&mut self, frames: &[&Frame]) -> bool {
        let bytes = |frame: &&Frame| {
            FRAME_BYTES + frame.function.len() + frame.file.as_ref().map_or(0, |file| file.len())
        };
        let bytes: usize = frames.iter().map(bytes).sum();
        if self.cut > 0 || bytes > self.left {
            self.cut += 1;
            return false;
        }
        self.left -= bytes;
        true
    }
}
