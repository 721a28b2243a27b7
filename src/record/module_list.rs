//! Lists of loaded objects.
//!
//! A list is immutable and replaced whole; captures read the current one without a lock. A list that was
//! replaced is freed once no capture can be reading it any more.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use allocator_api2::boxed::Box;

use super::elf::Section;
use super::own::{Own, OwnVec};
use super::readers::{self, Readers};
use super::{fork, thread, unwind};

/// Bytes of lists that may be there at once: a list takes less than 200 bytes for each loaded object.
const MAX_LISTS: usize = 16 << 20;

/// A loaded object.
#[derive(Clone)]
pub(crate) struct Module {
    /// Path as the loader knows it; empty for the executable.
    pub(crate) path: &'static [u8],
    pub(crate) build_id: &'static [u8],
    pub(crate) range: Range<usize>,
    pub(crate) bias: usize,
    pub(super) eh_frame_hdr: Section,
    pub(super) eh_frame: Section,
}

/// One immutable list.
pub(crate) struct ModuleList {
    /// In the order of their addresses; no two overlap.
    pub(crate) modules: OwnVec<Module>,
    /// No other list ever has this one, which is above zero.
    pub(crate) number: usize,
    /// The next one of those that were replaced.
    next: AtomicPtr<ModuleList>,
}

static CURRENT: AtomicPtr<ModuleList> = AtomicPtr::new(ptr::null_mut());
/// Bytes of all lists.
static LISTS: AtomicUsize = AtomicUsize::new(0);

/// Counters of walks: more than most machines have processors for.
const COUNTERS: usize = 32;
static READERS: Readers<COUNTERS> = Readers::new();

/// Lists that were replaced before the counters were looked at first, and those counters that were at zero
/// since. Only the thread that may replace the list changes these three.
static WAITING: AtomicPtr<ModuleList> = AtomicPtr::new(ptr::null_mut());
static QUIET: AtomicU64 = AtomicU64::new(0);
/// Lists that were replaced later.
static REPLACED: AtomicPtr<ModuleList> = AtomicPtr::new(ptr::null_mut());

/// Keeps all lists that it gives.
#[derive(Debug)]
pub(crate) struct ListReader(
    #[expect(dead_code, reason = "its end matters")] readers::Reader<'static>,
);

impl ListReader {
    #[inline(always)]
    pub(crate) fn start() -> ListReader {
        ListReader(READERS.enter(thread::number()))
    }

    /// The current list; `None` before there is one.
    #[inline(always)]
    pub(crate) fn current(&self) -> Option<&ModuleList> {
        // Acquire: pairs with the exchange in `publish`.
        let list = CURRENT.load(Ordering::Acquire);
        // SAFETY: a published list is never changed, and not freed while this lives.
        unsafe { list.as_ref() }
    }
}

/// Whether the list stays as it is for now, because there is no room for others.
pub(crate) fn is_frozen() -> bool {
    LISTS.load(Ordering::Relaxed) >= MAX_LISTS
}

/// Makes a new list the current one. Whether there was memory for it. Called by one thread at a time, as
/// [`free_replaced`] is.
pub(super) fn publish(mut modules: OwnVec<Module>) -> bool {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    sort(&mut modules);
    modules.shrink_to_fit();
    let list = ModuleList {
        modules,
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        next: AtomicPtr::new(ptr::null_mut()),
    };
    let bytes = list.bytes();
    let Ok(list) = Box::try_new_in(list, Own::Modules) else {
        return false;
    };
    LISTS.fetch_add(bytes, Ordering::Relaxed);
    // AcqRel: the list is seen whole, and so is the old one here.
    let old = CURRENT.swap(Box::leak(list), Ordering::AcqRel);
    unwind::modules_changed();
    // SAFETY: published lists are freed by this thread alone, which has not freed this one.
    if let Some(list) = unsafe { old.as_ref() } {
        // Relaxed, here and below: the next thread that changes these got the right to from this one.
        list.next
            .store(REPLACED.load(Ordering::Relaxed), Ordering::Relaxed);
        REPLACED.store(old, Ordering::Relaxed);
    }
    true
}

/// Frees those lists that no walk can be reading any more. Called by one thread at a time.
pub(super) fn free_replaced() {
    // The parent's walks never end here, and what is the parent's is not freed in a child.
    if fork::generation() > 0 {
        return;
    }
    let waiting = WAITING.load(Ordering::Relaxed);
    let quiet = QUIET.load(Ordering::Relaxed) | READERS.quiet();
    QUIET.store(quiet, Ordering::Relaxed);
    if !waiting.is_null() && quiet != Readers::<COUNTERS>::ALL {
        return;
    }
    // Taken over before anything is freed: a process forked meanwhile finds no freed list.
    WAITING.store(REPLACED.load(Ordering::Relaxed), Ordering::Release);
    REPLACED.store(ptr::null_mut(), Ordering::Release);
    QUIET.store(0, Ordering::Release);
    let mut replaced = waiting;
    while !replaced.is_null() {
        // SAFETY: made by `publish`, replaced, and each counter was at zero since: nobody reads it.
        let list = unsafe { Box::from_raw_in(replaced, Own::Modules) };
        LISTS.fetch_sub(list.bytes(), Ordering::Relaxed);
        replaced = list.next.load(Ordering::Relaxed);
    }
}

pub(super) fn sort(modules: &mut OwnVec<Module>) {
    modules.sort_unstable_by_key(|module| module.range.start);
}

impl ModuleList {
    /// Whether it has not been replaced.
    pub(crate) fn is_current(&self) -> bool {
        // Relaxed: the address stands for itself, as no other list has it while this one lives.
        ptr::eq(CURRENT.load(Ordering::Relaxed), self)
    }

    /// The module around an address.
    pub(crate) fn find(&self, address: usize) -> Option<&Module> {
        let after = self
            .modules
            .partition_point(|module| module.range.start <= address);
        let module = self.modules.get(after.checked_sub(1)?)?;
        module.range.contains(&address).then_some(module)
    }

    fn bytes(&self) -> usize {
        size_of::<ModuleList>() + self.modules.capacity() * size_of::<Module>()
    }
}

pub(super) fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}
