//! Loaded objects: their addresses, unwind tables and build ids, kept beforehand so that no
//! capture ever asks the loader for its lock.
//!
//! The list is immutable and replaced whole; captures read the current one without a lock.
//! Replaced lists are leaked, because a capture may still be reading one: the number of
//! replacements is bounded. The tables of objects that are there at start-up are read in place,
//! as those are never unloaded; the tables of later ones are copied, so that unloading them under
//! a capture's feet is harmless.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use framehop::{ExplicitModuleSectionInfo, MustNotAllocateDuringUnwind, Unwinder, UnwinderNative};

use super::{fork, supply};

pub(crate) type Tables = &'static [u8];
pub(crate) type ModuleUnwinder = UnwinderNative<Tables, MustNotAllocateDuringUnwind>;

/// Times that the list may be replaced; each leaks a few KiB.
const MAX_REPLACEMENTS: usize = 1024;
/// Bytes of unwind tables that may be copied.
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
    /// Unloaded since; kept for the names in old stacks.
    pub(crate) gone: bool,
}

/// A part of a module: its address in the process and its bytes, in place or copied.
#[derive(Clone, Copy, Default)]
struct Section {
    address: usize,
    bytes: Tables,
}

/// One immutable list.
pub(crate) struct ModuleList {
    pub(crate) unwinder: ModuleUnwinder,
    pub(crate) modules: Vec<Module>,
}

static CURRENT: AtomicPtr<ModuleList> = AtomicPtr::new(ptr::null_mut());
static REPLACEMENTS: AtomicUsize = AtomicUsize::new(0);
static COPIED: AtomicUsize = AtomicUsize::new(0);
/// The loader's counts of loads and unloads when the list was last compared with its own.
static LOADER_COUNTS: AtomicU64 = AtomicU64::new(0);
/// glibc's lock-free `_dl_find_object`, where there is one.
static FIND_OBJECT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
/// Generation plus one of the process that is replacing the list, or 0.
static REPLACING: AtomicU32 = AtomicU32::new(0);

/// The current list; `None` before [`load`].
pub(crate) fn current() -> Option<&'static ModuleList> {
    // Acquire: pairs with the release in `publish`.
    let list = CURRENT.load(Ordering::Acquire);
    // SAFETY: published lists are never changed and never freed.
    unsafe { list.as_ref() }
}

/// Bytes that the copied tables take.
pub(crate) fn copied_bytes() -> usize {
    COPIED.load(Ordering::Relaxed)
}

/// Reads the loader's list for the first time. Inside malloc, but on the first allocation of the
/// process, when no other thread can hold the loader's lock and wait for this one.
pub(crate) fn load() {
    // SAFETY: dlsym with a C string; the symbol's type is declared where it is called.
    let find = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
    FIND_OBJECT.store(find, Ordering::Relaxed);
    let (modules, counts) = loaded(&[], false);
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
    let (mut modules, counts) = loaded(&list.modules, true);
    LOADER_COUNTS.store(counts, Ordering::Relaxed);
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
    publish(modules);
}

/// Makes a module known that was loaded since, from an address in it which is on this thread's
/// stack, so that it cannot be unloaded meanwhile. Inside malloc; takes no lock.
///
/// Returns whether there is a new list.
pub(crate) fn discover(address: usize) -> bool {
    let Some(list) = current() else { return false };
    if list
        .modules
        .iter()
        .any(|module| !module.gone && module.range.contains(&address))
    {
        return false;
    }
    let Some(_replacing) = Replacing::start() else {
        return false;
    };
    let Some(found) = find_object(address) else {
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
    publish(modules)
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
        if held == me || REPLACEMENTS.load(Ordering::Relaxed) >= MAX_REPLACEMENTS {
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

/// Whether there was memory for the list.
fn publish(modules: Vec<Module>) -> bool {
    // The unwinder's own list doubles as it grows, and its first room is for four.
    let bytes = (modules.len() + 4) * UNWINDER_BYTES + size_of::<ModuleList>();
    let make = || {
        let mut unwinder = ModuleUnwinder::new();
        for module in modules.iter().filter(|module| !module.gone) {
            unwinder.add_module(module.for_unwinder());
        }
        Box::into_raw(Box::new(ModuleList { unwinder, modules }))
    };
    // SAFETY: lists are never freed, nor changed.
    let Some(list) = (unsafe { supply::with(bytes, make) }) else {
        return false;
    };
    REPLACEMENTS.fetch_add(1, Ordering::Relaxed);
    // Release: pairs with the acquire in `current`.
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
    /// Whether what is mapped in this module's place is this module. Not by its build id alone:
    /// plugins may have none, and come and go at one place.
    ///
    /// # Safety
    ///
    /// The headers describe a module that is mapped at `bias`.
    unsafe fn is_still(&self, bias: usize, headers: &[Header]) -> bool {
        // SAFETY: the caller's promise.
        let (id, tables) = unsafe { (build_id(bias, headers), unwind_tables(bias, headers)) };
        let (hdr, frames) = tables.unwrap_or_default();
        !self.gone
            && self.build_id == id
            && self.eh_frame_hdr.bytes == hdr.bytes
            && self.eh_frame.bytes == frames.bytes
    }
}

/// The loader's list, and its counts of loads and unloads. Known modules are taken over as they
/// are.
fn loaded(known: &[Module], copy: bool) -> (Vec<Module>, u64) {
    struct Collect<'a> {
        known: &'a [Module],
        copy: bool,
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
            let known = collect
                .known
                .iter()
                .find(|old| old.range == range && old.is_still(bias, headers));
            let module = match known {
                Some(old) => old.clone(),
                None => read_module(bias, headers, info.dlpi_name, range, collect.copy),
            };
            collect.modules.push(module);
        }
        0
    }
    let mut collect = Collect {
        known,
        copy,
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

#[cfg(target_pointer_width = "64")]
type Header = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Header = libc::Elf32_Phdr;

/// # Safety
///
/// As `slice::from_raw_parts`, but null is an empty slice.
unsafe fn raw_slice<'a, T>(start: *const T, len: usize) -> &'a [T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, len) }
}

fn segment(bias: usize, header: &Header) -> Range<usize> {
    let start = bias.wrapping_add(header.p_vaddr as usize);
    start..start.saturating_add(header.p_memsz as usize)
}

/// The addresses from the first to the last loaded segment.
fn mapped(bias: usize, headers: &[Header]) -> Option<Range<usize>> {
    let loads = || {
        headers
            .iter()
            .filter(|h| h.p_type == libc::PT_LOAD)
            .map(|h| segment(bias, h))
    };
    Some(loads().map(|s| s.start).min()?..loads().map(|s| s.end).max()?)
}

/// # Safety
///
/// The headers describe a module that is mapped at `bias`.
unsafe fn read_module(
    bias: usize,
    headers: &[Header],
    name: *const libc::c_char,
    range: Range<usize>,
    copy: bool,
) -> Module {
    // SAFETY: the caller's promise; the loader's names are C strings.
    unsafe {
        let path = if name.is_null() {
            &[][..]
        } else {
            CStr::from_ptr(name).to_bytes()
        };
        let (mut hdr, mut frames) = unwind_tables(bias, headers).unwrap_or_default();
        if copy {
            (hdr, frames) = match (keep(hdr.bytes), keep(frames.bytes)) {
                (Some(h), Some(f)) => (Section { bytes: h, ..hdr }, Section { bytes: f, ..frames }),
                _ => Default::default(),
            };
        }
        Module {
            path: keep(path).unwrap_or_default(),
            build_id: keep(build_id(bias, headers)).unwrap_or_default(),
            range,
            bias,
            eh_frame_hdr: hdr,
            eh_frame: frames,
            gone: false,
        }
    }
}

/// A copy that lives for ever; `None` past the bound on such copies.
fn keep(bytes: &[u8]) -> Option<&'static [u8]> {
    let copied = COPIED.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
    let mut copy = Vec::new();
    if copied > MAX_COPIED || copy.try_reserve_exact(bytes.len()).is_err() {
        COPIED.fetch_sub(bytes.len(), Ordering::Relaxed);
        return None;
    }
    copy.extend_from_slice(bytes);
    Some(copy.leak())
}

/// `.eh_frame_hdr` and `.eh_frame` as they are mapped.
///
/// # Safety
///
/// The headers describe a module that is mapped at `bias`.
unsafe fn unwind_tables(bias: usize, headers: &[Header]) -> Option<(Section, Section)> {
    let hdr = segment(
        bias,
        headers.iter().find(|h| h.p_type == libc::PT_GNU_EH_FRAME)?,
    );
    // SAFETY: the segment is mapped and readable.
    let hdr_bytes: Tables = unsafe { raw_slice(hdr.start as *const u8, hdr.len()) };
    // Version 1, and the pointer to .eh_frame relative to itself in 4 signed bytes: what every
    // linker writes.
    let [1, 0x1b, _, _, a, b, c, d, ..] = *hdr_bytes else {
        return None;
    };
    let distance = i32::from_ne_bytes([a, b, c, d]) as isize;
    let start = (hdr.start + 4).wrapping_add_signed(distance);
    // The tables say themselves where they end; the segment only bounds the reading.
    let end = headers
        .iter()
        .filter(|h| h.p_type == libc::PT_LOAD)
        .map(|h| segment(bias, h))
        .find(|s| s.contains(&start))?
        .end;
    // SAFETY: from `start` to the end of its segment everything is mapped.
    let bytes = unsafe { raw_slice(start as *const u8, end - start) };
    Some((
        Section {
            address: hdr.start,
            bytes: hdr_bytes,
        },
        Section {
            address: start,
            bytes,
        },
    ))
}

/// The GNU build id among a module's notes, empty if there is none.
///
/// # Safety
///
/// The headers describe a module that is mapped at `bias`.
unsafe fn build_id<'a>(bias: usize, headers: &[Header]) -> &'a [u8] {
    const NT_GNU_BUILD_ID: u32 = 3;
    for header in headers.iter().filter(|h| h.p_type == libc::PT_NOTE) {
        let notes = segment(bias, header);
        // SAFETY: the segment is mapped and readable.
        let mut rest: &[u8] = unsafe { raw_slice(notes.start as *const u8, notes.len()) };
        let align = (header.p_align as usize).clamp(4, 8);
        while let Some((head, body)) = rest.split_first_chunk::<12>() {
            let word = |i: usize| {
                u32::from_ne_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]) as usize
            };
            let (name_len, desc_len, kind) = (word(0), word(4), word(8) as u32);
            let desc_at = (12 + name_len).next_multiple_of(align) - 12;
            let Some(desc) = body.get(desc_at..desc_at.saturating_add(desc_len)) else {
                break;
            };
            if kind == NT_GNU_BUILD_ID && body.starts_with(b"GNU\0") {
                return desc;
            }
            let next = (12 + desc_at + desc_len).next_multiple_of(align) - 12;
            rest = body.get(next..).unwrap_or_default();
        }
    }
    &[]
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

#[cfg(target_pointer_width = "64")]
type ElfHeader = libc::Elf64_Ehdr;
#[cfg(target_pointer_width = "32")]
type ElfHeader = libc::Elf32_Ehdr;

/// The module around an address on this thread's stack, without the loader's lock.
fn find_object(address: usize) -> Option<Module> {
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
        let elf = &*(start as *const ElfHeader);
        let headers_end =
            elf.e_phoff as usize + usize::from(elf.e_phnum) * usize::from(elf.e_phentsize);
        if !elf.e_ident.starts_with(b"\x7fELF")
            || usize::from(elf.e_phentsize) != size_of::<Header>()
            || headers_end > 4096.min(end - start)
        {
            return None;
        }
        let headers = raw_slice(
            (start + elf.e_phoff as usize) as *const Header,
            elf.e_phnum.into(),
        );
        let map = &*found.link_map;
        let range = mapped(map.l_addr, headers)?;
        Some(read_module(map.l_addr, headers, map.l_name, range, true))
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
}
