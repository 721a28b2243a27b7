//! The address range in which all small sampled blocks lie, and nothing else: whether a block was
//! sampled is then a comparison of its address with a constant.
//!
//! The region has one array of cells for each class of sizes, a power of two, and as many cells in
//! each as there can be live samples: 2^20. So whatever the mixture of sizes is, there is room, and
//! the whole takes 2^20 · (64 + 128 + … + 32,768) bytes, just below 64 GiB, of address space. None
//! of it is reserved: an array is mapped piece by piece as it grows, so that a limit on address
//! space, a core dump or `mlockall` only ever meets what is in use.
//!
//! Pages whose cells are all free go back to the system by one rule: no class keeps more than
//! [`KEPT`] of free memory for reuse unless live cells share its pages, and none keeps any past the
//! next maintenance.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::cells::{Cells, Taken, WORD};
use super::fork::PerProcess;
use super::loss::Loss;
use super::sampler::mix;
use super::sync::lock;
use super::{clock, own};
use crate::config::MAX_LIVE_SAMPLES;

/// Above this size, or alignment, a block is large. jemalloc's thread caches end here, and with that
/// frees which are so cheap that looking the block's address up would show.
pub(crate) const MAX_SMALL: usize = 32 << 10;

const LOG_SMALLEST: u32 = 6;
const CLASSES: usize = (MAX_SMALL.ilog2() - LOG_SMALLEST + 1) as usize;
const CELLS: usize = MAX_LIVE_SAMPLES;
const WORDS: usize = CELLS / WORD;
/// The binary logarithm of the bytes of the smallest class's array.
const LOG_FIRST_ARRAY: u32 = CELLS.ilog2() + LOG_SMALLEST;
/// Bytes of all arrays.
const SIZE: usize = ((1 << CLASSES) - 1) << LOG_FIRST_ARRAY;

/// Bytes that are mapped at a time: a multiple of any page size.
const PIECE: usize = 256 << 10;
/// Bytes of free cells that a class may keep for reuse.
const KEPT: usize = 512 << 10;

/// Where the region is looked for by [`may_contain`]: far from where the kernel puts anything by
/// itself, and the same in every process, so that telling a block takes no load. Sanitizers have
/// their own memory at the usual place.
const WINDOW: usize = if cfg!(heapwatch_sanitizer = "address") {
    32 << 40
} else if cfg!(heapwatch_sanitizer = "thread") {
    512 << 30
} else if cfg!(target_arch = "x86_64") {
    8 << 40
} else {
    // Below what the smallest address spaces of other architectures have.
    128 << 30
};
/// Bytes of the window. Where address spaces are known to be large the region begins at a random
/// place in it, so that its addresses cannot be foreseen.
const WINDOW_SIZE: usize = if cfg!(target_arch = "x86_64") && WINDOW > 1 << 40 {
    4 << 40
} else {
    64 << 30
};
const _: () = assert!(SIZE < WINDOW_SIZE && WINDOW.is_multiple_of(WINDOW_SIZE));

/// Huge pages are not wanted here, but a base on their boundary keeps all other sizes aligned.
const BASE_ALIGN: usize = 2 << 20;

/// Where the region begins: written once.
static BASE: AtomicUsize = AtomicUsize::new(0);
static ARRAYS: [Array; CLASSES] = [const { Array::new() }; CLASSES];

/// The cells of one class.
struct Array {
    /// Made with the first cell, and never freed.
    state: AtomicPtr<Cells<WORDS>>,
    /// Cells that are mapped.
    len: AtomicUsize,
}

/// Held while an array grows. A forked child has its own: the parent's may be held by a thread that
/// the child does not have.
static GROWING: PerProcess<[Mutex<()>; CLASSES]> = PerProcess::new();

/// Whether an address may be that of a small sampled block: whether it lies in the window. Another
/// copy of this crate may have its own region there, so the slow path asks [`contains`].
#[inline(always)]
pub(crate) fn may_contain(ptr: *mut u8) -> bool {
    (ptr as usize).wrapping_sub(WINDOW) < WINDOW_SIZE
}

/// Whether an address is that of a small sampled block.
pub(crate) fn contains(ptr: *mut u8) -> bool {
    find(ptr).is_some()
}

/// Where a small sampled block lies: its class, and its cell there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    class: usize,
    cell: usize,
}

/// The place of a small sampled block.
#[inline]
pub(crate) fn find(ptr: *mut u8) -> Option<Place> {
    // Relaxed: who has a block of the region got it from a thread that saw the base and the length
    // that it lies in, by whatever they synchronised with.
    let base = BASE.load(Ordering::Relaxed);
    let offset = (ptr as usize)
        .checked_sub(base)
        .filter(|offset| *offset < SIZE && base != 0)?;
    let class = ((offset >> LOG_FIRST_ARRAY) + 1).ilog2();
    let cell = (offset - array_offset(class)) >> (LOG_SMALLEST + class);
    let class = class as usize;
    let array = ARRAYS.get(class)?;
    let taken = cell < array.len.load(Ordering::Relaxed) && array.state()?.is_taken(cell);
    taken.then_some(Place { class, cell })
}

/// Where a class's array begins in the region.
fn array_offset(class: u32) -> usize {
    ((1 << class) - 1) << LOG_FIRST_ARRAY
}

/// Whether blocks of this layout stay with the inner allocator when they are sampled.
#[inline(always)]
pub(crate) fn is_large(size: usize, align: usize) -> bool {
    size > MAX_SMALL || align > MAX_SMALL
}

/// Chooses the place of the region, before the first sample; later calls change nothing.
pub(crate) fn prepare() {
    let room = (WINDOW_SIZE - SIZE) / BASE_ALIGN;
    let random = mix(clock::raw_ns() ^ random_bits()) as usize;
    let skipped = random.checked_rem(room).unwrap_or(0) * BASE_ALIGN;
    // Relaxed: see `find`.
    let _ = BASE.compare_exchange(0, WINDOW + skipped, Ordering::Relaxed, Ordering::Relaxed);
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

/// Allocates a small block in the region; null if that cannot be.
pub(crate) fn allocate(layout: Layout, zeroed: bool) -> *mut u8 {
    let class = class_of(layout.size(), layout.align());
    // A class may be unable to grow; the next one has larger cells.
    let found = (class..CLASSES)
        .take(2)
        .find_map(|class| Some((class, take(class)?)));
    let Some((class, Taken { cell, fresh })) = found else {
        return ptr::null_mut();
    };
    let block: *mut u8 = ptr::with_exposed_provenance_mut(address(class, cell));
    if zeroed && !fresh {
        // SAFETY: the cell is mapped, large enough, and this thread's alone.
        unsafe { block.write_bytes(0, layout.size()) };
    }
    block
}

fn take(class: usize) -> Option<Taken> {
    let array = ARRAYS.get(class)?;
    let state = array.state_or_new()?;
    loop {
        // Acquire: pairs with the release in `grow`, which comes after the mapping.
        let len = array.len.load(Ordering::Acquire);
        if let Some(taken) = state.take(len) {
            return Some(taken);
        }
        array.grow(class, len)?;
    }
}

/// Why [`allocate`] returns null.
pub(crate) fn why_not() -> Loss {
    let mapped = |array: &Array| array.len.load(Ordering::Relaxed) > 0;
    if ARRAYS.iter().any(mapped) {
        Loss::RegionFull
    } else {
        Loss::RegionRefused
    }
}

/// Whether a block of the region would be in the same class with another size.
pub(crate) fn fits(ptr: *mut u8, layout: Layout, new_size: usize) -> bool {
    let class = |size: usize| class_of(size, layout.align());
    contains(ptr) && class(new_size) == class(layout.size())
}

fn class_of(size: usize, align: usize) -> usize {
    let room = size.max(align).max(1 << LOG_SMALLEST).next_power_of_two();
    (room.ilog2() - LOG_SMALLEST) as usize
}

/// Gives a block back, which is not used again.
pub(crate) fn free(Place { class, cell }: Place) {
    let Some(state) = ARRAYS.get(class).and_then(Array::state) else {
        return;
    };
    state.put(cell);
    if state.is_sweep_due(kept(class)) {
        sweep(class);
    }
}

/// Bytes that telling taken cells takes, in the pages that were touched.
pub(crate) fn bytes() -> usize {
    let bits = |array: &Array| 2 * (array.len.load(Ordering::Relaxed) / 8);
    ARRAYS.iter().map(bits).sum()
}

/// Gives back to the system what no live block needs.
pub(crate) fn maintain() {
    for (class, array) in ARRAYS.iter().enumerate() {
        if array.state().is_some_and(|state| state.idle() > 0) {
            sweep(class);
        }
    }
}

fn sweep(class: usize) {
    let Some(array) = ARRAYS.get(class) else {
        return;
    };
    let Some(state) = array.state() else { return };
    let len = array.len.load(Ordering::Acquire);
    let unit = (own::page_size() >> (LOG_SMALLEST as usize + class)).max(1);
    state.sweep(len, unit, kept(class), |cells| {
        let bytes = cells.len() << (LOG_SMALLEST as usize + class);
        // SAFETY: whole pages of the array, of which this thread holds all cells.
        unsafe {
            let start: *mut u8 = ptr::with_exposed_provenance_mut(address(class, cells.start));
            libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED) == 0
        }
    });
}

/// Cells that a class may keep for reuse.
fn kept(class: usize) -> usize {
    KEPT >> (LOG_SMALLEST as usize + class)
}

fn address(class: usize, cell: usize) -> usize {
    // Relaxed: written before there were cells.
    let base = BASE.load(Ordering::Relaxed);
    base + array_offset(class as u32) + (cell << (LOG_SMALLEST as usize + class))
}

impl Array {
    const fn new() -> Array {
        Array {
            state: AtomicPtr::new(ptr::null_mut()),
            len: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> Option<&'static Cells<WORDS>> {
        // Acquire: pairs with the release in `state_or_new`.
        let state = self.state.load(Ordering::Acquire);
        // SAFETY: null or what `state_or_new` published; never freed.
        unsafe { state.as_ref() }
    }

    fn state_or_new(&self) -> Option<&'static Cells<WORDS>> {
        if let Some(state) = self.state() {
            return Some(state);
        }
        let bytes = own::whole_pages(size_of::<Cells<WORDS>>())?;
        let new = own::reserve(bytes)?;
        let published = self.state.compare_exchange(
            ptr::null_mut(),
            new.cast().as_ptr(),
            // Release: the zeroes of the mapping need none, but the order costs nothing.
            Ordering::Release,
            Ordering::Relaxed,
        );
        if published.is_err() {
            // SAFETY: mapped just now, and not published.
            unsafe { libc::munmap(new.as_ptr().cast(), bytes) };
        }
        self.state()
    }

    /// Maps the next piece behind the first `len` cells, unless another thread has done it. `None` if
    /// that cannot be.
    fn grow(&self, class: usize, len: usize) -> Option<()> {
        let growing = GROWING.get_or_init(Default::default)?;
        let _alone = lock(growing.get(class)?);
        // Acquire: as in `take`.
        if self.len.load(Ordering::Acquire) != len {
            return Some(());
        }
        let more = PIECE >> (LOG_SMALLEST as usize + class);
        if BASE.load(Ordering::Relaxed) == 0 || len + more > CELLS {
            return None;
        }
        map_at(address(class, len))?;
        // Release: who sees the length may use the memory.
        self.len.store(len + more, Ordering::Release);
        Some(())
    }
}

/// Maps a piece at an address where nothing is mapped.
fn map_at(address: usize) -> Option<()> {
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a fresh anonymous mapping where nothing is mapped touches nothing that exists.
    let start = unsafe {
        let wanted = ptr::without_provenance_mut(address);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(wanted, PIECE, access, flags, -1, 0)
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    if start as usize != address {
        // A kernel that does not know the last flag took the address for a wish.
        // SAFETY: the mapping was made just now and is not used.
        unsafe { libc::munmap(start, PIECE) };
        return None;
    }
    let _ = start.expose_provenance();
    // SAFETY: advice on the mapping made just now; a refusal changes nothing.
    unsafe { libc::madvise(start, PIECE, libc::MADV_NOHUGEPAGE) };
    Some(())
}

#[cfg(test)]
mod tests;
