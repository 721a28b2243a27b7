//! What jemalloc says of itself, where it is built in and the program allocates from it.

#[cfg(feature = "jemalloc")]
mod ctl;

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
    /// The totals of this moment; none without jemalloc, or where it was built without statistics.
    pub(crate) fn read() -> Option<Jemalloc> {
        #[cfg(feature = "jemalloc")]
        return ctl::read().ok();
        #[cfg(not(feature = "jemalloc"))]
        None
    }
}

/// An arena for heapwatch's own work, so that what a report needed can be given back at once and
/// without touching the application's pages.
///
/// It holds what threads allocate that [enter](OwnArena::enter)ed it, as far as the program's
/// allocator is jemalloc; where it is another, all of this has no effect.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "jemalloc"),
    expect(dead_code, reason = "without jemalloc there is none")
)]
pub(crate) struct OwnArena(u32);

impl OwnArena {
    /// The process's one arena; none without jemalloc, or where it has no more.
    pub(crate) fn get() -> Option<OwnArena> {
        #[cfg(feature = "jemalloc")]
        return ctl::own_arena().map(OwnArena);
        #[cfg(not(feature = "jemalloc"))]
        None
    }

    /// Lets the current thread allocate here from now on.
    pub(crate) fn enter(self) {
        #[cfg(feature = "jemalloc")]
        ctl::enter(self.0);
    }

    /// Gives all free pages back to the system, those in the current thread's cache included.
    #[cfg(feature = "server")]
    pub(crate) fn give_back(self) {
        #[cfg(feature = "jemalloc")]
        ctl::give_back(self.0);
    }
}
