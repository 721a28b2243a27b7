//! The muted background thread: every tick it notes what each site holds.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Error;
use crate::own_thread;
use crate::process;
#[cfg(feature = "server")]
use crate::process::own_cpu;
use crate::snapshot::{self, PerProcess, evidence, history};

#[cfg(feature = "server")]
mod moments;
#[cfg(feature = "server")]
pub(crate) mod timeline;

static RUNNING: PerProcess<Mutex<bool>> = PerProcess::new();

/// Starts watching growth in a thread of its own, for as long as the process lives.
///
/// Calling it again changes nothing. [`serve`](crate::serve) calls it too; a program without the
/// endpoint calls it early in `main` and asks [`growth`](crate::growth()) later. A child of `fork`
/// calls it anew if it wants its own growth watched.
///
/// `HEAPWATCH_TICK` sets the seconds between two points of the history, 5 if it is not set.
///
/// # Errors
///
/// [`Error::NotInstalled`] if heapwatch is not the global allocator, [`Error::Config`] if
/// `HEAPWATCH_TICK` or `HEAPWATCH_INTERVAL` cannot be understood, [`Error::Io`] if no thread can be
/// started.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// heapwatch::watch()?;
/// # Ok::<(), heapwatch::Error>(())
/// ```
pub fn watch() -> Result<(), Error> {
    snapshot::check_installed()?;
    evidence::check_environment()?;
    snapshot::muted(|| {
        let Some(running) = RUNNING.get_or_init(Mutex::default) else {
            return Ok(());
        };
        let mut running = lock(running);
        if !*running {
            history::begin();
            own_thread::start(c"heapwatch-watch", run).map_err(no_thread)?;
            *running = true;
        }
        Ok(())
    })
}

fn no_thread(error: io::Error) -> io::Error {
    let text = format!("no thread could be started to watch growth: {error}");
    io::Error::new(error.kind(), text)
}

/// Whether [`watch`] was called in this process.
pub(crate) fn is_running() -> bool {
    RUNNING.get().is_some_and(|running| *lock(running))
}

fn run() {
    loop {
        note();
        #[cfg(feature = "server")]
        own_cpu::charge();
        std::thread::sleep(Duration::from_nanos(evidence::until_next_tick_ns()));
    }
}

fn note() {
    evidence::maintain();
    if process::check_room(process::WORK_BYTES).is_err() {
        return;
    }
    // Without memory this tick is left out.
    let Some(readings) = evidence::readings() else {
        return;
    };
    let now = evidence::tick_now();
    #[cfg(feature = "server")]
    let bytes = timeline::note(now, &readings);
    #[cfg(not(feature = "server"))]
    let bytes = 0;
    history::note(now, &readings, bytes);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
