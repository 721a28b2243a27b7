//! Reads the calling thread's stack without ever crashing.
//!
//! The thread's own stack is read directly, from where the walk starts, or comes to it, to its upper
//! end. On another stack, a coroutine's say, the first page is, and page by page what lies above it,
//! once the kernel has said that it can be. Elsewhere, and after a wrong guess of the unwinder, the
//! kernel copies, which answers with an error where a load would crash: whole pages at a time. So a
//! walk costs a few system calls at most.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{fork, thread, valgrind};

const WORD: usize = size_of::<usize>();
/// What is copied at once, or a part of it: no page of any system here is smaller.
const PAGE: usize = 4096;
/// Pages above the first one that are read directly on another stack. A walk that wants what lies
/// further away has lost its way, or has left that stack.
const MAX_PAGES: usize = 64;
/// What is taken for the main thread's stack where its size is not limited.
const UNLIMITED: usize = 64 << 20;

/// Copies of parts of stacks that are not the thread's own. All zeroes are no copies.
#[repr(C)]
pub(crate) struct PageCopies {
    windows: [Window; 2],
    /// The one that is overwritten next.
    oldest: usize,
}

#[repr(C)]
struct Window {
    start: usize,
    /// Bytes that could be copied.
    len: usize,
    words: [usize; PAGE / WORD],
}

/// A word of a stack that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word {
    pub(crate) address: usize,
    pub(crate) value: usize,
}

/// What a walk from one stack pointer may read.
pub(crate) struct StackMemory<'a> {
    /// Read directly from here...
    from: usize,
    /// ...to here: the end of the thread's own stack, or of the pages of another one that are known to
    /// be readable.
    to: usize,
    /// Whether that stack may go on above.
    goes_on: bool,
    /// Whether the walk starts on the thread's own stack.
    is_own: bool,
    copies: &'a mut PageCopies,
}

impl<'a> StackMemory<'a> {
    /// For a walk from a stack pointer of this thread's, on whatever stack that is.
    pub(crate) fn new(sp: usize, copies: &'a mut PageCopies) -> StackMemory<'a> {
        let own = find_own_stack(sp);
        let to = match own {
            Some((_, high)) => high & !(WORD - 1),
            // Whatever stack this is, the page that its pointer is in is mapped.
            None => (sp | (PAGE - 1)).wrapping_add(1),
        };
        // What is there is of another walk, and may have changed.
        copies.forget();
        StackMemory {
            from: sp,
            to,
            goes_on: own.is_none(),
            is_own: own.is_some(),
            copies,
        }
    }

    /// The word at an address, if it can be read.
    #[inline(always)]
    pub(crate) fn read(&mut self, address: usize) -> Option<usize> {
        if !self.reads_directly(address) {
            return self.read_elsewhere(address);
        }
        // SAFETY: looked at just now.
        Some(unsafe { load(address) })
    }

    #[inline(always)]
    fn reads_directly(&self, address: usize) -> bool {
        self.from <= address && address < self.to && address.is_multiple_of(WORD)
    }

    #[cold]
    #[inline(never)]
    fn read_elsewhere(&mut self, address: usize) -> Option<usize> {
        if !address.is_multiple_of(WORD) {
            return None;
        }
        let ahead = address.wrapping_sub(self.to);
        if self.goes_on && ahead < MAX_PAGES * PAGE {
            while self.to <= address && is_readable(self.to) {
                self.to += PAGE;
            }
        } else if !self.is_own
            && let Some((_, high)) = own_stack(address)
            && is_readable(address & !(PAGE - 1))
        {
            // From a coroutine's stack to the one that it was resumed on. What is mapped of that
            // has no gaps.
            (self.from, self.to) = (address & !(PAGE - 1), high & !(WORD - 1));
            self.goes_on = false;
        }
        if self.reads_directly(address) {
            // SAFETY: all pages from `from` to `to` were readable when this walk came there. The
            // stack that a thread runs on stays mapped, and so does its own. Only a wrong guess
            // leads past their ends, to what lies directly above.
            return Some(unsafe { load(address) });
        }
        self.copies.read(address)
    }

    /// The word at an address.
    ///
    /// # Safety
    ///
    /// The address is aligned and in [`direct`](Self::direct).
    #[inline(always)]
    pub(crate) unsafe fn read_direct(&self, address: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { load(address) }
    }

    /// The part of the thread's own stack that is read directly; empty on another stack.
    pub(crate) fn direct(&self) -> Range<usize> {
        if self.is_own {
            self.from..self.to
        } else {
            0..0
        }
    }

    /// Place of the first word that has another value now, if any.
    pub(crate) fn first_changed(&mut self, words: &[Word]) -> Option<usize> {
        words
            .iter()
            .position(|word| self.read(word.address) != Some(word.value))
    }

    /// As [`first_changed`](Self::first_changed).
    ///
    /// # Safety
    ///
    /// The words' addresses are aligned and in [`direct`](Self::direct).
    #[inline(always)]
    pub(crate) unsafe fn first_changed_direct(&self, words: &[Word]) -> Option<usize> {
        // SAFETY: the caller's promise.
        let difference = |word: &Word| unsafe { self.read_direct(word.address) ^ word.value };
        let (eights, rest) = words.as_chunks::<8>();
        let all = |some: &[Word]| some.iter().fold(0, |all, word| all | difference(word));
        if eights.iter().all(|eight| all(eight) == 0) && all(rest) == 0 {
            return None;
        }
        words.iter().position(|word| difference(word) != 0)
    }
}

/// The word at an address.
///
/// # Safety
///
/// It is aligned, and lies between a stack pointer and the upper end of its stack.
#[inline(always)]
unsafe fn load(address: usize) -> usize {
    let word = ptr::with_exposed_provenance::<usize>(address);
    // AddressSanitizer would report words that the last walk read in frames which are gone: they may lie
    // between the variables of frames that are there now. It does not see what assembly reads.
    #[cfg(all(heapwatch_sanitizer = "address", target_arch = "x86_64"))]
    // SAFETY: the caller's promise; only loads.
    unsafe {
        let value;
        std::arch::asm!("mov {}, [{}]", out(reg) value, in(reg) word, options(nostack, readonly, preserves_flags));
        value
    }
    // SAFETY: from the stack pointer to its upper end a stack is mapped, and the address is aligned, so
    // the word does not reach over the end. Volatile, because other code may hold references to what is
    // read.
    #[cfg(not(all(heapwatch_sanitizer = "address", target_arch = "x86_64")))]
    unsafe {
        word.read_volatile()
    }
}

/// Whether [`probe`] tells what is readable here: emulators of Linux may look at its arguments in
/// another order.
static PROBES: AtomicBool = AtomicBool::new(false);

/// Whether the page that begins at an address can be read.
fn is_readable(page: usize) -> bool {
    // Relaxed: written before there are walks, and stands for itself.
    PROBES.load(Ordering::Relaxed) && probe(page) == libc::EINVAL
}

/// Asks for a set of signals, read from an address, to be blocked in a way that does not exist:
/// nothing is changed, and the error is EFAULT where the address cannot be read, else EINVAL. A copy by
/// `process_vm_readv` takes eight times as long.
fn probe(address: usize) -> i32 {
    const NO_WAY: libc::c_int = -1;
    const SET_BYTES: usize = 8;
    #[cfg(test)]
    CALLS.with(|calls| calls.set(calls.get() + 1));
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: the kernel checks the address, and fails in any case.
    let call =
        || unsafe { libc::syscall(libc::SYS_rt_sigprocmask, NO_WAY, address, none, SET_BYTES) };
    beside_errno(call).1
}

/// Makes a system call of which the program sees no error. Returns what it returned, and its error.
fn beside_errno<T>(call: impl FnOnce() -> T) -> (T, i32) {
    // SAFETY: the number is this thread's own, and always there. Not by reference: the call writes it.
    unsafe {
        let errno = libc::__errno_location();
        let before = errno.read();
        let result = call();
        (result, errno.replace(before))
    }
}

impl PageCopies {
    fn forget(&mut self) {
        for window in &mut self.windows {
            window.len = 0;
        }
    }

    fn read(&mut self, address: usize) -> Option<usize> {
        if let Some(word) = self.windows.iter().find_map(|window| window.word(address)) {
            return Some(word);
        }
        let window = self.windows.get_mut(self.oldest % 2)?;
        self.oldest = (self.oldest + 1) % 2;
        window.copy(address & !(PAGE - 1));
        window.word(address)
    }
}

impl Window {
    fn word(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.start);
        (offset < self.len)
            .then(|| self.words.get(offset / WORD).copied())
            .flatten()
    }

    /// Copies the page that begins here, if it is readable.
    fn copy(&mut self, start: usize) {
        let to = libc::iovec {
            iov_base: self.words.as_mut_ptr().cast(),
            iov_len: size_of_val(&self.words),
        };
        let from = libc::iovec {
            iov_base: start as *mut libc::c_void,
            iov_len: PAGE,
        };
        #[cfg(test)]
        CALLS.with(|calls| calls.set(calls.get() + 1));
        // SAFETY: writes at most the words; the kernel checks the other side.
        let call = || unsafe {
            libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0)
        };
        let (copied, _) = beside_errno(call);
        self.start = start;
        self.len = usize::try_from(copied).unwrap_or_default();
    }
}

#[cfg(test)]
thread_local! {
    /// System calls that copied or probed.
    pub(crate) static CALLS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Bounds of the calling thread's own stack if they are known and a stack pointer is in them.
pub(crate) fn own_stack(sp: usize) -> Option<(usize, usize)> {
    let (low, high) = thread::stack();
    (low <= sp && sp < high).then_some((low, high))
}

/// As [`own_stack`], and finds the bounds out if they are not known.
pub(crate) fn find_own_stack(sp: usize) -> Option<(usize, usize)> {
    own_stack(sp).or_else(|| {
        if thread::stack() == (0, 0) {
            let (low, high) = find_bounds(sp);
            // Never 0, which would be unknown: what cannot be had is not asked for again.
            thread::set_stack(low, high.max(1));
        }
        own_stack(sp)
    })
}

/// Low and high end of the calling thread's own stack; empty if they cannot be had.
fn find_bounds(sp: usize) -> (usize, usize) {
    // SAFETY: two system calls without arguments.
    let is_main = unsafe { libc::gettid() == libc::getpid() };
    if is_main {
        let main = main_bounds();
        // In a child that another thread than the main one forked, this is that thread's stack.
        if fork::generation() == 0 || (main.0..main.1).contains(&sp) {
            return main;
        }
    }
    thread_bounds()
}

/// The largest size of the main thread's stack when the process started, or 0.
static MAIN_SIZE: AtomicUsize = AtomicUsize::new(0);

/// Finds out whether the kernel can be asked what is readable, and notes how large the main thread's
/// stack may become. The kernel keeps mappings away from that by the limit at start: what is allowed
/// later may be taken already.
pub(crate) fn prepare() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit fills the struct that it is given.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
    let size = match limit.rlim_cur {
        _ if failed != 0 => 0,
        libc::RLIM_INFINITY => UNLIMITED,
        size => size as usize,
    };
    // Relaxed: a number that stands for itself.
    MAIN_SIZE.store(size, Ordering::Relaxed);
    // Nothing is mapped in the first page; 0 would stand for no set.
    let (nowhere, here) = (WORD, (&raw const size).addr());
    // Valgrind would report the probes as errors of the program's.
    let works = valgrind::IS_KNOWN
        && !valgrind::is_running()
        && probe(nowhere) == libc::EFAULT
        && probe(here) == libc::EINVAL;
    PROBES.store(works, Ordering::Relaxed);
}

/// The main thread's stack lies below the kernel's 16 random bytes. Not by pthread_getattr_np, which
/// reads a file for the main thread.
fn main_bounds() -> (usize, usize) {
    // SAFETY: reads a table of the process.
    let top = unsafe { libc::getauxval(libc::AT_RANDOM) } as usize & !(WORD - 1);
    (top.saturating_sub(MAIN_SIZE.load(Ordering::Relaxed)), top)
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
