//! Room on the stack. What runs inside malloc needs more of it than the allocation itself does, and
//! how much is left may be too little, or unknown: on a small thread, deep in recursion, on a
//! coroutine's stack. There the work is done on a stack of ours, and nothing is written below what
//! the program uses.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::pool::Pool;
use super::{memory, own, thread, valgrind};

/// What the work needs, with room to spare: a walk that reads unwind tables takes about 8 KiB.
const NEEDED: usize = 24 << 10;
/// A stack of ours. A signal may come while it is in use, so it has room for a handler, too; only
/// what was touched takes memory.
const SIZE: usize = 128 << 10;
/// Stacks that are kept for the next use.
const KEPT: usize = 16;

/// Stacks that nobody uses, by their lowest address.
static FREE: Pool<u8, KEPT> = Pool::new();

/// Does the work with enough stack. `None`, and nothing is done, where there is no memory for one.
#[inline(always)]
pub(crate) fn with<T>(work: impl FnOnce() -> T) -> Option<T> {
    if is_here() {
        return Some(work());
    }
    elsewhere(work, Some(here()))
}

/// As [`with`], for work that is too short to find out where the thread's own stack lies.
#[inline(always)]
pub(crate) fn briefly<T>(work: impl FnOnce() -> T) -> Option<T> {
    if is_here() {
        return Some(work());
    }
    elsewhere(work, None)
}

/// Whether this is the thread's own stack, with enough of it left.
#[inline]
fn is_here() -> bool {
    let sp = here();
    let (low, high) = thread::stack();
    // Where the bounds are unknown, nothing is below the high one.
    sp < high && sp.saturating_sub(NEEDED) >= low
}

/// The stack pointer, about.
#[inline]
fn here() -> usize {
    let local = MaybeUninit::<u8>::uninit();
    (&raw const local).addr()
}

/// Does the work on a stack of ours. With the caller's stack pointer, finds out before where the
/// thread's own stack lies.
///
/// In a build that is not optimised each local of the functions up to the change of stacks takes some
/// of the stack that there may be too little of. So there are few, and few functions.
#[cold]
#[inline(never)]
fn elsewhere<T, F: FnOnce() -> T>(work: F, sp: Option<usize>) -> Option<T> {
    let mut call = Call {
        sp,
        work: Some(work),
        result: None,
    };
    let stack = Stack::get()?;
    // SAFETY: the top of a stack that nobody else uses, aligned to 16 bytes. `run` gets what it expects,
    // this thread's alone meanwhile, and does not unwind, as nothing here panics.
    unsafe {
        let top = stack.low.as_ptr().add(SIZE);
        on_stack((&raw mut call).cast(), Call::<F, T>::run, top);
    }
    call.result
}

struct Call<F, T> {
    sp: Option<usize>,
    work: Option<F>,
    result: Option<T>,
}

impl<F: FnOnce() -> T, T> Call<F, T> {
    extern "C" fn run(call: *mut u8) {
        // SAFETY: `elsewhere` passes a call, and waits meanwhile.
        let call = unsafe { &mut *call.cast::<Self>() };
        if let Some(sp) = call.sp
            && thread::stack() == (0, 0)
        {
            // Once per thread, as it takes a system call or two.
            memory::find_own_stack(sp);
        }
        call.result = call.work.take().map(|work| work());
    }
}

/// A stack of ours, this thread's until it is dropped.
struct Stack {
    low: NonNull<u8>,
}

impl Stack {
    fn get() -> Option<Stack> {
        if let Some(low) = FREE.take() {
            return Some(Stack { low });
        }
        Stack::make()
    }

    #[inline(never)]
    fn make() -> Option<Stack> {
        let low = own::map(SIZE)?;
        // SAFETY: the lowest page of a mapping made just now. Without a guard nothing else changes.
        unsafe { libc::mprotect(low.as_ptr().cast(), own::page_size(), libc::PROT_NONE) };
        let lowest = low.as_ptr().addr();
        valgrind::register_stack(lowest, lowest + SIZE);
        Some(Stack { low })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(low) = FREE.put(0, self.low) {
            // SAFETY: mapped by `make` with this size, and nobody's.
            unsafe { own::unmap(low, SIZE) };
        }
    }
}

/// Calls `function(data)` with the stack pointer at `top`. Its own frame stays on the caller's stack,
/// with a frame pointer and unwind information, so that debuggers and profilers see through it.
///
/// # Safety
///
/// `top` is the upper end of enough stack, aligned to 16 bytes; the function does not unwind.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn on_stack(data: *mut u8, function: extern "C" fn(*mut u8), top: *mut u8) {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// As on x86-64.
///
/// # Safety
///
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn on_stack(data: *mut u8, function: extern "C" fn(*mut u8), top: *mut u8) {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset w30, -8",
        ".cfi_offset w29, -16",
        "mov x29, sp",
        ".cfi_def_cfa w29, 16",
        "mov sp, x2",
        "blr x1",
        "mov sp, x29",
        ".cfi_def_cfa wsp, 16",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        "ret",
        ".cfi_endproc",
    )
}

/// Where we cannot change the stack, the work is done on the caller's.
///
/// # Safety
///
/// As on x86-64.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe extern "C" fn on_stack(data: *mut u8, function: extern "C" fn(*mut u8), _top: *mut u8) {
    function(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sp() -> usize {
        let local = 0_u8;
        (&raw const local).addr()
    }

    /// On a thread with a small stack the work must not use up what is left of it; on others a change
    /// of stacks would be a waste.
    #[test]
    fn small_stacks_are_left_alone() {
        for (size, is_large) in [(16 << 10, false), (1 << 20, true)] {
            let thread = std::thread::Builder::new().stack_size(size);
            let work = move || {
                // The first time on a thread, in any case.
                let first = with(sp).unwrap();
                assert_eq!(memory::own_stack(first), None);
                let second = with(|| std::hint::black_box([sp(); 100])[7]).unwrap();
                assert_eq!(memory::own_stack(second).is_some(), is_large);
            };
            thread.spawn(work).unwrap().join().unwrap();
        }
    }

    /// Two threads on one stack would destroy each other's frames.
    #[test]
    fn no_two_threads_have_the_same_stack() {
        std::thread::scope(|scope| {
            for i in 0..2 * KEPT {
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let work = || {
                            let mine = std::hint::black_box([i; 64]);
                            std::thread::yield_now();
                            mine.iter().all(|value| *value == i)
                        };
                        assert_eq!(elsewhere(work, None), Some(true));
                    }
                });
            }
        });
    }
}
