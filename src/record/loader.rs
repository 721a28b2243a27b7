//! What the loader says of loaded objects, and what their headers say.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::elf::{Header, PAGE, build_id, mapped, program_headers, raw_slice, unwind_tables};
use super::module_copies::keep;
use super::module_list::Module;
use super::own::{Own, OwnVec};

/// Whether the tables of some module could not be copied.
static COPY_REFUSED: AtomicBool = AtomicBool::new(false);
/// glibc's lock-free `_dl_find_object`, where there is one.
static FIND_OBJECT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Whether stacks end at some module because its tables could not be copied.
pub(crate) fn copy_refused() -> bool {
    COPY_REFUSED.load(Ordering::Relaxed)
}

/// Looks for glibc's lock-free way to ask for a module.
pub(super) fn prepare() {
    // SAFETY: dlsym with a C string; the symbol's type is declared where it is called.
    let find = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) };
    FIND_OBJECT.store(find, Ordering::Relaxed);
}

/// The loader's list, and its counts of loads and unloads. What is kept of known modules is not
/// copied again. `None` if there is no memory.
pub(super) fn loaded(known: Option<&[Module]>) -> Option<(OwnVec<Module>, u64)> {
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

/// Its counts of loads and unloads, as one number.
pub(super) fn loader_counts() -> u64 {
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
        let mut known = known.iter();
        known.any(|old| ptr::eq(old.eh_frame.bytes, frames.bytes))
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
    }
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
pub(super) fn find_object(address: usize, known: &[Module]) -> Option<Module> {
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
