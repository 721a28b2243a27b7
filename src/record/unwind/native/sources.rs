//! What a walk goes by: code, and the memory of a stack. Other ones in tests.
#![allow(unsafe_code)]

use super::row::{Frame, Step};
use crate::record::memory::{StackMemory, Word};

/// What leads from frame to frame.
pub(super) trait Code {
    type Rule: Copy;

    /// The rule at an address; `None` if there is no code that is known.
    fn rule(&mut self, address: usize) -> Option<Self::Rule>;

    /// The caller of a frame, where all is as usual; else [`step`](Self::step) is to be asked.
    fn caller(
        &mut self,
        rule: Self::Rule,
        frame: Frame,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Option<Frame>;

    /// A step of any kind; from where a walk starts, with the link register.
    fn step(
        &mut self,
        rule: Self::Rule,
        frame: Frame,
        lr: Option<usize>,
        read: &mut impl FnMut(usize) -> Option<usize>,
    ) -> Step;

    /// What the rules are from, other than 0; 0 if it has changed since the walk began.
    fn generation(&self) -> usize;
}

/// Where words are read. Not a thread's stack in tests.
pub(super) trait Memory {
    fn read(&mut self, address: usize) -> Option<usize>;

    fn direct(&self) -> std::ops::Range<usize>;

    /// # Safety
    ///
    /// The address is aligned and in [`direct`](Self::direct).
    unsafe fn read_direct(&self, address: usize) -> usize;

    fn first_changed(&mut self, words: &[Word]) -> Option<usize>;

    /// # Safety
    ///
    /// The words' addresses are aligned and in [`direct`](Self::direct).
    unsafe fn first_changed_direct(&self, words: &[Word]) -> Option<usize>;
}

impl Memory for StackMemory<'_> {
    #[inline(always)]
    fn read(&mut self, address: usize) -> Option<usize> {
        self.read(address)
    }

    fn direct(&self) -> std::ops::Range<usize> {
        self.direct()
    }

    #[inline(always)]
    unsafe fn read_direct(&self, address: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.read_direct(address) }
    }

    fn first_changed(&mut self, words: &[Word]) -> Option<usize> {
        self.first_changed(words)
    }

    #[inline(always)]
    unsafe fn first_changed_direct(&self, words: &[Word]) -> Option<usize> {
        // SAFETY: the caller's promise.
        unsafe { self.first_changed_direct(words) }
    }
}
