//! Reads the calling thread's stack without ever crashing.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

use super::thread;

/// Stack that a walk may need below where it starts.
const ROOM_TO_WALK: usize = 24 << 10;
/// Stack that making a rule cache may need: it is built on the stack before it is moved.
const ROOM_FOR_CACHES: usize = 160 << 10;
/// What is taken for the main thread's stack where its size is not limited.
const UNLIMITED: usize = 64 << 20;

/// What a walk from one stack pointer may read.
pub(crate) struct ThreadStack {
    /// Read directly from here...
    from: usize,
    /// ...to here; the same if the stack pointer is outside the thread's own stack.
    to: usize,
    room: usize,
}

impl ThreadStack {
    /// `None` if too little stack is left for a walk.
    pub(crate) fn from(sp: usize) -> Option<ThreadStack> {
        let (low, high) = thread::stack().unwrap_or_else(|| {
            let bounds = find_bounds(sp);
            thread::set_stack(bounds.0, bounds.1);
            bounds
        });
        if !(low..high).contains(&sp) {
            // A coroutine's stack: how much is left of it is not known. Where a guard page ends it,
            // that page cannot be read; nothing tells the end of a stack without one.
            return room_is_readable(sp).then_some(ThreadStack {
                from: 0,
                to: 0,
                room: ROOM_TO_WALK,
            });
        }
        let room = sp - low;
        (room >= ROOM_TO_WALK).then_some(ThreadStack {
            from: sp,
            to: high,
            room,
        })
    }

    /// Whether there is enough stack left to make rule caches.
    pub(crate) fn room_for_caches(&self) -> bool {
        self.room >= ROOM_FOR_CACHES
    }

    /// The word at an address, if it can be read.
    pub(crate) fn read(&self, address: usize) -> Option<u64> {
        if !address.is_multiple_of(align_of::<usize>()) {
            return None;
        }
        if self.from <= address && address < self.to {
            // SAFETY: from the stack pointer to its upper end a stack is mapped, and the address
            // is aligned, so the word does not reach over the end. Volatile, because other code
            // may hold references to what is read.
            return Some(
                unsafe { ptr::with_exposed_provenance::<usize>(address).read_volatile() } as u64,
            );
        }
        read_through_kernel(address)
    }
}

/// Whether every page of the room below a stack pointer can be read: looked at with one call.
fn room_is_readable(sp: usize) -> bool {
    /// No page is smaller.
    const PAGE: usize = 4096;
    const WORDS: usize = ROOM_TO_WALK / PAGE + 1;
    let mut words = [0_usize; WORDS];
    let to = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: size_of_val(&words),
    };
    let from: [_; WORDS] = std::array::from_fn(|page| libc::iovec {
        iov_base: (sp.saturating_sub(page * PAGE) & !(align_of::<usize>() - 1)) as *mut _,
        iov_len: size_of::<usize>(),
    });
    // SAFETY: writes at most the words; the kernel checks the other side.
    let read = unsafe {
        let pages = WORDS as libc::c_ulong;
        libc::process_vm_readv(libc::getpid(), &raw const to, 1, from.as_ptr(), pages, 0)
    };
    read == size_of_val(&words) as isize
}

fn read_through_kernel(address: usize) -> Option<u64> {
    let mut word: usize = 0;
    let to = libc::iovec {
        iov_base: (&raw mut word).cast(),
        iov_len: size_of::<usize>(),
    };
    let from = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: size_of::<usize>(),
    };
    // SAFETY: writes at most one word into `word`; the kernel checks the other side.
    let read =
        unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0) };
    (read == size_of::<usize>() as isize).then_some(word as u64)
}

/// Low and high end of the calling thread's own stack; empty if they cannot be had.
fn find_bounds(sp: usize) -> (usize, usize) {
    // SAFETY: two system calls without arguments.
    let is_main = unsafe { libc::gettid() == libc::getpid() };
    if is_main {
        let main = main_bounds();
        // In a child that another thread than the main one forked, this is that thread's stack.
        if (main.0..main.1).contains(&sp) {
            return main;
        }
    }
    thread_bounds()
}

/// The main thread's stack lies below the kernel's 16 random bytes, and mappings keep away from it
/// by its limit. Not by pthread_getattr_np, which reads a file for the main thread.
fn main_bounds() -> (usize, usize) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getauxval reads a table of the process; getrlimit fills the struct it is given.
    let (top, failed) = unsafe {
        (
            libc::getauxval(libc::AT_RANDOM) as usize,
            libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit),
        )
    };
    let size = match limit.rlim_cur {
        libc::RLIM_INFINITY => UNLIMITED,
        size => size as usize,
    };
    if failed != 0 {
        (0, 0)
    } else {
        (top.saturating_sub(size), top)
    }
}

fn thread_bounds() -> (usize, usize) {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut low = ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes are filled by the first call, read by the second and released by the
    // third, and only if the first succeeded.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return (0, 0);
        }
        let failed = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if failed != 0 {
            (0, 0)
        } else {
            (low as usize, low as usize + size)
        }
    }
}
