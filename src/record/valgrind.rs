//! Requests to valgrind, which sees what a program does to its memory and not why.
#![allow(unsafe_code)]

/// In valgrind's manual `RUNNING_ON_VALGRIND` and `VALGRIND_STACK_REGISTER`.
const IS_RUNNING: usize = 0x1001;
const REGISTER_STACK: usize = 0x1501;

/// Whether this program runs under valgrind, as far as that can be known.
pub(super) fn is_running() -> bool {
    request([IS_RUNNING, 0, 0, 0, 0, 0]) != 0
}

/// Whether [`is_running`] can know it here.
pub(super) const IS_KNOWN: bool = cfg!(target_arch = "x86_64");

/// Names a stack. Otherwise valgrind takes a change to one that is near for a frame of that size, and
/// all that lies between for out of bounds.
pub(super) fn register_stack(low: usize, high: usize) {
    request([REGISTER_STACK, low, high, 0, 0, 0]);
}

/// Valgrind's answer; 0 elsewhere.
#[cfg(target_arch = "x86_64")]
fn request(request: [usize; 6]) -> usize {
    let answer: usize;
    // SAFETY: the instructions leave all registers as they are, but under valgrind, which knows them
    // and answers in rdx. The rotations add up to two turns.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            inout("rdx") 0_usize => answer,
            in("rax") request.as_ptr(),
            options(nostack),
        );
    }
    answer
}

/// Not known there.
#[cfg(not(target_arch = "x86_64"))]
fn request(_request: [usize; 6]) -> usize {
    0
}
