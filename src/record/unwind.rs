//! Walks the calling thread's stack by the binary's own unwind tables: no frame pointers needed.
//!
//! No lock is taken and nothing is waited for but a moment's turn: the list of modules is read as
//! it is, and a set of rule caches is checked out for the time of a walk. Memory is read directly
//! only within the thread's own stack; elsewhere (a coroutine's stack, a wrong guess of the
//! unwinder) through the kernel, which answers with an error where a load would crash.
#![allow(unsafe_code)]

/// A point in the stack: frames of functions called from the marked one are the recorder's own.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl Mark {
    /// Marks the function that this is inlined into.
    #[inline(always)]
    pub(crate) fn here() -> Mark {
        let local = std::hint::black_box(0_u8);
        Mark(std::hint::black_box(&raw const local) as usize)
    }
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// At the thread's first function, or because the visitor had enough.
    Reached,
    /// Before it.
    Lost,
}

#[cfg(any(
    heapwatch_fallback_unwinder,
    not(any(target_arch = "x86_64", target_arch = "aarch64"))
))]
pub(crate) use fallback::walk;
#[cfg(not(any(
    heapwatch_fallback_unwinder,
    not(any(target_arch = "x86_64", target_arch = "aarch64"))
)))]
pub(crate) use native::walk;

#[cfg(any(
    heapwatch_fallback_unwinder,
    not(any(target_arch = "x86_64", target_arch = "aarch64"))
))]
mod fallback {
    use super::super::memory::ThreadStack;
    use super::{End, Mark};

    /// Visits the return addresses outside of the marked function, innermost first, until the
    /// visitor says false.
    pub(crate) fn walk(mark: Mark, visit: &mut dyn FnMut(usize) -> bool) -> End {
        if ThreadStack::from(mark.0).is_none() {
            return End::Lost;
        }
        let mut outside = false;
        // SAFETY: the caller is muted, so a thread that re-enters does so only through a signal
        // handler, in which malloc is not allowed.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                // The outermost frame returns nowhere.
                let ip = frame.ip() as usize;
                // Once outside, always, as below.
                outside |= frame.sp() as usize > mark.0;
                ip != 0 && (!outside || visit(ip))
            });
        }
        End::Reached
    }
}

#[cfg(not(any(
    heapwatch_fallback_unwinder,
    not(any(target_arch = "x86_64", target_arch = "aarch64"))
)))]
mod native {
    use framehop::{FrameAddress, UnwindRegsNative};

    use super::super::{caches, memory, modules};
    use super::{End, Mark};
    use crate::config::MAX_DEPTH;

    /// Steps after which a walk is going in circles: the depth limit, and room for the frames of
    /// the recorder and the allocator.
    const MAX_STEPS: usize = MAX_DEPTH + 64;

    /// Visits the return addresses outside of the marked function, innermost first, until the
    /// visitor says false.
    #[inline(never)]
    pub(crate) fn walk(mark: Mark, visit: &mut dyn FnMut(usize) -> bool) -> End {
        let (ip, mut regs) = registers();
        let Some(memory) = memory::ThreadStack::from(regs.sp() as usize) else {
            return End::Lost;
        };
        let Some(mut list) = modules::current() else {
            return End::Lost;
        };
        let Some(mut caches) = caches::check_out(memory.room_for_caches()) else {
            return End::Lost;
        };
        let mut module = 0..0;
        let mut outside = false;
        let mut address = FrameAddress::from_instruction_pointer(ip);
        for _ in 0..MAX_STEPS {
            let next = caches.unwind_frame(&list.unwinder, address, &mut regs, &mut |at| {
                memory.read(at as usize).ok_or(())
            });
            let next = match next {
                Some(Ok(Some(next))) => next,
                Some(Ok(None)) => return End::Reached,
                Some(Err(_)) | None => return End::Lost,
            };
            let Some(return_address) = FrameAddress::from_return_address(next) else {
                return End::Reached;
            };
            let next = next as usize;
            if !module.contains(&next) {
                // Frames mostly follow each other in one module, so this is rare.
                match list.find(next) {
                    Some(range) => module = range,
                    None if modules::discover(next) => {
                        let Some(newer) = modules::current() else {
                            return End::Lost;
                        };
                        list = newer;
                        let Some(range) = list.find(next) else {
                            return End::Lost;
                        };
                        module = range;
                    }
                    // Code that was made at run time, or no code at all.
                    None => return End::Lost,
                }
            }
            // Once outside, always: a stack that was grown in pieces may go on at lower addresses.
            outside |= regs.sp() as usize > mark.0;
            if outside && !visit(next) {
                return End::Reached;
            }
            address = return_address;
        }
        End::Lost
    }

    /// The registers here, in the function that this is inlined into.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn registers() -> (u64, UnwindRegsNative) {
        let (ip, sp, bp): (u64, u64, u64);
        // SAFETY: reads three registers.
        unsafe {
            std::arch::asm!(
                "lea {ip}, [rip]",
                "mov {sp}, rsp",
                "mov {bp}, rbp",
                ip = out(reg) ip,
                sp = out(reg) sp,
                bp = out(reg) bp,
                options(nomem, nostack, preserves_flags),
            );
        }
        (ip, UnwindRegsNative::new(ip, sp, bp))
    }

    /// The registers here, in the function that this is inlined into.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    fn registers() -> (u64, UnwindRegsNative) {
        let (ip, lr, sp, fp): (u64, u64, u64, u64);
        // SAFETY: reads four registers.
        unsafe {
            std::arch::asm!(
                "adr {ip}, .",
                "mov {lr}, x30",
                "mov {sp}, sp",
                "mov {fp}, x29",
                ip = out(reg) ip,
                lr = out(reg) lr,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        (ip, UnwindRegsNative::new(lr, sp, fp))
    }
}
