//! Walking only what changed since the thread's last walk.
//!
//! Which frame a step outwards leads to depends on nothing but the frame's stack pointer, address and
//! base pointer, the words of the stack that the step reads, and the unwind tables. So from a frame
//! that the last walk met as well, with the same three registers and under the same list of modules,
//! all further frames are the same as then, as far as all words that were read there have the value
//! that they had: by induction, each step starts from the same frame and reads the same words at the
//! same places. Comparing them is a loop over plain loads. Where a word differs, the frame whose step
//! read it is still right, and unwinding goes on from there.
//!
//! What depends on anything else is not remembered: a word that could not be read might be readable
//! later, and a module that is unknown might be known.
#![allow(unsafe_code)]

use crate::config::MAX_DEPTH;
use crate::record::memory::Word;
use crate::record::stack::{Captured, hash_outwards};
use crate::record::unwind::End;

use super::met::{FRAMES, LastWalk, Met, WORDS};
use super::row::{Frame, Step};
use super::sources::{Code, Memory};

/// A walk that is going on.
struct Walk<'a, 'm, M> {
    last: &'a mut LastWalk,
    memory: &'m mut M,
    /// Frames of this walk, and words that it read, at the starts of their arrays.
    new: usize,
    new_words: usize,
    /// Place of the innermost remembered frame that may still be met again, never before `new`, and of
    /// the first word that was read from there, never before `new_words`.
    kept: usize,
    kept_words: usize,
    /// That frame's stack pointer, above all others if there is none.
    kept_sp: usize,
    /// Frames from the first one on that is not the allocator's.
    visible: usize,
    /// If not 0, all words so far were read directly, none lay below the stack pointer of the frame
    /// whose step read it, stack pointers have only risen, and what is read directly ends here.
    direct_end: usize,
    /// Whether something that a step depends on could not be noted.
    incomplete: bool,
    /// Whether a word of the present step could not be read.
    unreadable: bool,
}

/// Walks, with the outcome that a walk without memory has.
pub(super) fn walk<'a, C: Code, M: Memory>(
    code: &mut C,
    memory: &mut M,
    (from, lr): (Frame, Option<usize>),
    last: &'a mut LastWalk,
    is_plumbing: &impl Fn(usize) -> bool,
) -> Captured<'a> {
    let direct = memory.direct();
    let direct_end = if direct.contains(&from.sp) {
        direct.end
    } else {
        0
    };
    // What cannot be compared by plain loads here is soon replaced by what can.
    let usable = last.generation == code.generation() && last.direct_end == direct_end;
    let mut walk = Walk {
        last,
        memory,
        new: 0,
        new_words: 0,
        kept: FRAMES,
        kept_words: WORDS,
        kept_sp: usize::MAX,
        visible: 0,
        direct_end,
        incomplete: false,
        unreadable: false,
    };
    if usable {
        walk.keep_from(FRAMES.saturating_sub(walk.last.len));
    }
    let ended = walk.run(code, from, lr, is_plumbing);
    walk.finish(&ended, code.generation(), is_plumbing)
}

/// How a walk ended.
struct Ended {
    /// Place of the innermost remembered frame that is a part of it.
    kept: usize,
    /// Whether the outermost frame is the thread's first, by what was noted alone.
    reached: bool,
    end: End,
}

impl<'a, M: Memory> Walk<'a, '_, M> {
    fn run<C: Code>(
        &mut self,
        code: &mut C,
        from: Frame,
        mut lr: Option<usize>,
        is_plumbing: &impl Fn(usize) -> bool,
    ) -> Ended {
        let new = |end| Ended {
            kept: FRAMES,
            reached: false,
            end,
        };
        let mut frame = from;
        let Some(mut rule) = code.rule(from.at) else {
            return new(End::Lost);
        };
        while self.visible <= MAX_DEPTH {
            let words_before = self.new_words;
            self.unreadable = false;
            let usual = code.caller(rule, frame, &mut |at| self.read(frame.sp, at));
            let next = if let Some(next) = usual {
                next
            } else {
                self.new_words = words_before;
                match code.step(rule, frame, lr, &mut |at| self.read(frame.sp, at)) {
                    Step::To(next) => next,
                    Step::Reached => {
                        let reached = !self.unreadable;
                        return Ended {
                            reached,
                            ..new(End::Reached)
                        };
                    }
                    Step::Lost => {
                        // The step is made again next time.
                        self.new_words = words_before;
                        return new(End::Lost);
                    }
                }
            };
            lr = None;
            self.incomplete |= self.unreadable;
            self.stays_direct(next.sp >= frame.sp);
            if self.new == 0 {
                // Where the walk starts is not remembered, so neither is how it leads to its caller.
                self.new_words = 0;
            }
            let is_new = !self.meets(next);
            frame = next;
            if !is_new {
                match self.first_changed() {
                    None if self.is_whole(is_plumbing) => {
                        let reached = self.last.reached;
                        let end = if reached { End::Reached } else { End::Lost };
                        let kept = self.kept;
                        return Ended { kept, reached, end };
                    }
                    changed => self.take_over(changed.unwrap_or(FRAMES - 1)),
                }
                self.visible = self.count_visible(self.new, is_plumbing);
                frame = self.last.frame(self.new - 1);
            }
            let Some(known) = code.rule(frame.at) else {
                if is_new {
                    self.new_words = self.new_words.min(words_before);
                }
                return new(End::Lost);
            };
            rule = known;
            if is_new && !self.push(next, is_plumbing) {
                return new(End::Lost);
            }
        }
        new(End::Reached)
    }

    /// Reads a word for the step from the frame at a stack pointer, and notes it.
    #[inline(always)]
    fn read(&mut self, sp: usize, address: usize) -> Option<usize> {
        let value = if sp <= address && address < self.direct_end && address.is_multiple_of(8) {
            // SAFETY: while `direct_end` is not 0, the walk's stack pointers have only risen from
            // one that is in what is read directly, and that ends there.
            unsafe { self.memory.read_direct(address) }
        } else {
            self.read_elsewhere(address)?
        };
        if self.new_words == self.kept_words {
            self.make_room_for_words();
        }
        match self.last.words.get_mut(self.new_words) {
            Some(word) => {
                *word = Word { address, value };
                self.new_words += 1;
            }
            None => self.incomplete = true,
        }
        Some(value)
    }

    #[inline(never)]
    fn read_elsewhere(&mut self, address: usize) -> Option<usize> {
        let value = self.memory.read(address);
        self.unreadable |= value.is_none();
        self.stays_direct(value.is_none());
        value
    }

    fn stays_direct(&mut self, stays: bool) {
        if !stays {
            self.direct_end = 0;
        }
    }

    /// Forgets what is remembered where the room for it is needed.
    #[cold]
    fn make_room_for_words(&mut self) {
        self.keep_from(FRAMES);
    }

    fn keep_from(&mut self, place: usize) {
        self.kept = place;
        self.kept_words = WORDS.saturating_sub(self.last.words_of(place));
        self.kept_sp = self.last.frames.get(place).map_or(usize::MAX, |met| met.sp);
    }

    /// Whether a frame is a remembered one, which is then the innermost that is kept. Stack pointers
    /// rise from frame to frame.
    #[inline(always)]
    fn meets(&mut self, frame: Frame) -> bool {
        if frame.sp < self.kept_sp {
            return false;
        }
        let mut place = self.kept;
        while let Some(met) = self.last.frames.get(place)
            && met.sp < frame.sp
        {
            place += 1;
        }
        if place != self.kept {
            self.keep_from(place);
        }
        place < FRAMES && self.last.frame(place) == frame
    }

    /// Place of the innermost kept frame whose step outwards read a word that has changed.
    fn first_changed(&mut self) -> Option<usize> {
        let words = self.last.words.get(self.kept_words..).unwrap_or_default();
        let sp = self.last.frame(self.kept).sp;
        let changed = if self.last.direct_end != 0 && self.memory.direct().start <= sp {
            // SAFETY: the words are aligned and lie between this frame's stack pointer and
            // `direct_end`, which is the end of what is read directly, or nothing would be kept.
            unsafe { self.memory.first_changed_direct(words) }
        } else {
            self.memory.first_changed(words)
        };
        let from_there = words.len() - changed?;
        let outer = (self.kept..FRAMES).skip(1);
        let inner = outer.take_while(|place| self.last.words_of(*place) >= from_there);
        Some(inner.last().unwrap_or(self.kept))
    }

    /// Whether all kept frames together with the new ones are a stack: nothing further out is wanted.
    fn is_whole(&self, is_plumbing: &impl Fn(usize) -> bool) -> bool {
        self.last.reached || {
            let kept = self.last.addresses.get(self.kept..).unwrap_or_default();
            let visible = if self.visible > 0 {
                kept.len()
            } else {
                kept.iter()
                    .skip_while(|address| is_plumbing(**address))
                    .count()
            };
            self.visible + visible > MAX_DEPTH
        }
    }

    /// Makes the kept frames up to this one new ones, as if they had been unwound.
    fn take_over(&mut self, to: usize) {
        let (from, after) = (self.kept, to + 1);
        let words = self.last.words_of(from) - self.last.words_of(to);
        let words_end = self.kept_words + words;
        let before = self.new_words + self.last.words_of(from);
        for met in self.last.frames.get_mut(from..after).unwrap_or_default() {
            met.words = before - met.words;
        }
        self.last.frames.copy_within(from..after, self.new);
        self.last.addresses.copy_within(from..after, self.new);
        self.last
            .words
            .copy_within(self.kept_words..words_end, self.new_words);
        self.new += after - from;
        self.new_words += words;
        self.stays_direct(self.last.direct_end != 0);
        self.keep_from(after);
    }

    fn count_visible(&self, new: usize, is_plumbing: &impl Fn(usize) -> bool) -> usize {
        let addresses = self.last.addresses.get(..new).unwrap_or_default();
        let visible = addresses
            .iter()
            .skip_while(|address| is_plumbing(**address));
        visible.count()
    }

    /// Adds a frame; false if there is no room.
    #[inline(always)]
    fn push(&mut self, frame: Frame, is_plumbing: &impl Fn(usize) -> bool) -> bool {
        if self.new == self.kept {
            self.keep_from(FRAMES);
        }
        let address = frame.at.wrapping_add(1);
        let (Some(met), Some(place)) = (
            self.last.frames.get_mut(self.new),
            self.last.addresses.get_mut(self.new),
        ) else {
            return false;
        };
        *met = Met {
            sp: frame.sp,
            fp: frame.fp,
            hash: 0,
            words: self.new_words,
        };
        *place = address;
        self.new += 1;
        self.visible += usize::from(self.visible > 0 || !is_plumbing(address));
        true
    }

    /// Remembers all frames. The stack is those outside of the allocator.
    fn finish(
        mut self,
        ended: &Ended,
        generation: usize,
        is_plumbing: &impl Fn(usize) -> bool,
    ) -> Captured<'a> {
        if ended.kept < FRAMES {
            self.stays_direct(self.last.direct_end != 0);
        }
        let start = ended.kept - self.new;
        if self.new > 0 {
            self.move_new(start, ended.kept);
        }
        let last = self.last;
        last.len = if self.incomplete { 0 } else { FRAMES - start };
        last.generation = generation;
        last.reached = ended.reached;
        last.direct_end = self.direct_end;

        let addresses = last.addresses.get(start..).unwrap_or_default();
        let plumbing = addresses
            .iter()
            .take_while(|address| is_plumbing(**address));
        let first = start + plumbing.count();
        let addresses = last.addresses.get(first..).unwrap_or_default();
        let hash = last.frames.get(first).map_or(0, |met| met.hash);
        Captured::new(addresses, hash, ended.end)
    }

    /// Moves the new frames, and their words, to the kept ones.
    fn move_new(&mut self, start: usize, kept: usize) {
        let outer_words = self.last.words_of(kept);
        let words_start = WORDS - outer_words - self.new_words;
        let last = &mut *self.last;
        last.frames.copy_within(..self.new, start);
        last.addresses.copy_within(..self.new, start);
        last.words.copy_within(..self.new_words, words_start);
        let mut hash = last.frames.get(kept).map_or(0, |met| met.hash);
        let frames = last.frames.get_mut(start..kept).unwrap_or_default();
        let addresses = last.addresses.get(start..kept).unwrap_or_default();
        for (met, address) in frames.iter_mut().zip(addresses).rev() {
            hash = hash_outwards(hash, *address);
            met.hash = hash;
            met.words = outer_words + self.new_words - met.words;
        }
    }
}
