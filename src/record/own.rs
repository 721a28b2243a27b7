//! Memory for everything that `record` keeps: from mappings of its own, never from the global
//! allocator or the inner one, so that a table may grow under its lock, whatever locks the inner
//! allocator has.
//!
//! Large requests have a mapping each, which goes back to the system when they are freed. Small ones
//! come from size classes cut out of shared mappings, which stay.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocator_api2::alloc::{AllocError, Allocator};

use super::fork::PerProcess;
use super::sync::lock;

/// A vector in memory of ours.
pub(crate) type OwnVec<T> = allocator_api2::vec::Vec<T, Own>;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Sites,
    Live,
    Scopes,
    /// Lists of loaded objects, and copies of their tables.
    Modules,
    /// What walks keep: unwind rules, the last walk of each thread, stacks to walk on.
    Walks,
}

const PURPOSES: usize = 5;

/// Bytes in use, by purpose.
static USED: [AtomicUsize; PURPOSES] = [const { AtomicUsize::new(0) }; PURPOSES];
/// Bytes of all mappings.
static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// The smallest class. Each is twice the one before.
const SMALLEST: usize = 32;
const CLASSES: usize = 10;
/// Above this a request has a mapping of its own.
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// What small blocks are cut from.
const CHUNK: usize = 64 << 10;

impl Own {
    /// Bytes in use for this purpose.
    pub(crate) fn bytes(self) -> usize {
        // Relaxed: a statistic and a bound that may be missed by one request per thread.
        USED[self as usize].load(Ordering::Relaxed)
    }

    /// A copy that stays until it is [forgotten](Self::forget); `None` without memory.
    pub(crate) fn keep<T: Copy>(self, items: &[T]) -> Option<&'static [T]> {
        let mut copy = OwnVec::new_in(self);
        copy.try_reserve_exact(items.len()).ok()?;
        copy.extend_from_slice(items);
        let copy: &'static [T] = OwnVec::leak(copy);
        Some(copy)
    }

    /// Frees a copy.
    ///
    /// # Safety
    ///
    /// [`keep`](Self::keep) made it for the same purpose, and nobody reads it any more.
    pub(crate) unsafe fn forget<T: Copy>(self, copy: &'static [T]) {
        let layout = Layout::for_value(copy);
        if layout.size() > 0 {
            let block = NonNull::from(copy).cast();
            // SAFETY: the caller's promise; a vector of this very size was leaked.
            unsafe { self.deallocate(block, layout) };
        }
    }
}

/// Bytes of all mappings of ours, exactly.
pub(crate) fn mapped_bytes() -> usize {
    // Relaxed: a statistic.
    MAPPED.load(Ordering::Relaxed)
}

/// Zeroed pages of our own, `None` if the system has none.
pub(crate) fn map(bytes: usize) -> Option<NonNull<u8>> {
    let pages = reserve(bytes)?;
    MAPPED.fetch_add(bytes, Ordering::Relaxed);
    Some(pages)
}

/// As [`map`], for a range of which little is used: the caller counts the bytes in use. Such pages are
/// left out of core dumps, and never made of huge pages, of which a small table would fill a small
/// part.
pub(crate) fn reserve(bytes: usize) -> Option<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh anonymous mapping touches nothing that exists.
    let start = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0)
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: both are advice on the mapping made just now; a refusal changes nothing.
    unsafe {
        libc::madvise(start, bytes, libc::MADV_DONTDUMP);
        libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE);
    }
    NonNull::new(start.cast())
}

/// Gives pages back.
///
/// # Safety
///
/// They came from [`map`] with this size and are not used again.
pub(crate) unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
    MAPPED.fetch_sub(bytes, Ordering::Relaxed);
}

/// Rounds up to whole pages.
pub(crate) fn whole_pages(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(page_size())
}

pub(crate) fn page_size() -> usize {
    // SAFETY: reads a number of the process.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    size.max(4096)
}

/// What a request takes: its class, or whole pages. `None` for what no mapping can be.
fn room_for(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(SMALLEST);
    if size <= LARGEST {
        return Some(size.next_power_of_two());
    }
    (layout.align() <= page_size())
        .then(|| whole_pages(size))
        .flatten()
}

// SAFETY: a block is either a mapping or a part of a chunk, of at least the size and alignment asked
// for, and nobody else's until it is freed. `Own` is `Copy`, and all values of it are alike here.
unsafe impl Allocator for Own {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let room = room_for(layout).ok_or(AllocError)?;
        let block = if room > LARGEST {
            map(room)
        } else {
            HEAP.get_or_init(Heap::new)
                .and_then(|heap| lock(&heap.lists).take(room))
        };
        let block = block.ok_or(AllocError)?;
        USED[*self as usize].fetch_add(room, Ordering::Relaxed);
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        let Some(room) = room_for(layout) else { return };
        USED[*self as usize].fetch_sub(room, Ordering::Relaxed);
        if room > LARGEST {
            // SAFETY: the caller's promise: the block is this mapping.
            unsafe { unmap(block, room) };
        } else if let Some(heap) = HEAP.get() {
            // SAFETY: the caller's promise: the block is of this class, and nobody's now.
            unsafe { lock(&heap.lists).put(block, room) };
        }
    }
}

/// Small blocks. A forked child has a heap of its own: the parent's lock may be held by a thread that
/// the child does not have. Nothing of the parent's is freed in a child.
static HEAP: PerProcess<Heap> = PerProcess::new();

struct Heap {
    lists: Mutex<Lists>,
}

/// Free blocks by class; each one's first word is the address of the next.
struct Lists {
    free: [usize; CLASSES],
    /// What is left of the last chunk.
    next: usize,
    end: usize,
}

impl Heap {
    fn new() -> Heap {
        Heap {
            lists: Mutex::new(Lists {
                free: [0; CLASSES],
                next: 0,
                end: 0,
            }),
        }
    }
}

impl Lists {
    fn take(&mut self, room: usize) -> Option<NonNull<u8>> {
        let head = self.free.get_mut(class_of(room))?;
        if let Some(block) = NonNull::new(ptr::with_exposed_provenance_mut::<usize>(*head)) {
            // SAFETY: a free block, as `put` left it.
            *head = unsafe { block.read() };
            return Some(block.cast());
        }
        if self.end - self.next.next_multiple_of(room).min(self.end) < room {
            let chunk = map(CHUNK)?.as_ptr().expose_provenance();
            self.keep_until(self.end);
            (self.next, self.end) = (chunk, chunk + CHUNK);
        }
        self.keep_until(self.next.next_multiple_of(room));
        let block = self.next;
        self.next += room;
        NonNull::new(ptr::with_exposed_provenance_mut(block))
    }

    /// Hands the next part of a chunk to the free lists, in blocks that are aligned to their size.
    fn keep_until(&mut self, end: usize) {
        while self.next < end {
            let aligned = 1 << self.next.trailing_zeros();
            let room = aligned.min(1 << (end - self.next).ilog2()).min(LARGEST);
            if let Some(block) = NonNull::new(ptr::with_exposed_provenance_mut(self.next)) {
                // SAFETY: this part of the chunk is nobody's; all parts are multiples of the
                // smallest class.
                unsafe { self.put(block, room) };
            }
            self.next += room;
        }
    }

    /// # Safety
    ///
    /// The block is of this class, and nobody's.
    unsafe fn put(&mut self, block: NonNull<u8>, room: usize) {
        if let Some(head) = self.free.get_mut(class_of(room)) {
            // SAFETY: the caller's promise; a class has room for a word, and is aligned to its size.
            unsafe { block.cast::<usize>().write(*head) };
            *head = block.as_ptr().expose_provenance();
        }
    }
}

fn class_of(room: usize) -> usize {
    (room / SMALLEST).trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Blocks that overlap, or are not aligned, would corrupt the tables.
        #[test]
        fn blocks_are_apart_aligned_and_keep_what_is_in_them(
            requests in prop::collection::vec((1_usize..40_000, 0_u32..13, any::<bool>()), 1..120)
        ) {
            let mut held: Vec<(NonNull<[u8]>, Layout, u8)> = Vec::new();
            let mut number = 0_u8;
            for (size, align, free_one) in requests {
                number = number.wrapping_add(1);
                let layout = Layout::from_size_align(size, 1 << align).unwrap();
                let block = Own::Sites.allocate(layout).unwrap();
                prop_assert!(block.cast::<u8>().as_ptr().addr().is_multiple_of(1 << align));
                // SAFETY: the block has this size.
                unsafe { block.cast::<u8>().as_ptr().write_bytes(number, size) };
                held.push((block, layout, number));
                if free_one {
                    let (block, layout, number) = held.swap_remove(size % held.len());
                    // SAFETY: the block is filled and was allocated with this layout.
                    unsafe {
                        prop_assert!(block.as_ref().iter().all(|byte| *byte == number));
                        Own::Sites.deallocate(block.cast(), layout);
                    }
                }
            }
            for (block, layout, number) in held {
                // SAFETY: as above.
                unsafe {
                    prop_assert!(block.as_ref().iter().all(|byte| *byte == number));
                    Own::Sites.deallocate(block.cast(), layout);
                }
            }
        }
    }

    /// A large block that stayed mapped would be kept from the process for good.
    #[test]
    fn large_blocks_go_back_to_the_system() {
        let layout = Layout::from_size_align(64 << 20, 8).unwrap();
        let block = Own::Live.allocate(layout).unwrap();
        assert!(mapped_bytes() >= 64 << 20);
        // SAFETY: allocated above with this layout.
        unsafe { Own::Live.deallocate(block.cast(), layout) };
        assert!(mapped_bytes() < 64 << 20);
    }
}
