//! Walks the calling thread's stack by the binary's own unwind tables: no frame pointers needed.
//!
//! A walk allocates nothing and takes no lock. How to get from a frame to its caller is looked up in
//! one table of rules that all threads share; only what is not there is worked out from the unwind
//! tables. What lies further out than the first frame that the thread's last walk met as well is
//! compared rather than unwound.
#![allow(unsafe_code)]

#[cfg_attr(
    any(
        heapwatch_fallback_unwinder,
        not(any(target_arch = "x86_64", target_arch = "aarch64"))
    ),
    path = "fallback.rs"
)]
mod native;

pub(crate) use native::{LastWalk, maintain, modules_changed, prepare, walk};

/// The registers that a walk starts from, in a function whose callers are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) ip: usize,
    pub(crate) sp: usize,
    /// The base pointer, or what the function has in that register.
    pub(crate) fp: usize,
    /// The link register, where the architecture has one.
    pub(crate) lr: Option<usize>,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// At the thread's first function, or where the stack was full.
    Reached,
    /// Before it.
    Lost,
}

impl Registers {
    /// The registers here, in the function that this is inlined into. They describe its frame until
    /// it returns, because unwind tables are exact at every instruction.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn here() -> Registers {
        let (ip, sp, fp): (usize, usize, usize);
        // SAFETY: reads three registers.
        unsafe {
            std::arch::asm!(
                "lea {ip}, [rip]",
                "mov {sp}, rsp",
                "mov {fp}, rbp",
                ip = out(reg) ip,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        let lr = None;
        Registers { ip, sp, fp, lr }
    }

    /// The registers here, in the function that this is inlined into. They describe its frame until
    /// it returns, because unwind tables are exact at every instruction.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    pub(crate) fn here() -> Registers {
        let (ip, sp, fp, lr): (usize, usize, usize, usize);
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
        let lr = Some(lr);
        Registers { ip, sp, fp, lr }
    }

    /// Where this function's frame is, about: the platform's unwinder finds the rest by itself.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[inline(always)]
    pub(crate) fn here() -> Registers {
        let local = std::hint::black_box(0_u8);
        let sp = std::hint::black_box(&raw const local) as usize;
        Registers {
            ip: 0,
            sp,
            fp: 0,
            lr: None,
        }
    }
}
