//! What is asked of the C library.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
pub(crate) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(crate) use none::*;

/// Lets threads that start from now on share the arenas that glibc's own `malloc` has, unless the
/// user says what glibc is to do.
///
/// std calls that `malloc` once in each thread, whatever the program's allocator is. It then reserves
/// 64 MiB of address space for the thread. Under a tight limit a few threads use all of it up, and
/// the next one finds no room for its jemalloc arena, without which jemalloc crashes.
pub(super) fn share_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let set = |name| std::env::var_os(name).is_some();
        if !set("MALLOC_ARENA_MAX") && !set("GLIBC_TUNABLES") {
            // SAFETY: it takes two numbers. It writes one word that other threads read as it was or
            // as it is, and takes the lock of what else it touches.
            unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CStr;

    /// Names the current thread, one of heapwatch's own, as its first act. A thread that std starts
    /// with a name allocates a copy of it before it runs anything that could mute it, which would
    /// show in the application's heap.
    pub(crate) fn name_thread(name: &CStr) {
        // SAFETY: a string that ends, and that is only read. A nameless thread does as well.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }

    /// CPU time of the current thread.
    #[cfg(feature = "server")]
    pub(crate) fn thread_cpu_ns() -> u64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: it fills a structure of ours.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    pub(crate) fn page_bytes() -> u64 {
        number(libc::_SC_PAGESIZE)
    }

    /// The unit of CPU time in `/proc`.
    pub(crate) fn ticks_per_second() -> u64 {
        number(libc::_SC_CLK_TCK).max(1)
    }

    fn number(name: libc::c_int) -> u64 {
        // SAFETY: reads a number of the process.
        u64::try_from(unsafe { libc::sysconf(name) }).unwrap_or(0)
    }
}

/// Elsewhere there is no `/proc` whose figures these are for, and heapwatch starts no thread.
#[cfg(not(target_os = "linux"))]
mod none {
    pub(crate) fn name_thread(_: &std::ffi::CStr) {}

    #[cfg(feature = "server")]
    pub(crate) fn thread_cpu_ns() -> u64 {
        0
    }

    pub(crate) fn page_bytes() -> u64 {
        0
    }

    pub(crate) fn ticks_per_second() -> u64 {
        1
    }
}
