//! How much address space the process may still take (`ulimit -v`, `ulimit -d`).
//!
//! An allocation that fails ends the program, no matter whose it is. So heapwatch does not begin what
//! may need more than is left, and leaves the rest to the application.

use std::io;

use super::{calls, proc};

/// What a report needs, debug information aside, in all but very large programs.
pub(crate) const WORK_BYTES: u64 = 32 << 20;

/// Below this, what glibc reserves for a few threads is a large part of what is left.
const LITTLE_BYTES: u64 = 1 << 30;

/// Where little address space is left, has new threads of this process take less of it.
pub(crate) fn save_room() {
    if left_bytes().is_some_and(|left| left < LITTLE_BYTES) {
        calls::share_arenas();
    }
}

/// An error that says what is lacking, unless this much address space is left.
pub(crate) fn check_room(bytes: u64) -> io::Result<()> {
    let Some(left) = left_bytes().filter(|left| *left < bytes) else {
        return Ok(());
    };
    let mib = |bytes: u64| bytes >> 20;
    let (left, needed) = (mib(left), mib(bytes));
    let text = format!(
        "{left} MiB of address space are left where {needed} MiB are needed; `ulimit -v` or \
         `ulimit -d` limits it"
    );
    Err(io::Error::new(io::ErrorKind::OutOfMemory, text))
}

/// What the limits leave; none where there is no limit, or nothing is known of it.
fn left_bytes() -> Option<u64> {
    let limits = proc::of_self("limits")?;
    let limits = ["Max address space", "Max data size"].map(|name| proc::limit(&limits, name));
    if limits == [None, None] {
        return None;
    }
    let statm = proc::of_self("statm")?;
    // Address space, and what of it is data and stack.
    let pages = |column| statm.split_whitespace().nth(column)?.parse::<u64>().ok();
    let used = [pages(0)?, pages(5)?].map(|pages| pages * calls::page_bytes());
    left(limits, used)
}

/// The least that a limit leaves of what is in use.
fn left(limits: [Option<u64>; 2], used: [u64; 2]) -> Option<u64> {
    let both = limits.into_iter().zip(used);
    both.filter_map(|(limit, used)| Some(limit?.saturating_sub(used)))
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Either limit alone makes allocations fail, and both can be lowered below what is in use.
    #[test]
    fn the_tighter_limit_counts() {
        assert_eq!(left([None, None], [5, 3]), None);
        assert_eq!(left([Some(9), None], [5, 3]), Some(4));
        assert_eq!(left([Some(9), Some(4)], [5, 3]), Some(1));
        assert_eq!(left([Some(4), Some(4)], [5, 3]), Some(0));
    }
}
