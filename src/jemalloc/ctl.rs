//! The calls of jemalloc's control interface.

use std::sync::atomic::{AtomicU32, Ordering};

use tikv_jemalloc_ctl::{Access, AsName, Result, epoch, stats};

use super::Jemalloc;

pub(super) fn read() -> Result<Jemalloc> {
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

/// How long jemalloc keeps pages before it gives them back, unless told otherwise.
#[cfg(feature = "server")]
const DECAY_MS: isize = 10_000;

/// The number of the process's one arena for heapwatch's own work.
pub(super) fn own_arena() -> Option<u32> {
    /// Until there is one it is 0, which is always the application's.
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // Relaxed: nothing else is read by it.
    match NUMBER.load(Ordering::Relaxed) {
        0 => {}
        number => return Some(number),
    }
    // mallctl `arenas.create`: makes an arena and tells its number.
    let made = b"arenas.create\0".name().read().ok()?;
    let first = NUMBER.compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed);
    Some(first.err().unwrap_or(made))
}

pub(super) fn enter(arena: u32) {
    // mallctl `thread.arena`: the arena that this thread allocates from. If it fails, the
    // thread shares the application's.
    let _ = b"thread.arena\0".name().write(arena);
}

#[cfg(feature = "server")]
pub(super) fn give_back(arena: u32) {
    // mallctl `thread.tcache.enabled`: switching the thread's cache off empties it. Where there is
    // no memory for a new one, it stays off until the next time.
    let cache = b"thread.tcache.enabled\0".name();
    if cache.write(false).is_ok() {
        let _ = cache.write(true);
    }
    // mallctl `arena.<i>.dirty_decay_ms`: at 0, free pages are given back at once.
    let name = format!("arena.{arena}.dirty_decay_ms\0");
    let decay = name.as_bytes().name();
    if decay.write(0_isize).is_ok() {
        let _ = decay.write(DECAY_MS);
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
