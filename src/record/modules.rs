//! Loaded objects: their addresses, unwind tables and build ids, kept beforehand so that no
//! capture ever asks the loader for its lock.
//!
//! The list is immutable and replaced whole; captures read the current one without a lock.
//! Replaced lists are kept for ever, because a capture may still be reading one: their bytes are
//! bounded, and one that holds again is taken again. The tables of objects that are there at
//! start-up are read in place, as those are never unloaded; the tables of later ones are copied,
//! once however often they are loaded, so that unloading them under a capture's feet is harmless.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use framehop::{ExplicitModuleSectionInfo, MustNotAllocateDuringUnwind, Unwinder, UnwinderNative};

use super::elf::{
    Header, PAGE, Section, build_id, mapped, program_headers, raw_slice, unwind_tables,
};
use super::{fork, supply};

pub(crate) type Tables = &'static [u8];
pub(crate) type ModuleUnwinder = UnwinderNative<Tables, MustNotAllocateDuringUnwind>;

/// Bytes of lists that may be made: a list takes less than a KiB for each loaded object.
const MAX_LISTS: usize = 16 << 20;
/// Bytes of unwind tables, paths and build ids that may be copied.
const MAX_COPIED: usize = 16 << 20;

/// What the unwinder takes for a module: what it knows of it, and four times a place in its list,
/// which is left behind in half the size, a quarter and so on.
const UNWINDER_BYTES: usize = 512 + 4 * size_of::<framehop::Module<Tables>>();

/// A loaded object.
#[derive(Clone)]
pub(crate) struct Module {
    /// Path as the loader knows it; empty for the executable.
    pub(crate) path: &'static [u8],
    pub(crate) build_id: &'static [u8],
    pub(crate) range: Range<usize>,
    pub(crate) bias: usize,
    eh_frame_hdr: Section,
    eh_frame: Section,
    /// The tables are read where they are mapped.
    in_place: bool,
    /// Unloaded since; kept for the names in old stacks.
    pub(crate) gone: bool,
}

/// One immutable list.
pub(crate) struct ModuleList {
    pub(crate) unwinder: ModuleUnwinder,
    pub(crate) modules: Vec<Module>,
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
/// Generation plus one of the process that is replacing the list, or 0.
static REPLACING: AtomicU32 = AtomicU32::new(0);

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

/// Bytes that the lists and the copied tables take.
pub(crate) fn bytes() -> usize {
    LISTS.load(Ordering::Relaxed) + COPIED.load(Ordering::Relaxed)
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
    let (modules, counts) = loaded(None);
    LOADER_COUNTS.store(counts, Ordering::Relaxed);
    publish(modules);
}

/// Compares with the loader's list and takes over what changed. Never inside malloc: it takes the
/// loader's lock. For the same reason never in a forked child: if another thread of the parent's
/// held that lock, it stays locked in the child for ever. There only [`discover`] adds to the list.
pub(crate) fn refresh() {
    if fork::generation() > 0 {
        return;
    }
    let Some(_replacing) = Replacing::start() else {
        return;
    };
    let Some(list) = current() else { return };
    if loader_counts() == LOADER_COUNTS.load(Ordering::Relaxed) {
        return;
    }
    let (mut modules, counts) = loaded(Some(&list.modules));
    for old in &list.modules {
        if !modules
            .iter()
            .any(|module| overlap(&module.range, &old.range))
        {
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
    let Some(_replacing) = Replacing::start() else {
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
    let mut modules = Vec::new();
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

/// The right to replace the list. Tried for, never waited for.
struct Replacing;

impl Replacing {
    fn start() -> Option<Replacing> {
        let me = fork::generation() + 1;
        let held = REPLACING.load(Ordering::Relaxed);
        // A holder from before a fork does not exist in this process.
        if held == me || is_frozen() {
            return None;
        }
        // Acquire: what the previous holder wrote is seen.
        REPLACING
            .compare_exchange(held, me, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then_some(Replacing)
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `start`.
        REPLACING.store(0, Ordering::Release);
    }
}

/// Makes the list of these modules the current one. Whether there was memory for it.
fn replace(modules: Vec<Module>) -> bool {
    let mut made = std::iter::successors(list_in(&NEWEST), |list| list.older);
    let Some(list) = made.find(|list| list.has_just(&modules)) else {
        return publish(modules);
    };
    // Release: pairs with the acquire in `list_in`.
    CURRENT.store(ptr::from_ref(list).cast_mut(), Ordering::Release);
    true
}

/// Makes a new list the current one. Whether there was memory for it.
fn publish(modules: Vec<Module>) -> bool {
    let present = modules.iter().filter(|module| !module.gone).count();
    // The unwinder's own list doubles as it grows, and its first room is for four.
    let bytes = (present + 4) * UNWINDER_BYTES + size_of::<ModuleList>();
    let all_bytes = bytes + modules.capacity() * size_of::<Module>();
    let make = || {
        let mut unwinder = ModuleUnwinder::new();
        for module in modules.iter().filter(|module| !module.gone) {
            unwinder.add_module(module.for_unwinder());
        }
        Box::into_raw(Box::new(ModuleList {
            unwinder,
            modules,
            older: list_in(&NEWEST),
        }))
    };
    // SAFETY: lists are never freed, nor changed.
    let Some(list) = (unsafe { supply::with(bytes, make) }) else {
        return false;
    };
    LISTS.fetch_add(all_bytes, Ordering::Relaxed);
    // Release: pairs with the acquire in `list_in`.
    NEWEST.store(list, Ordering::Release);
    CURRENT.store(list, Ordering::Release);
    true
}

impl Module {
    fn for_unwinder(&self) -> framehop::Module<Tables> {
        let svma = |section: &Section| {
            let start = section.address.wrapping_sub(self.bias) as u64;
            start..start + section.bytes.len() as u64
        };
        let has_tables = !self.eh_frame.bytes.is_empty();
        let info = ExplicitModuleSectionInfo {
            base_svma: 0,
            eh_frame_svma: has_tables.then(|| svma(&self.eh_frame)),
            eh_frame: has_tables.then_some(self.eh_frame.bytes),
            eh_frame_hdr_svma: has_tables.then(|| svma(&self.eh_frame_hdr)),
            eh_frame_hdr: has_tables.then_some(self.eh_frame_hdr.bytes),
            ..Default::default()
        };
        let range = self.range.start as u64..self.range.end as u64;
        framehop::Module::new(String::new(), range, self.bias as u64, info)
    }
}

impl Module {
    /// Bytes of it that stay for ever, whatever is unloaded.
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
/// copied again.
fn loaded(known: Option<&[Module]>) -> (Vec<Module>, u64) {
    struct Collect<'a> {
        known: Option<&'a [Module]>,
        modules: Vec<Module>,
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
            return 0;
        }
        // SAFETY: the loader describes a module that is mapped while this function runs.
        unsafe {
            let headers = raw_slice(info.dlpi_phdr, info.dlpi_phnum as usize);
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
        modules: Vec::new(),
        counts: 0,
    };
    // SAFETY: `each` gets a pointer to `collect`, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut collect).cast()) };
    (collect.modules, collect.counts)
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
    let known = known.unwrap_or_default();
    if !in_place {
        // The longer ones first, so that nothing is kept in vain.
        let kept =
            keep(frames.bytes, known).and_then(|frames| Some((keep(hdr.bytes, known)?, frames)));
        if let Some(kept) = kept {
            (hdr.bytes, frames.bytes) = kept;
        } else {
            (hdr, frames) = Default::default();
            COPY_REFUSED.store(true, Ordering::Relaxed);
        }
    }
    Module {
        // An empty one would stand for the executable.
        path: keep(path, known).unwrap_or(b"?"),
        build_id: keep(id, known).unwrap_or_default(),
        range,
        bias,
        eh_frame_hdr: hdr,
        eh_frame: frames,
        in_place,
        gone: false,
    }
}

/// A copy that lives for ever, made unless a known module has it; `None` past the bound on such
/// copies.
fn keep(bytes: &[u8], known: &[Module]) -> Option<&'static [u8]> {
    let mut copies = known.iter().flat_map(Module::copies);
    if let Some(copy) = copies.find(|copy| *copy == bytes) {
        return Some(copy);
    }
    let copied = COPIED.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
    let mut copy = Vec::new();
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
        let first_page = raw_slice(start as *const u8, PAGE.min(end - start));
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
    /// The addresses of the module around an address.
    pub(crate) fn find(&self, address: usize) -> Option<Range<usize>> {
        self.modules
            .iter()
            .find(|module| !module.gone && module.range.contains(&address))
            .map(|module| module.range.clone())
    }

    /// Whether these are its modules, in any order. No two of either overlap.
    fn has_just(&self, modules: &[Module]) -> bool {
        let has = |module: &Module| self.modules.iter().any(|own| own.is(module));
        self.modules.len() == modules.len() && modules.iter().all(has)
    }
}
