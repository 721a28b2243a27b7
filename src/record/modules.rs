//! Loaded objects: their addresses, unwind tables and build ids, kept beforehand so that no
//! capture ever asks the loader for its lock.
//!
//! The list is immutable and replaced whole; captures read the current one without a lock.
//! Replaced lists are kept for good, because a capture may still be reading one: their bytes are
//! bounded, and one that holds again is taken again. The tables of objects that are there at
//! start-up are read in place, as those are never unloaded; the tables of later ones are copied,
//! once however often they are loaded, so that unloading them under a capture's feet is harmless.
//!
//! A table is copied when its object is discovered, inside malloc. To read it in place until the next
//! maintenance would not do: the list is everybody's, so another thread might look up an address of
//! that object, a wrong guess even, while the discoverer returns from it and it is unloaded, and
//! would read what is no longer mapped. The copying is bounded, and happens once per object.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use allocator_api2::boxed::Box;

use super::elf::{
    Header, PAGE, Section, build_id, mapped, program_headers, raw_slice, unwind_tables,
};
use super::fork::{self, Held, Turn};
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
    in_place: bool,
    /// Unloaded since; kept for the names in old stacks.
    pub(crate) gone: bool,
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
/// Whether the tables of some module could not be copied.
static COPY_REFUSED: AtomicBool = AtomicBool::new(false);
/// The loader's counts of loads and unloads when the list was last compared with its own.
static LOADER_COUNTS: AtomicU64 = AtomicU64::new(0);
/// glibc's lock-free `_dl_find_object`, where there is one.
static FIND_OBJECT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// The current list; `None` before [`load`].
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

/// Whether stacks end at some module because its tables could not be copied.
pub(crate) fn copy_refused() -> bool {
    COPY_REFUSED.load(Ordering::Relaxed)
}

/// Reads the loader's list for the first time. Inside malloc, but on the first allocation of the
/// process, when no other thread can hold the loader's lock and wait for this one.
pub(crate) fn load() {
    // SAFETY: dlsym with a C string; the symbol's type is declared where it is called.
    let find = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
    FIND_OBJECT.store(find, Ordering::Relaxed);
    if let Some((modules, counts)) = loaded(None)
        && publish(modules)
    {
        LOADER_COUNTS.store(counts, Ordering::Relaxed);
    }
}

/// Compares with the loader's list and takes over what changed. Never inside malloc: it takes the
/// loader's lock. For the same reason never in a forked child: if another thread of the parent's
/// held that lock, it stays locked in the child for good. There only [`discover`] adds to the list.
pub(crate) fn refresh() {
    unwind::maintain();
    if fork::generation() > 0 {
        return;
    }
    let Some(_replacing) = start_replacing() else {
        return;
    };
    let Some(list) = current() else { return };
    if loader_counts() == LOADER_COUNTS.load(Ordering::Relaxed) {
        return;
    }
    let Some((mut modules, counts)) = loaded(Some(&list.modules)) else {
        return;
    };
    let present = modules.len();
    if modules.try_reserve(list.modules.len()).is_err() {
        return;
    }
    for old in &list.modules {
        let mut there = modules.iter().take(present);
        if !there.any(|module| overlap(&module.range, &old.range)) {
            modules.push(Module {
                gone: true,
                ..old.clone()
            });
        }
    }
    if replace(modules) {
        LOADER_COUNTS.store(counts, Ordering::Relaxed);
    }
}

/// Makes a module known that was loaded since, from an address in it which is on this thread's
/// stack, so that it cannot be unloaded meanwhile. Inside malloc; takes no lock.
///
/// Returns whether the current list has it.
pub(crate) fn discover(address: usize) -> bool {
    let Some(_replacing) = start_replacing() else {
        return false;
    };
    // Not before: what another thread has published meanwhile must not be lost.
    let Some(list) = current() else { return false };
    if list.find(address).is_some() {
        return true;
    }
    let Some(found) = find_object(address, &list.modules) else {
        return false;
    };
    let mut modules = OwnVec::new_in(Own::Modules);
    if modules.try_reserve_exact(list.modules.len() + 1).is_err() {
        return false;
    }
    let others = list.modules.iter();
    modules.extend(
        others
            .filter(|module| !overlap(&module.range, &found.range))
            .cloned(),
    );
    modules.push(found);
    replace(modules)
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The right to replace the list, while it is replaced at all.
fn start_replacing() -> Option<Held<'static>> {
    static REPLACING: Turn = Turn::new();
    (!is_frozen()).then(|| REPLACING.start()).flatten()
}

/// Makes the list of these modules the current one. Whether there was memory for it.
fn replace(mut modules: OwnVec<Module>) -> bool {
    sort(&mut modules);
    let Some(list) = lists().find(|list| list.has_just(&modules)) else {
        return publish(modules);
    };
    make_current(list);
    true
}

/// Makes a new list the current one. Whether there was memory for it.
fn publish(mut modules: OwnVec<Module>) -> bool {
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

fn sort(modules: &mut OwnVec<Module>) {
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
            && self.gone == other.gone
            && ptr::eq(self.path, other.path)
            && ptr::eq(self.build_id, other.build_id)
            && ptr::eq(self.eh_frame_hdr.bytes, other.eh_frame_hdr.bytes)
            && ptr::eq(self.eh_frame.bytes, other.eh_frame.bytes)
    }
}

/// The loader's list, and its counts of loads and unloads. What is kept of known modules is not
/// copied again. `None` if there is no memory.
fn loaded(known: Option<&[Module]>) -> Option<(OwnVec<Module>, u64)> {
    struct Collect<'a> {
        known: Option<&'a [Module]>,
        modules: OwnVec<Module>,
        refused: bool,
        counts: u64,
    }
    unsafe extern "C" fn each(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        collect: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid description, and `collect` is what we gave it.
        let (info, collect) = unsafe { (&*info, &mut *collect.cast::<Collect<'_>>()) };
        collect.counts = counts(info);
        if collect.modules.try_reserve(1).is_err() {
            collect.refused = true;
            return 1;
        }
        // SAFETY: the loader describes a module that is mapped while this function runs.
        unsafe {
            let headers = raw_slice(info.dlpi_phdr, usize::from(info.dlpi_phnum));
            let bias = info.dlpi_addr as usize;
            let Some(range) = mapped(bias, headers) else {
                return 0;
            };
            let module = read_module(bias, headers, info.dlpi_name, range, collect.known);
            collect.modules.push(module);
        }
        0
    }
    let mut collect = Collect {
        known,
        modules: OwnVec::new_in(Own::Modules),
        refused: false,
        counts: 0,
    };
    // SAFETY: `each` gets a pointer to `collect`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut collect).cast()) };
    (!collect.refused).then_some((collect.modules, collect.counts))
}

fn counts(info: &libc::dl_phdr_info) -> u64 {
    info.dlpi_adds.wrapping_add(info.dlpi_subs)
}

fn loader_counts() -> u64 {
    unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, out: *mut c_void) -> c_int {
        // SAFETY: a valid description from the loader, and our own pointer to a u64.
        unsafe { *out.cast::<u64>() = counts(&*info) };
        1
    }
    let mut out: u64 = 0;
    // SAFETY: `first` gets a pointer to `out`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut out).cast()) };
    out
}

/// Reads a module beside those that are known; if there are none yet, everything that is loaded
/// stays so, and its tables are read in place.
///
/// # Safety
///
/// The headers describe a module that is mapped at `bias`.
unsafe fn read_module(
    bias: usize,
    headers: &[Header],
    name: *const libc::c_char,
    range: Range<usize>,
    known: Option<&[Module]>,
) -> Module {
    // SAFETY: the caller's promise; the loader's names are C strings.
    let (path, id, (mut hdr, mut frames)) = unsafe {
        let path = if name.is_null() {
            &[][..]
        } else {
            CStr::from_ptr(name).to_bytes()
        };
        let tables = unwind_tables(bias, headers).unwrap_or_default();
        (path, build_id(bias, headers), tables)
    };
    let in_place = known.is_none_or(|known| {
        let mut present = known.iter().filter(|old| !old.gone);
        present.any(|old| ptr::eq(old.eh_frame.bytes, frames.bytes))
    });
    if !in_place {
        // The longer ones first, so that nothing is kept in vain.
        let kept = keep(frames.bytes).and_then(|frames| Some((keep(hdr.bytes)?, frames)));
        if let Some(kept) = kept {
            (hdr.bytes, frames.bytes) = kept;
        } else {
            (hdr, frames) = Default::default();
            COPY_REFUSED.store(true, Ordering::Relaxed);
        }
    }
    Module {
        // An empty one would stand for the executable.
        path: keep(path).unwrap_or(b"?"),
        build_id: keep(id).unwrap_or_default(),
        range,
        bias,
        eh_frame_hdr: hdr,
        eh_frame: frames,
        in_place,
        gone: false,
    }
}

/// A copy that stays for good, made unless some list has it: plugins that take each other's place are
/// copied once each. `None` past the bound on such copies.
fn keep(bytes: &[u8]) -> Option<&'static [u8]> {
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

/// glibc's `struct dl_find_object`, as its manual gives it; the flags and, on some targets, more
/// fields lie around what is used, so there is room to spare.
#[repr(C)]
struct DlFindObject {
    flags: u64,
    map_start: *mut c_void,
    map_end: *mut c_void,
    link_map: *mut LinkMap,
    eh_frame: *mut c_void,
    reserved: [u64; 16],
}

/// The public head of glibc's `struct link_map`.
#[repr(C)]
struct LinkMap {
    l_addr: usize,
    l_name: *const libc::c_char,
}

/// The module around an address on this thread's stack, without the loader's lock.
fn find_object(address: usize, known: &[Module]) -> Option<Module> {
    let find = FIND_OBJECT.load(Ordering::Relaxed);
    if find.is_null() {
        return None;
    }
    // SAFETY: `_dl_find_object` is declared so in glibc's manual; it takes no locks. The answer
    // describes a module that is mapped, because the address is on this thread's stack; its first
    // page holds the ELF header, which we check, and the program headers behind it.
    unsafe {
        let find: unsafe extern "C" fn(*mut c_void, *mut DlFindObject) -> c_int =
            std::mem::transmute(find);
        let mut found: DlFindObject = std::mem::zeroed();
        if find(address as *mut c_void, &raw mut found) != 0 || found.link_map.is_null() {
            return None;
        }
        let (start, end) = (found.map_start as usize, found.map_end as usize);
        let first_page = raw_slice(start as *const u8, PAGE.min(end.saturating_sub(start)));
        let headers = program_headers(first_page)?;
        let map = &*found.link_map;
        let range = mapped(map.l_addr, headers)?;
        Some(read_module(
            map.l_addr,
            headers,
            map.l_name,
            range,
            Some(known),
        ))
    }
}

impl ModuleList {
    /// The module around an address.
    pub(crate) fn find(&self, address: usize) -> Option<&Module> {
        let after = self
            .modules
            .partition_point(|module| module.range.start <= address);
        let module = self.modules.get(after.checked_sub(1)?)?;
        (!module.gone && module.range.contains(&address)).then_some(module)
    }

    /// Whether these are its modules, which are in order.
    fn has_just(&self, modules: &[Module]) -> bool {
        let mut pairs = self.modules.iter().zip(modules);
        self.modules.len() == modules.len() && pairs.all(|(own, module)| own.is(module))
    }
}
