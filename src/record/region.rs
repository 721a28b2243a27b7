//! The reserved address range in which all sampled blocks live. Beside them there is only the
//! allocator's own bookkeeping for it, and large blocks that were sampled until they were resized:
//! these have no record, and are freed as any other.
//!
//! It is filled by jemalloc arenas of our own, which get their memory through the extent hooks
//! below: a bump pointer over the range. Whether a block was sampled is then a comparison of its
//! address with a constant, for any inner allocator.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ffi::{c_uint, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use tikv_jemalloc_sys as jemalloc;

use super::clock;
use super::loss::Loss;
use super::sampler::mix;
use super::thread;

/// Address space that is asked for; halved until it is granted.
const WANTED: usize = 4 << 40;
/// Below this a region is not worth having: jemalloc takes 2 MiB for each arena's bookkeeping.
const LEAST: usize = 64 << 20;
/// From this size on it is taken to have room for whatever is resized in it.
const ROOMY: usize = WANTED / 4;
/// Under a limit on address space (`ulimit -v`), the region takes at most this share of it: the
/// rest is the program's.
const SHARE_OF_LIMIT: usize = 8;
/// jemalloc wants its chunks on huge page boundaries, as its own mappings are.
const ALIGN: usize = 2 << 20;

/// jemalloc's blocks above this have pages of their own.
const MAX_SLAB: usize = 14 << 10;

const MAX_ARENAS: usize = 16;
const NO_ARENA: u32 = 0;
const ARENA_IN_THE_MAKING: u32 = u32::MAX;

/// What was granted: written once. Blocks of the region lie in it.
static BASE: AtomicUsize = AtomicUsize::new(NOWHERE);
static LEN: AtomicUsize = AtomicUsize::new(0);

/// An address that no block is near.
const NOWHERE: usize = 1 << (usize::BITS - 1);

/// Where the region is looked for by [`may_contain`].
///
/// On x86-64 it is always asked for at the same place, far from where the kernel puts anything by
/// itself, so that telling a block takes no load at all. Blocks start at a random place in it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn window() -> usize {
    8 << 40
}

/// Where the region is looked for by [`may_contain`]: elsewhere address spaces differ too much in
/// size for a fixed place.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn window() -> usize {
    // Relaxed: see `may_contain`.
    BASE.load(Ordering::Relaxed)
}

/// Bytes of the range that have been handed to jemalloc.
static USED: AtomicUsize = AtomicUsize::new(0);

/// jemalloc arena index plus one, or one of the two constants above. The last one is for blocks
/// that are returned to the system as soon as they are freed.
static ARENAS: [AtomicU32; MAX_ARENAS + 1] = [const { AtomicU32::new(NO_ARENA) }; MAX_ARENAS + 1];
static ARENAS_IN_USE: AtomicUsize = AtomicUsize::new(1);
static OVERSIZE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Whether an address may be that of a sampled block: whether it lies within what was asked for
/// as the region. Where less was granted, others' blocks may lie there too, so the slow path asks
/// [`contains`].
#[inline(always)]
pub(crate) fn may_contain(ptr: *mut u8) -> bool {
    // A thread that holds a block of the region got it, through whatever it synchronised with,
    // from a thread that had seen the region set up, and so sees it set up itself. For other
    // blocks a wrong yes is put right by `contains`.
    (ptr as usize).wrapping_sub(window()) < WANTED
}

/// Whether an address is that of a sampled block.
pub(crate) fn contains(ptr: *mut u8) -> bool {
    // Acquire: pairs with the release in `reserve`; a thread that sees the length sees the base.
    let len = LEN.load(Ordering::Acquire);
    (ptr as usize).wrapping_sub(BASE.load(Ordering::Relaxed)) < len
}

/// Reserves the range. Called once, before the first sample; on failure nothing is ever sampled.
pub(crate) fn reserve() {
    let mut size = WANTED;
    if let Some(limit) = address_space_limit() {
        size = size.min((limit / SHARE_OF_LIMIT) & !(ALIGN - 1));
    }
    while size >= LEAST {
        if let Some(start) = map(size) {
            let base = start.next_multiple_of(ALIGN);
            let len = size - (base - start);
            // Up to half of it is left out in front, so that addresses cannot be foreseen.
            let skipped = mix(clock::now_ns() ^ random_bits()) as usize % (len / 2);
            USED.store(skipped & !(ALIGN - 1), Ordering::Relaxed);
            BASE.store(base, Ordering::Relaxed);
            ARENAS_IN_USE.store(processors().clamp(1, MAX_ARENAS), Ordering::Relaxed);
            OVERSIZE.store(oversize_threshold(), Ordering::Relaxed);
            // Release: whoever sees the length sees the base.
            LEN.store(len, Ordering::Release);
            return;
        }
        size /= 2;
    }
}

/// Reserves address space in the window.
fn map(size: usize) -> Option<usize> {
    let (hint, at_hint) = if cfg!(target_arch = "x86_64") {
        (window(), libc::MAP_FIXED_NOREPLACE)
    } else {
        (0, 0)
    };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | at_hint;
    // SAFETY: a fresh anonymous mapping where nothing is mapped touches nothing that exists.
    let start = unsafe {
        libc::mmap(
            ptr::without_provenance_mut(hint),
            size,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    if hint != 0 && start as usize != hint {
        // A kernel that does not know the flag took the address for a wish.
        // SAFETY: the mapping was made just now and is not used.
        unsafe { libc::munmap(start, size) };
        return None;
    }
    Some(start as usize)
}

/// 16 bytes of the kernel's randomness, which each process is started with, folded.
fn random_bits() -> u64 {
    // SAFETY: AT_RANDOM is the address of 16 readable bytes, or 0.
    unsafe {
        let bytes = libc::getauxval(libc::AT_RANDOM) as *const [u8; 8];
        if bytes.is_null() {
            0
        } else {
            mix(u64::from_ne_bytes(*bytes))
        }
    }
}

/// Whether there is a region.
pub(crate) fn is_reserved() -> bool {
    // Relaxed: `allocate` finds out for sure.
    LEN.load(Ordering::Relaxed) != 0
}

/// Whether the region has more room than any program has memory, so that blocks which need not be
/// in it take nothing away from those which must.
pub(crate) fn is_roomy() -> bool {
    // Relaxed: written once, and either answer is sound.
    LEN.load(Ordering::Relaxed) >= ROOMY
}

/// Makes the first arena, which also makes sure that jemalloc has started.
pub(crate) fn warm_up() {
    let _ = arena_in(0);
}

/// Why [`allocate`] returns null.
pub(crate) fn why_not() -> Loss {
    if is_reserved() {
        Loss::RegionFull
    } else {
        Loss::RegionRefused
    }
}

/// Allocates a block in the region; null if that cannot be.
pub(crate) fn allocate(layout: Layout, zeroed: bool) -> *mut u8 {
    let Some(arena) = arena_for(layout.size()) else {
        return ptr::null_mut();
    };
    let zero = if zeroed { jemalloc::MALLOCX_ZERO } else { 0 };
    let size = roomy_size(layout.size());
    // SAFETY: the size is not zero, and the flags name an arena that exists.
    unsafe { jemalloc::mallocx(size, flags(arena, layout.align()) | zero) }.cast()
}

/// Gives a block back.
///
/// # Safety
///
/// `ptr` came from [`allocate`] or [`reallocate`] and is not used again.
pub(crate) unsafe fn free(ptr: *mut u8) {
    // Past the thread cache: what lies there would be handed out again as an ordinary block.
    // SAFETY: the caller's promise.
    unsafe { jemalloc::dallocx(ptr.cast(), jemalloc::MALLOCX_TCACHE_NONE) }
}

/// Blocks whose free waits; each one's first word is the address of the next.
static DEFERRED: AtomicPtr<usize> = AtomicPtr::new(ptr::null_mut());

/// Keeps a block until [`settle_deferred`].
///
/// # Safety
///
/// As [`free`].
pub(crate) unsafe fn defer(ptr: *mut u8) {
    let block = ptr.cast::<usize>();
    let mut next = DEFERRED.load(Ordering::Relaxed);
    loop {
        // SAFETY: the block is the caller's, and jemalloc's smallest have a word.
        unsafe { block.write_unaligned(next as usize) };
        // Release: who takes the block sees the next one's address in it.
        match DEFERRED.compare_exchange_weak(next, block, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => next = now,
        }
    }
}

/// Gives the deferred blocks back, each after `settle` was called with its address.
pub(crate) fn settle_deferred(settle: impl Fn(usize)) {
    // Relaxed: a block that is missed now is there the next time.
    if DEFERRED.load(Ordering::Relaxed).is_null() {
        return;
    }
    // Acquire: pairs with the release in `defer`. All at once, so that no block can be taken out
    // and come back between a look at it and an exchange.
    let mut block = DEFERRED.swap(ptr::null_mut(), Ordering::Acquire);
    while !block.is_null() {
        // SAFETY: as `defer` left it; taken out by this thread alone.
        let next = unsafe { block.read_unaligned() } as *mut usize;
        settle(block as usize);
        // SAFETY: the promise made to `defer`.
        unsafe { free(block.cast()) };
        block = next;
    }
}

/// Resizes a block within the region; null if that cannot be, and then the block is as it was.
///
/// # Safety
///
/// `ptr` came from [`allocate`] or [`reallocate`]; it is not used again unless null is returned.
pub(crate) unsafe fn reallocate(ptr: *mut u8, align: usize, new_size: usize) -> *mut u8 {
    let Some(arena) = arena_for(new_size) else {
        return ptr::null_mut();
    };
    let size = roomy_size(new_size);
    // SAFETY: the caller's promise; the size is not zero.
    unsafe { jemalloc::rallocx(ptr.cast(), size, flags(arena, align)) }.cast()
}

/// Small sampled blocks are few. In jemalloc's size classes each would mostly be alone in its slab of
/// up to seven pages, made for it and given up after it, which costs more time than all else about a
/// sample, and memory; in these few sizes they share slabs, of one page up to 4 KiB.
fn roomy_size(size: usize) -> usize {
    match size {
        0..=128 => 128,
        129..=512 => 512,
        513..=MAX_SLAB => size.next_power_of_two(),
        size => size,
    }
}

fn flags(arena: u32, align: usize) -> i32 {
    jemalloc::MALLOCX_ARENA(arena as usize)
        | jemalloc::MALLOCX_TCACHE_NONE
        | jemalloc::MALLOCX_LG_ALIGN(align.trailing_zeros() as usize)
}

/// The arena that this thread prefers for a block, made if need be.
fn arena_for(size: usize) -> Option<u32> {
    // Relaxed: both are written once, before anything is sampled.
    let slot = if size >= OVERSIZE.load(Ordering::Relaxed) {
        MAX_ARENAS
    } else {
        thread::number() % ARENAS_IN_USE.load(Ordering::Relaxed)
    };
    arena_in(slot).or_else(|| arena_in(0))
}

/// The arena in a slot. `None` while another thread makes it, and when there can be none.
fn arena_in(slot: usize) -> Option<u32> {
    if !is_reserved() {
        return None;
    }
    let slot_cell = &ARENAS[slot];
    // Acquire: pairs with the release below, so that the arena is seen as it was set up.
    match slot_cell.load(Ordering::Acquire) {
        NO_ARENA => {}
        ARENA_IN_THE_MAKING => return None,
        index => return Some(index - 1),
    }
    // Acquire on failure for the same reason; on success nothing has been published yet.
    slot_cell
        .compare_exchange(
            NO_ARENA,
            ARENA_IN_THE_MAKING,
            Ordering::Relaxed,
            Ordering::Relaxed,
        )
        .ok()?;
    let made = create_arena(slot == MAX_ARENAS);
    slot_cell.store(made.map_or(NO_ARENA, |index| index + 1), Ordering::Release);
    made
}

fn create_arena(oversize: bool) -> Option<u32> {
    let mut index: c_uint = 0;
    let mut len = size_of::<c_uint>();
    let mut hooks: *const jemalloc::extent_hooks_t = &raw const HOOKS.0;
    // SAFETY: "arenas.create" (unsigned, extent_hooks_t *): creates an arena with these hooks and
    // returns its index; the hooks are static.
    let failed = unsafe {
        jemalloc::mallctl(
            c"arenas.create".as_ptr(),
            (&raw mut index).cast(),
            &raw mut len,
            (&raw mut hooks).cast(),
            size_of_val(&hooks),
        )
    };
    if failed != 0 {
        return None;
    }
    if oversize {
        purge_at_once(index);
    }
    Some(index)
}

/// As jemalloc does with its own arena for huge blocks: their pages go back when they are freed.
fn purge_at_once(arena: u32) {
    let mut mib = [0_usize; 3];
    let mut len = mib.len();
    let mut decay: isize = 0;
    // SAFETY: "arena.<i>.dirty_decay_ms" (ssize_t): time until unused dirty pages are purged; 0 is
    // at once. The name has three parts, of which the second is the arena's index.
    unsafe {
        let name = c"arena.0.dirty_decay_ms".as_ptr();
        if jemalloc::mallctlnametomib(name, mib.as_mut_ptr(), &raw mut len) == 0 {
            mib[1] = arena as usize;
            jemalloc::mallctlbymib(
                mib.as_ptr(),
                len,
                ptr::null_mut(),
                ptr::null_mut(),
                (&raw mut decay).cast(),
                size_of::<isize>(),
            );
        }
    }
}

/// From which size on jemalloc itself would use its arena for huge blocks.
fn oversize_threshold() -> usize {
    let mut value: usize = 0;
    let mut len = size_of::<usize>();
    // SAFETY: "opt.oversize_threshold" (size_t): read only.
    let failed = unsafe {
        jemalloc::mallctl(
            c"opt.oversize_threshold".as_ptr(),
            (&raw mut value).cast(),
            &raw mut len,
            ptr::null_mut(),
            0,
        )
    };
    if failed != 0 || value == 0 {
        usize::MAX
    } else {
        value
    }
}

fn address_space_limit() -> Option<usize> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit fills the struct that it is given.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    (failed == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as usize)
}

/// Processors that this process may use. Not `std::thread::available_parallelism`, which reads
/// files and allocates.
fn processors() -> usize {
    // SAFETY: sched_getaffinity fills the set that it is given, which plain zeroes are valid for.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) != 0 {
            return 1;
        }
        libc::CPU_COUNT(&set) as usize
    }
}

struct Hooks(jemalloc::extent_hooks_t);

// SAFETY: plain function pointers; jemalloc only reads them.
unsafe impl Sync for Hooks {}

/// No `destroy`, `commit` and `decommit`: arenas live for ever, and what is handed out is
/// committed.
static HOOKS: Hooks = Hooks(jemalloc::extent_hooks_t {
    alloc: Some(extent_alloc),
    dalloc: Some(extent_dalloc),
    destroy: None,
    commit: None,
    decommit: None,
    purge_lazy: None,
    purge_forced: Some(extent_purge),
    split: Some(extent_split),
    merge: Some(extent_merge),
});

/// Bumps. The memory is the kernel's zero pages because no address is handed out twice.
unsafe extern "C" fn extent_alloc(
    _hooks: *mut jemalloc::extent_hooks_t,
    new_addr: *mut c_void,
    size: usize,
    alignment: usize,
    zero: *mut bool,
    commit: *mut bool,
    _arena: c_uint,
) -> *mut c_void {
    // A wish for one address is a wish to grow in place, which a bump pointer shared by all arenas
    // cannot promise.
    if !new_addr.is_null() {
        return ptr::null_mut();
    }
    let Some(start) = bump(size, alignment) else {
        return ptr::null_mut();
    };
    // SAFETY: the range was reserved by `reserve` and handed to nobody else.
    if unsafe {
        libc::mprotect(
            start as *mut c_void,
            size,
            libc::PROT_READ | libc::PROT_WRITE,
        )
    } != 0
    {
        give_back(start, size);
        return ptr::null_mut();
    }
    // SAFETY: jemalloc passes valid pointers to its two answers.
    unsafe {
        *zero = true;
        *commit = true;
    }
    start as *mut c_void
}

fn bump(size: usize, alignment: usize) -> Option<usize> {
    let base = BASE.load(Ordering::Relaxed);
    let len = LEN.load(Ordering::Relaxed);
    let mut used = USED.load(Ordering::Relaxed);
    loop {
        let start = (base + used).checked_next_multiple_of(alignment)?;
        let end = start.checked_add(size)?;
        if end > base + len {
            return None;
        }
        // Relaxed: the addresses are all that is shared; what is written there is published by
        // jemalloc's own locks.
        match USED.compare_exchange_weak(used, end - base, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return Some(start),
            Err(now) => used = now,
        }
    }
}

/// Undoes the last bump, so that refusals of memory do not use the region up. If others have bumped
/// since, the range is lost.
fn give_back(start: usize, size: usize) {
    // Relaxed, as in `bump`: nobody has the range.
    let start = start - BASE.load(Ordering::Relaxed);
    let _ = USED.compare_exchange(start + size, start, Ordering::Relaxed, Ordering::Relaxed);
}

/// Refuses, so that jemalloc keeps the range and uses it again.
unsafe extern "C" fn extent_dalloc(
    _hooks: *mut jemalloc::extent_hooks_t,
    _addr: *mut c_void,
    _size: usize,
    _committed: bool,
    _arena: c_uint,
) -> bool {
    true
}

unsafe extern "C" fn extent_purge(
    _hooks: *mut jemalloc::extent_hooks_t,
    addr: *mut c_void,
    _size: usize,
    offset: usize,
    length: usize,
    _arena: c_uint,
) -> bool {
    // SAFETY: jemalloc names unused pages of an extent that it got from `extent_alloc`.
    unsafe { libc::madvise(addr.byte_add(offset), length, libc::MADV_DONTNEED) != 0 }
}

unsafe extern "C" fn extent_split(
    _hooks: *mut jemalloc::extent_hooks_t,
    _addr: *mut c_void,
    _size: usize,
    _size_a: usize,
    _size_b: usize,
    _committed: bool,
    _arena: c_uint,
) -> bool {
    false
}

unsafe extern "C" fn extent_merge(
    _hooks: *mut jemalloc::extent_hooks_t,
    _addr_a: *mut c_void,
    _size_a: usize,
    _addr_b: *mut c_void,
    _size_b: usize,
    _committed: bool,
    _arena: c_uint,
) -> bool {
    false
}
