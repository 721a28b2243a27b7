//! What jemalloc says of itself, whatever the inner allocator is: sampled blocks are always its.

use std::sync::atomic::{AtomicU32, Ordering};

use tikv_jemalloc_ctl::{Access, AsName, Result, epoch, stats};

/// jemalloc's own totals, in bytes. `allocated` is part of `active`, and that of `resident` and of
/// `mapped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Jemalloc {
    /// In blocks that the application holds, at their size class.
    pub(crate) allocated_bytes: u64,
    /// In pages that hold at least one such block.
    pub(crate) active_bytes: u64,
    /// Used by jemalloc for itself.
    pub(crate) metadata_bytes: u64,
    /// In pages that are physically there: active, metadata, and dirty pages kept for reuse.
    pub(crate) resident_bytes: u64,
    /// In mapped extents.
    pub(crate) mapped_bytes: u64,
    /// Address space kept for reuse, without memory behind it.
    pub(crate) retained_bytes: u64,
}

impl Jemalloc {
    /// The totals of this moment; none where jemalloc was built without statistics.
    pub(crate) fn read() -> Option<Jemalloc> {
        read().ok()
    }
}

fn read() -> Result<Jemalloc> {
    // mallctl `epoch`: the totals are cached, and writing this makes jemalloc sum them up anew.
    epoch::advance()?;
    Ok(Jemalloc {
        // mallctl `stats.allocated`
        allocated_bytes: stats::allocated::read()? as u64,
        // mallctl `stats.active`
        active_bytes: stats::active::read()? as u64,
        // mallctl `stats.metadata`
        metadata_bytes: stats::metadata::read()? as u64,
        // mallctl `stats.resident`
        resident_bytes: stats::resident::read()? as u64,
        // mallctl `stats.mapped`
        mapped_bytes: stats::mapped::read()? as u64,
        // mallctl `stats.retained`
        retained_bytes: stats::retained::read()? as u64,
    })
}

/// An arena for heapwatch's own work, so that what a report needed can be given back at once and
/// without touching the application's pages.
///
/// It holds what threads allocate that [enter](OwnArena::enter)ed it, as far as the program's
/// allocator is jemalloc; where it is another, all of this has no effect.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only the endpoint works on threads of its own")
)]
pub(crate) struct OwnArena(u32);

/// How long jemalloc keeps pages before it gives them back, unless told otherwise.
const DECAY_MS: isize = 10_000;

#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "only the endpoint works on threads of its own")
)]
impl OwnArena {
    /// The process's one arena; none where jemalloc has no more.
    pub(crate) fn get() -> Option<OwnArena> {
        /// Until there is one it is 0, which is always the application's.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Relaxed: nothing else is read by it.
        match NUMBER.load(Ordering::Relaxed) {
            0 => {}
            number => return Some(OwnArena(number)),
        }
        // mallctl `arenas.create`: makes an arena and tells its number.
        let made = b"arenas.create\0".name().read().ok()?;
        let first = NUMBER.compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed);
        Some(OwnArena(first.err().unwrap_or(made)))
    }

    /// Lets the current thread allocate here from now on.
    pub(crate) fn enter(self) {
        // mallctl `thread.arena`: the arena that this thread allocates from. If it fails, the
        // thread shares the application's.
        let _ = b"thread.arena\0".name().write(self.0);
    }

    /// Gives all free pages back to the system, those in the current thread's cache included.
    pub(crate) fn give_back(self) {
        // mallctl `thread.tcache.enabled`: switching the thread's cache off empties it.
        let cache = b"thread.tcache.enabled\0".name();
        if cache.write(false).is_ok() {
            let _ = cache.write(true);
        }
        // mallctl `arena.<i>.dirty_decay_ms`: at 0, free pages are given back at once.
        let name = format!("arena.{}.dirty_decay_ms\0", self.0);
        let decay = name.as_bytes().name();
        if decay.write(0_isize).is_ok() {
            let _ = decay.write(DECAY_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};

    use super::*;

    /// Without the epoch, or with two names exchanged, a block of 64 MiB would not show where it
    /// must, and would show where it must not.
    #[test]
    #[allow(unsafe_code)]
    fn a_large_block_shows_in_allocated_active_and_mapped() {
        const SIZE: usize = 64 << 20;
        let before = Jemalloc::read().unwrap();
        let layout = Layout::from_size_align(SIZE, 16).unwrap();
        // SAFETY: the layout's size is not 0.
        let block = unsafe { tikv_jemallocator::Jemalloc.alloc(layout) };
        assert!(!block.is_null());
        let during = Jemalloc::read().unwrap();
        // SAFETY: allocated above with this layout.
        unsafe { tikv_jemallocator::Jemalloc.dealloc(block, layout) };
        let grown = |of: fn(&Jemalloc) -> u64| of(&during) as i64 - of(&before) as i64;
        let least = SIZE as i64 * 9 / 10;
        assert!(grown(|j| j.allocated_bytes) > least);
        assert!(grown(|j| j.active_bytes) > least);
        assert!(grown(|j| j.mapped_bytes) > least);
        assert!(grown(|j| j.metadata_bytes) < least);
        assert!(grown(|j| j.retained_bytes) < least);
        assert!(during.allocated_bytes <= during.active_bytes);
        assert!(during.active_bytes <= during.mapped_bytes);
    }
}
