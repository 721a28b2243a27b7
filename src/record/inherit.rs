//! A number that a new thread gets from the thread that creates it.
//!
//! std has no stable hook for that, and `pthread_create` cannot be replaced by a library. The
//! kernel, though, hands some attributes of a thread to those that it creates, one of them a plain
//! number: the timer slack, by which timers of the thread may be late (`PR_SET_TIMERSLACK(2const)`).
//! It is 50 µs unless someone changed it. Numbers here are between that and 60 µs, which no program
//! can tell from lateness that it must expect anyhow.
#![allow(unsafe_code)]

/// The usual slack in nanoseconds, which stands for no number.
const USUAL: u32 = 50_000;
/// Numbers are below this.
pub(crate) const NUMBERS: u32 = 10_000;

/// What [`take_back`] needs: the slack before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before(u32);

/// Gives this thread a number below [`NUMBERS`], which threads that it creates from now on inherit. `None` if that
/// cannot be here: another system, or a real-time thread, which has no slack.
pub(crate) fn give(number: u32) -> Option<Before> {
    let before = Before(slack()?);
    set_slack(USUAL + 1 + number);
    if inherited() == Some(number) {
        Some(before)
    } else {
        take_back(before);
        None
    }
}

/// Undoes [`give`] on the same thread.
pub(crate) fn take_back(before: Before) {
    set_slack(before.0);
}

/// Forgets a number that this process has from the one that started it. On the first thread, before
/// there are others to inherit it.
pub(crate) fn forget() {
    if inherited().is_some() {
        set_slack(USUAL);
    }
}

/// The number that this thread was given, or inherited.
pub(crate) fn inherited() -> Option<u32> {
    slack()?
        .checked_sub(USUAL + 1)
        .filter(|number| *number < NUMBERS)
}

#[cfg(target_os = "linux")]
fn slack() -> Option<u32> {
    // SAFETY: reads a number of the calling thread.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
    u32::try_from(slack).ok().filter(|slack| *slack > 0)
}

#[cfg(target_os = "linux")]
fn set_slack(slack: u32) {
    // SAFETY: changes by how much timers of the calling thread may be late. A failure shows when
    // the number is read back.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, libc::c_ulong::from(slack), 0, 0, 0) };
}

#[cfg(not(target_os = "linux"))]
fn slack() -> Option<u32> {
    None
}

#[cfg(not(target_os = "linux"))]
fn set_slack(_slack: u32) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Were it otherwise, threads that a tested closure spawns would go uncounted, or others
    /// would be counted.
    #[test]
    #[cfg(target_os = "linux")]
    fn only_threads_created_meanwhile_inherit() {
        let ours = || thread::spawn(inherited).join().unwrap();
        assert_eq!(ours(), None);
        let before = give(77).unwrap();
        assert_eq!(ours(), Some(77));
        let grandchild = thread::spawn(|| thread::spawn(inherited).join().unwrap());
        assert_eq!(grandchild.join().unwrap(), Some(77));
        take_back(before);
        assert_eq!(inherited(), None);
        assert_eq!(ours(), None);
    }
}
