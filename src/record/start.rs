//! What is done once in a program, by one thread, while the others go on without it. Pure, so that it can
//! be modelled.

use super::sync::atomic::{AtomicU32, Ordering};

/// 0 before the start, [`DONE`] after it, meanwhile the number of the process that is starting.
#[derive(Debug)]
pub(crate) struct Start(AtomicU32);

const DONE: u32 = u32::MAX;

impl Start {
    pub(crate) const fn new() -> Start {
        Start(AtomicU32::new(0))
    }

    /// Whether all is set up; the first one to ask does it. The others do not wait for it, as it may wait
    /// for a lock that they hold.
    pub(crate) fn is_done(&self, me: impl FnOnce() -> u32, set_up: impl FnOnce()) -> bool {
        // Acquire: pairs with the release in `begin`; who sees "done" sees what was set up.
        match self.0.load(Ordering::Acquire) {
            DONE => true,
            by => self.begin(by, me(), set_up),
        }
    }

    #[cold]
    fn begin(&self, by: u32, me: u32, set_up: impl FnOnce()) -> bool {
        // A process that was forked during the start begins anew: the thread that was starting is not
        // in it.
        // Relaxed: nothing is read before the release below.
        let mine = by != me
            && self
                .0
                .compare_exchange(by, me, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            set_up();
            // Release: pairs with the acquire in `is_done`.
            self.0.store(DONE, Ordering::Release);
        }
        mine
    }
}

#[cfg(test)]
mod tests;
