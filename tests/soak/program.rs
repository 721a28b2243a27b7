//! The program: the same over heapwatch and over bare jemalloc, until it is ended from outside.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use heapwatch::Snapshot;

use super::common::{Rng, exact, through};
use super::workers::{self, Crew, GATE, turn};
use super::{bare, forks, held, plugins};

/// Of all that is random.
pub(crate) const SEED: u64 = 0x5EED_0F50_A4B1_0C45;

const REPORT_EVERY: Duration = Duration::from_millis(250);
pub(crate) const EXACT_EVERY: Duration = Duration::from_secs(3);
const INTERVALS: [u64; 5] = [1, 4096, 64 << 10, 512 << 10, 0];
/// Each interval holds equally long, in an order that changes.
pub(crate) const INTERVAL_EVERY: Duration = Duration::from_millis(300);

/// The program is followed from outside by lines that begin with these.
pub(crate) const READY: &str = "ready: ";
pub(crate) const REPORT: &str = "report: ";

static OVER: AtomicBool = AtomicBool::new(false);
static CHANGES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn is_over() -> bool {
    // Relaxed: nothing else hangs on it.
    OVER.load(Ordering::Relaxed)
}

pub(crate) fn run() {
    end_with_the_first_panic();
    let server = (!bare()).then(|| heapwatch::serve("127.0.0.1:0").unwrap());
    let addr = server
        .as_ref()
        .map(|server| server.local_addr().to_string());
    plugins::meet_all();
    println!("{READY}{}", addr.unwrap_or_default());
    // Detached: it waits for the end of the input, which is the order to end.
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        OVER.store(true, Ordering::Relaxed);
    });
    let helpers = [
        spawn("forks", forks::fork_now_and_then),
        spawn("plugins", plugins::load_and_unload),
        spawn("intervals", change_intervals),
    ];
    let start = Instant::now();
    let rounds = tend(start, Crew::start());
    helpers
        .into_iter()
        .for_each(|helper| helper.join().unwrap());
    if !bare() {
        nothing_is_live();
    }
    report(start, rounds);
}

fn spawn(name: &str, work: fn()) -> thread::JoinHandle<()> {
    let builder = thread::Builder::new().name(name.to_owned());
    builder.spawn(work).unwrap()
}

/// No other thread may go on as if nothing had happened, or wait for a lock that the one that panicked holds.
fn end_with_the_first_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let side = if bare() { "bare jemalloc" } else { "heapwatch" };
        let name = thread.name().unwrap_or("a thread").to_owned();
        let _ = writeln!(
            std::io::stderr(),
            "soak over {side}, seed {SEED:#x}, {name}: {panic}"
        );
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(101) }
    }));
}

/// Replaces threads, reports, and has the counts checked now and then. Returns how often.
fn tend(start: Instant, mut crew: Crew) -> u64 {
    let (mut reports, mut rounds) = (0, 0);
    while !is_over() {
        crew.replace();
        if start.elapsed() > EXACT_EVERY * (rounds as u32 + 1) {
            rounds += 1;
            exact_while_others_wait();
        }
        if start.elapsed() > REPORT_EVERY * (reports + 1) {
            reports += 1;
            report(start, rounds);
        }
        thread::sleep(Duration::from_millis(10));
    }
    crew.dismiss();
    rounds
}

/// Known operations on threads of their own, while nobody else allocates.
fn exact_while_others_wait() {
    let _alone = GATE.write().unwrap();
    if bare() {
        exact::script_on_threads()
            .into_iter()
            .for_each(super::common::Block::free);
    } else {
        exact::counts_are_exact();
    }
}

fn change_intervals() {
    let mut rng = Rng(SEED.rotate_left(21));
    let mut intervals = INTERVALS;
    while !is_over() {
        for left in (1..=intervals.len()).rev() {
            intervals.swap(left - 1, rng.below(left));
        }
        for interval in intervals {
            {
                let _turn = turn();
                if !bare() {
                    heapwatch::set_interval(interval).unwrap();
                }
            }
            CHANGES.fetch_add(1, Ordering::Relaxed);
            thread::sleep(INTERVAL_EVERY);
        }
    }
}

/// A line of numbers with their names.
fn report(start: Instant, rounds: u64) {
    let (self_bytes, sites) = if bare() {
        (0, 0)
    } else {
        let snapshot = heapwatch::snapshot().unwrap();
        assert_eq!(snapshot.info().dropped, [], "nothing may be lost");
        (snapshot.info().self_bytes, snapshot.sites().len() as u64)
    };
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{REPORT}milliseconds={} operations={} threads={} forks={} libraries={} changes={} exact={rounds} \
         held={} self_bytes={self_bytes} sites={sites}",
        start.elapsed().as_millis(),
        count(&workers::OPERATIONS),
        count(&workers::STARTED),
        count(&forks::FORKS),
        count(&plugins::LOADED),
        count(&CHANGES),
        count(&held::BYTES),
    );
}

/// All was freed, on whatever thread and at whatever interval: nothing may be left in the counters.
fn nothing_is_live() {
    let snapshot: Snapshot = heapwatch::snapshot().unwrap();
    for (name, function) in [
        ("workers", workers::live as *const ()),
        ("forks", forks::fork_now_and_then as *const ()),
        ("libraries", plugins::visit as *const ()),
    ] {
        let counts = through(&snapshot, function);
        assert_eq!(
            (counts.live_objects, counts.live_bytes, counts.live_variance),
            (0.0, 0.0, 0.0),
            "{name}: all was freed"
        );
    }
}
