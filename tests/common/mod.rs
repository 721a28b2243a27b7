//! What the tests of the inner layer share: raw blocks, and counters by function.
//!
//! Names are not needed to find a site: a stack belongs to a function if one of its return
//! addresses lies in it.
#![allow(dead_code, unreachable_pub)]

pub mod branches;
pub mod build;
pub mod child;
pub mod either;
pub mod exact;
pub mod fork;
pub mod late;
#[cfg(feature = "server")]
pub mod program;
pub mod random;
pub mod setting;
pub mod stacks;
pub mod status;

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use heapwatch::Snapshot;

unsafe extern "C" {
    fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
}

/// Start of the function that a return address returns into; 0 if there is none.
pub fn function_of(return_address: u64) -> usize {
    // SAFETY: looks an address up, whatever it is; a return address may lie behind its function.
    unsafe { _Unwind_FindEnclosingFunction((return_address - 1) as *mut c_void) as usize }
}

/// A site's counters, or a sum of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub live_objects: f64,
    pub live_bytes: f64,
    pub allocated_objects: f64,
    pub allocated_bytes: f64,
    pub freed_objects: f64,
    pub freed_bytes: f64,
    pub live_variance: f64,
    pub allocated_objects_variance: f64,
    pub allocated_bytes_variance: f64,
    pub samples: f64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.live_objects += other.live_objects;
        self.live_bytes += other.live_bytes;
        self.allocated_objects += other.allocated_objects;
        self.allocated_bytes += other.allocated_bytes;
        self.freed_objects += other.freed_objects;
        self.freed_bytes += other.freed_bytes;
        self.live_variance += other.live_variance;
        self.allocated_objects_variance += other.allocated_objects_variance;
        self.allocated_bytes_variance += other.allocated_bytes_variance;
        self.samples += other.samples;
    }
}

impl std::ops::Sub for Counts {
    type Output = Counts;

    fn sub(self, other: Counts) -> Counts {
        Counts {
            live_objects: self.live_objects - other.live_objects,
            live_bytes: self.live_bytes - other.live_bytes,
            allocated_objects: self.allocated_objects - other.allocated_objects,
            allocated_bytes: self.allocated_bytes - other.allocated_bytes,
            freed_objects: self.freed_objects - other.freed_objects,
            freed_bytes: self.freed_bytes - other.freed_bytes,
            live_variance: self.live_variance - other.live_variance,
            allocated_objects_variance: self.allocated_objects_variance
                - other.allocated_objects_variance,
            allocated_bytes_variance: self.allocated_bytes_variance
                - other.allocated_bytes_variance,
            samples: self.samples - other.samples,
        }
    }
}

impl Counts {
    /// Live and cumulative objects and bytes, without what an estimate adds.
    pub fn exact(live: (usize, usize), allocated: (usize, usize)) -> Counts {
        Counts {
            live_objects: live.0 as f64,
            live_bytes: live.1 as f64,
            allocated_objects: allocated.0 as f64,
            allocated_bytes: allocated.1 as f64,
            freed_objects: (allocated.0 - live.0) as f64,
            freed_bytes: (allocated.1 - live.1) as f64,
            samples: allocated.0 as f64,
            ..Counts::default()
        }
    }
}

/// The counters of each site, with its return addresses, innermost first.
pub fn sites(snapshot: &Snapshot) -> impl Iterator<Item = (Vec<u64>, Counts)> {
    snapshot.sites().iter().map(|site| {
        let address = |&at: &u32| snapshot.locations()[at as usize].address;
        let counts = Counts {
            live_objects: site.live.objects,
            live_bytes: site.live.bytes,
            allocated_objects: site.allocated.objects,
            allocated_bytes: site.allocated.bytes,
            freed_objects: site.freed.objects,
            freed_bytes: site.freed.bytes,
            live_variance: site.live.bytes_variance,
            allocated_objects_variance: site.allocated.objects_variance,
            allocated_bytes_variance: site.allocated.bytes_variance,
            samples: site.samples as f64,
        };
        (site.stack.iter().map(address).collect(), counts)
    })
}

/// Counters by return address in a function, over all stacks that run through it.
pub fn by_line(snapshot: &Snapshot, function: *const ()) -> BTreeMap<u64, Counts> {
    let mut lines = BTreeMap::new();
    for (stack, counts) in sites(snapshot) {
        let inside = |address: &&u64| function_of(**address) == function as usize;
        if let Some(&line) = stack.iter().find(inside) {
            *lines.entry(line).or_default() += counts;
        }
    }
    lines
}

/// The sum over all stacks that run through a function.
pub fn through(snapshot: &Snapshot, function: *const ()) -> Counts {
    let mut sum = Counts::default();
    for counts in by_line(snapshot, function).into_values() {
        sum += counts;
    }
    sum
}

/// What now runs through a function.
pub fn now_through(function: *const ()) -> Counts {
    through(&heapwatch::snapshot().unwrap(), function)
}

/// A block from the global allocator, freed only by [`Block::free`]. The compiler, which may leave
/// out allocations that nobody looks at, is kept from it.
#[derive(Debug)]
pub struct Block {
    pub start: NonNull<u8>,
    pub layout: Layout,
}

// SAFETY: the block is nobody else's.
unsafe impl Send for Block {}

pub fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).unwrap()
}

impl Block {
    /// # Safety
    ///
    /// `start` is null or a block of the global allocator with this layout.
    #[inline(always)]
    pub unsafe fn new(start: *mut u8, layout: Layout) -> Option<Block> {
        NonNull::new(start).map(|start| Block { start, layout })
    }

    #[inline(always)]
    pub fn alloc(layout: Layout) -> Option<Block> {
        // SAFETY: no layout here has size 0.
        unsafe { Block::new(black_box(std::alloc::alloc(layout)), layout) }
    }

    #[inline(always)]
    pub fn zeroed(layout: Layout) -> Option<Block> {
        // SAFETY: no layout here has size 0.
        unsafe { Block::new(black_box(std::alloc::alloc_zeroed(layout)), layout) }
    }

    /// Resizes; false if that failed.
    #[inline(always)]
    pub fn resize(&mut self, size: usize) -> bool {
        // SAFETY: the block is live and has this layout.
        let start = unsafe { std::alloc::realloc(self.start.as_ptr(), self.layout, size) };
        match NonNull::new(black_box(start)) {
            Some(start) => {
                self.start = start;
                self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
                true
            }
            None => false,
        }
    }

    pub fn free(self) {
        // SAFETY: the block is live and has this layout.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) }
    }

    pub fn size(&self) -> usize {
        self.layout.size()
    }

    pub fn is_aligned(&self) -> bool {
        (self.start.as_ptr() as usize).is_multiple_of(self.layout.align())
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the block is live, and this test's alone; it was filled or zeroed before.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.size()) }
    }

    /// Fills with a pattern that depends on `seed` and on the place.
    pub fn fill(&mut self, seed: u64) {
        // SAFETY: within the block.
        unsafe { self.start.write_bytes(0, self.size()) };
        for (i, byte) in self.bytes().iter_mut().enumerate() {
            *byte = pattern(seed, i);
        }
    }

    /// Whether the first `len` bytes are as [`Block::fill`] left them.
    pub fn holds(&mut self, seed: u64, len: usize) -> bool {
        self.bytes()[..len]
            .iter()
            .enumerate()
            .all(|(i, byte)| *byte == pattern(seed, i))
    }
}

fn pattern(seed: u64, i: usize) -> u8 {
    (seed.wrapping_mul(31).wrapping_add(i as u64 * 7) % 251) as u8 + 1
}

/// The interval is the process's: tests in one binary that set it take turns.
pub fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SplitMix64, so that a failure can be had again.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
