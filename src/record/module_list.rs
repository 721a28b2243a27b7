//! Lists of loaded objects.
//!
//! A list is immutable and replaced whole; captures read the current one without a lock. Replaced lists
//! are kept for good, because a capture may still be reading one: their bytes are bounded, and one
//! that holds again is taken again.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use allocator_api2::boxed::Box;

use super::elf::Section;
use super::own::{Own, OwnVec};
use super::unwind;

/// Bytes of lists that may be made: a list takes less than 200 bytes for each loaded object.
const MAX_LISTS: usize = 16 << 20;
/// Bytes of unwind tables, paths and build ids that may be copied.
const MAX_COPIED: usize = 16 << 20;

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
    /// The tables are read where they are mapped.
    pub(super) in_place: bool,
}

/// One immutable list.
pub(crate) struct ModuleList {
    /// In the order of their addresses; no two overlap.
    pub(crate) modules: OwnVec<Module>,
    /// The list that was made before this one.
    older: Option<&'static ModuleList>,
}

static CURRENT: AtomicPtr<ModuleList> = AtomicPtr::new(ptr::null_mut());
/// The list that was made last.
static NEWEST: AtomicPtr<ModuleList> = AtomicPtr::new(ptr::null_mut());
/// Bytes of all lists.
static LISTS: AtomicUsize = AtomicUsize::new(0);
static COPIED: AtomicUsize = AtomicUsize::new(0);

/// The current list; `None` before there is one.
pub(crate) fn current() -> Option<&'static ModuleList> {
    list_in(&CURRENT)
}

fn list_in(place: &AtomicPtr<ModuleList>) -> Option<&'static ModuleList> {
    // Acquire: pairs with the releases in `replace` and `publish`.
    let list = place.load(Ordering::Acquire);
    // SAFETY: published lists are never changed and never freed.
    unsafe { list.as_ref() }
}

/// All lists that were made, the last one first.
fn lists() -> impl Iterator<Item = &'static ModuleList> {
    std::iter::successors(list_in(&NEWEST), |list| list.older)
}

/// Whether the list stays as it is from now on, because its bytes are used up.
pub(crate) fn is_frozen() -> bool {
    LISTS.load(Ordering::Relaxed) >= MAX_LISTS
}

/// Makes the list of these modules the current one. Whether there was memory for it.
pub(super) fn replace(mut modules: OwnVec<Module>) -> bool {
    sort(&mut modules);
    let Some(list) = lists().find(|list| list.has_just(&modules)) else {
        return publish(modules);
    };
    make_current(list);
    true
}

/// Makes a new list the current one. Whether there was memory for it.
pub(super) fn publish(mut modules: OwnVec<Module>) -> bool {
    sort(&mut modules);
    modules.shrink_to_fit();
    let bytes = size_of::<ModuleList>() + modules.capacity() * size_of::<Module>();
    let list = ModuleList {
        modules,
        older: list_in(&NEWEST),
    };
    // Lists are never freed, nor changed.
    let Ok(list) = Box::try_new_in(list, Own::Modules) else {
        return false;
    };
    let list = Box::leak(list);
    LISTS.fetch_add(bytes, Ordering::Relaxed);
    // Release: pairs with the acquire in `list_in`.
    NEWEST.store(list, Ordering::Release);
    make_current(list);
    true
}

fn make_current(list: &'static ModuleList) {
    // Release: pairs with the acquire in `list_in`.
    CURRENT.store(ptr::from_ref(list).cast_mut(), Ordering::Release);
    unwind::modules_changed();
}

pub(super) fn sort(modules: &mut OwnVec<Module>) {
    modules.sort_unstable_by_key(|module| module.range.start);
}

impl Module {
    /// Bytes of it that stay for good, whatever is unloaded.
    fn copies(&self) -> [&'static [u8]; 4] {
        let tables = if self.in_place {
            [&[][..]; 2]
        } else {
            [self.eh_frame_hdr.bytes, self.eh_frame.bytes]
        };
        [self.path, self.build_id, tables[0], tables[1]]
    }

    /// Whether both are the same in every respect. What is kept of equal modules is the same, too.
    fn is(&self, other: &Module) -> bool {
        self.range == other.range
            && ptr::eq(self.path, other.path)
            && ptr::eq(self.build_id, other.build_id)
            && ptr::eq(self.eh_frame_hdr.bytes, other.eh_frame_hdr.bytes)
            && ptr::eq(self.eh_frame.bytes, other.eh_frame.bytes)
    }
}

impl ModuleList {
    /// The module around an address.
    pub(crate) fn find(&self, address: usize) -> Option<&Module> {
        let after = self
            .modules
            .partition_point(|module| module.range.start <= address);
        let module = self.modules.get(after.checked_sub(1)?)?;
        module.range.contains(&address).then_some(module)
    }

    /// Whether these are its modules, which are in order.
    fn has_just(&self, modules: &[Module]) -> bool {
        let mut pairs = self.modules.iter().zip(modules);
        self.modules.len() == modules.len() && pairs.all(|(own, module)| own.is(module))
    }
}

pub(super) fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// A copy that stays for good, made unless some list has it: plugins that take each other's place are
/// copied once each. `None` past the bound on such copies.
pub(super) fn keep(bytes: &[u8]) -> Option<&'static [u8]> {
    let modules = lists().flat_map(|list| list.modules.iter());
    let mut copies = modules.flat_map(Module::copies);
    if let Some(copy) = copies.find(|copy| *copy == bytes) {
        return Some(copy);
    }
    let copied = COPIED.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
    let mut copy = OwnVec::new_in(Own::Modules);
    if copied > MAX_COPIED || copy.try_reserve_exact(bytes.len()).is_err() {
        COPIED.fetch_sub(bytes.len(), Ordering::Relaxed);
        return None;
    }
    copy.extend_from_slice(bytes);
    Some(copy.leak())
}
