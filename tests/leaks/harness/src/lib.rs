//! What every program of the corpus shares: heapwatch as its allocator, the pace of its work, an innocent
//! background, and one report a moment on standard output.

mod args;
mod background;
mod report;

use std::cell::Cell;
use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use args::Args;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Work is done in beats, so that what has leaked after a given beat is the same in every run.
const BEAT: Duration = Duration::from_millis(10);

static BEATS: AtomicU64 = AtomicU64::new(0);

/// The run as the workload sees it.
pub struct Run {
    healthy: bool,
    next: Cell<Instant>,
}

impl Run {
    /// Whether to use the library rightly (`--healthy`).
    pub fn healthy(&self) -> bool {
        self.healthy
    }

    /// Counts a beat and answers when it is due, for those that wait asynchronously.
    ///
    /// A beat that comes late is not made up for: a slow machine does less work, never a burst.
    pub fn next_beat(&self) -> Instant {
        BEATS.fetch_add(1, Ordering::Relaxed);
        let due = self.next.get().max(Instant::now());
        self.next.set(due + BEAT);
        due
    }

    /// Waits for one beat after another, for ever.
    pub fn beats(&self) -> impl Iterator<Item = ()> {
        std::iter::repeat_with(|| {
            let due = self.next_beat();
            thread::sleep(due.saturating_duration_since(Instant::now()));
        })
    }
}

/// `0..count`, where the compiler does not know the count: it would unroll the loop and make many call sites of one.
pub fn times(count: u64) -> Range<u64> {
    0..black_box(count)
}

/// Runs `work` under watch until the time is over; the reporter ends the process, so that whatever is held is
/// still there at the last report.
pub fn run(work: impl FnOnce(&Run)) {
    let args = Args::from_env();
    let healthy = args.healthy;
    let _watch = report::watch(args.plain);
    background::start();
    thread::Builder::new()
        .name("reporter".into())
        .spawn(move || report::run(&args))
        .expect("a thread for the reports");
    work(&Run {
        healthy,
        next: Cell::new(Instant::now() + BEAT),
    });
    unreachable!("the work ends only with the process");
}
