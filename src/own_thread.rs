//! Threads of heapwatch's own: muted, and on memory of their own as far as the allocator allows it.
//!
//! There are few of them, and they stay. A thread's first allocation makes jemalloc set up an arena
//! for it, and jemalloc crashes where there is no address space for one. So a thread is started only
//! while there is plenty, and has allocated before [`start`] returns.

use std::ffi::CStr;
use std::hint::black_box;
use std::io;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use crate::jemalloc::OwnArena;
use crate::process;
use crate::snapshot::muted;

/// Address space that must be left before a thread starts: more than it takes, which is its stack,
/// jemalloc's arena, and 64 MiB where glibc reserves them. Where glibc does not, this is left for the
/// application, and for reports.
const ROOM_BYTES: u64 = 96 << 20;

/// Starts a thread that runs `run`. When this returns, the thread has all that it needs of the
/// allocator to go on.
pub(crate) fn start(
    name: &'static CStr,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    muted(|| {
        process::keep_loaded()?;
        process::check_room(ROOM_BYTES).map_err(too_little)?;
        process::save_room();
        let (ready, is_ready) = mpsc::channel();
        let thread = Builder::new().spawn(move || {
            process::name_thread(name);
            muted(move || {
                if let Some(arena) = OwnArena::get() {
                    arena.enter();
                }
                drop(black_box(Box::new(0_u64)));
                // The other end waits for it.
                let _ = ready.send(());
                run();
            });
        })?;
        let died = |_| io::Error::other("a thread of heapwatch's ended as it started");
        is_ready.recv().map_err(died)?;
        Ok(thread)
    })
}

fn too_little(error: io::Error) -> io::Error {
    let text = format!("heapwatch does not start its threads: {error}");
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A thread that is not named cannot be told from the application's, and one that outlives what
    /// it runs would never be joined.
    #[test]
    fn it_has_its_name_and_ends_with_what_it_runs() {
        let (tell, told) = mpsc::channel();
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let thread = start(c"heapwatch-test", move || {
            let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            tell.send((name, Arc::strong_count(&inside))).unwrap();
        });
        thread.unwrap().join().unwrap();
        let (name, count) = told.recv().unwrap();
        assert_eq!((&*name, count), ("heapwatch-test\n", 2));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
