//! What glibc's own `malloc` reserves for threads.
//!
//! std calls it once in each thread, whatever the program's allocator is. It then reserves 64 MiB of
//! address space for the thread. Under a tight limit a few threads use all of it up, and the next
//! one finds no room for its jemalloc arena, without which jemalloc crashes.
#![allow(unsafe_code)]

/// Lets threads that start from now on share the arenas that glibc has, unless the user says what
/// glibc is to do.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn share_arenas() {
    let set = |name| std::env::var_os(name).is_some();
    if !set("MALLOC_ARENA_MAX") && !set("GLIBC_TUNABLES") {
        // SAFETY: it takes two numbers. It writes one word that other threads read as it was or as it
        // is, and takes the lock of what else it touches.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share_arenas() {}
