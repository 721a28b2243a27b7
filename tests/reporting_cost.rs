//! What reports cost in a process with many sites and many live samples.
//!
//! `cargo test --release --test reporting_cost -- --nocapture` prints the figures. The bounds hold
//! for optimised builds; others get four times as long.
#![cfg(feature = "server")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Block, layout};
use http::get;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const HEAP: &str = "/debug/pprof/heap";
const CALLERS: usize = 10;
const SITES: usize = 1000 * CALLERS;
const BLOCKS_PER_SITE: usize = 20;

type Site = fn(&mut Vec<Block>);
type Caller = fn(Site, &mut Vec<Block>);

/// One of a thousand functions that allocate.
#[inline(never)]
fn allocate<const N: usize>(into: &mut Vec<Block>) {
    into.push(Block::alloc(layout(100 + N)).unwrap());
    black_box(N);
}

/// One of those that call them.
#[inline(never)]
fn call<const N: usize>(site: Site, into: &mut Vec<Block>) {
    // A count that the compiler does not know: unrolled, each round would be a site of its own.
    for _ in 0..black_box(BLOCKS_PER_SITE) {
        site(into);
    }
    black_box(N);
}

macro_rules! ten {
    ($function:ident, $base:expr) => {
        [
            $function::<{ $base }>,
            $function::<{ $base + 1 }>,
            $function::<{ $base + 2 }>,
            $function::<{ $base + 3 }>,
            $function::<{ $base + 4 }>,
            $function::<{ $base + 5 }>,
            $function::<{ $base + 6 }>,
            $function::<{ $base + 7 }>,
            $function::<{ $base + 8 }>,
            $function::<{ $base + 9 }>,
        ]
    };
}

macro_rules! hundred {
    ($base:expr) => {
        [
            ten!(allocate, $base),
            ten!(allocate, $base + 10),
            ten!(allocate, $base + 20),
            ten!(allocate, $base + 30),
            ten!(allocate, $base + 40),
            ten!(allocate, $base + 50),
            ten!(allocate, $base + 60),
            ten!(allocate, $base + 70),
            ten!(allocate, $base + 80),
            ten!(allocate, $base + 90),
        ]
    };
}

static ALLOCATE: [[[Site; 10]; 10]; 10] = [
    hundred!(0),
    hundred!(100),
    hundred!(200),
    hundred!(300),
    hundred!(400),
    hundred!(500),
    hundred!(600),
    hundred!(700),
    hundred!(800),
    hundred!(900),
];

static CALL: [Caller; CALLERS] = ten!(call, 0);

fn fill() -> Vec<Block> {
    let mut blocks = Vec::with_capacity(SITES * BLOCKS_PER_SITE);
    for caller in CALL {
        for site in ALLOCATE.iter().flatten().flatten() {
            caller(*site, &mut blocks);
        }
    }
    blocks
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The longest that an allocation and its free took on each of two threads since the last look.
struct Allocating {
    stop: AtomicBool,
    longest_ns: AtomicU64,
}

impl Allocating {
    /// Allocates and frees sampled blocks of 100 sites until it is told to stop.
    fn run(&self) {
        let mut blocks = Vec::with_capacity(1);
        for site in ALLOCATE[0].iter().flatten().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let (_, took) = timed(|| {
                site(&mut blocks);
                blocks.pop().unwrap().free();
            });
            let took = took.as_nanos() as u64;
            self.longest_ns.fetch_max(took, Ordering::Relaxed);
        }
    }

    fn longest_during(&self, work: impl FnOnce()) -> Duration {
        self.longest_ns.store(0, Ordering::Relaxed);
        work();
        Duration::from_nanos(self.longest_ns.load(Ordering::Relaxed))
    }
}

/// The longest that any allocation waited in each of 40 profiles; of these the shortest, since
/// single ones wait for the machine's other work.
fn longest_wait(work: impl Fn()) -> Duration {
    let allocating = Allocating {
        stop: AtomicBool::new(false),
        longest_ns: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| allocating.run());
        }
        thread::sleep(Duration::from_millis(20));
        let waits = (0..40).map(|_| allocating.longest_during(&work));
        let wait = waits.min().unwrap();
        allocating.stop.store(true, Ordering::Relaxed);
        wait
    })
}

fn profile(addr: SocketAddr) -> usize {
    get(addr, HEAP).body.len()
}

/// CPU time of heapwatch's threads in a tick in which `path` is asked for once; the mean of five.
fn cpu_of_ticks(addr: SocketAddr, path: &str, tick: Duration) -> Duration {
    const TICKS: u32 = 5;
    let own_cpu = || {
        let metrics = get(addr, "/metrics");
        let mut lines = metrics.text().lines();
        let seconds = lines.find_map(|line| line.strip_prefix("heapwatch_self_cpu_seconds_total "));
        Duration::from_secs_f64(seconds.unwrap().parse().unwrap())
    };
    let before = own_cpu();
    for _ in 0..TICKS {
        get(addr, path);
        thread::sleep(tick);
    }
    (own_cpu() - before) / TICKS
}

/// An owner who looks at a service must not slow it down, nor leave it larger than it was.
#[test]
fn reports_of_many_sites_are_quick_and_leave_nothing_behind() {
    let slack = if cfg!(debug_assertions) { 4 } else { 1 };
    heapwatch::set_interval(1).unwrap();
    let blocks = fill();
    let unwatched = median(
        (0..9)
            .map(|_| timed(|| heapwatch::snapshot().unwrap()).1)
            .collect(),
    );
    let tick = Duration::from_millis(500);
    let config = heapwatch::Config::new().addr("127.0.0.1:0").tick(tick);
    let server = config.serve().unwrap();
    let addr = server.local_addr();
    get(addr, "/");
    // The history of all sites is there to stay, and has a bound of its own.
    thread::sleep(5 * tick);

    let before = resident_bytes();
    let (zipped, first) = timed(|| profile(addr));
    let later = median((0..5).map(|_| timed(|| profile(addr)).1).collect());
    let table = median((0..5).map(|_| timed(|| get(addr, "/heap/top")).1).collect());
    let scrape = median((0..5).map(|_| timed(|| get(addr, "/metrics")).1).collect());
    let (scraping, judging) = ["/metrics", "/heap/growth"]
        .map(|path| cpu_of_ticks(addr, path, tick))
        .into();
    let after = resident_bytes();
    let left = after.saturating_sub(before);
    println!(
        "profile {first:?}, then {later:?} ({zipped} bytes); table {table:?}; scrape {scrape:?}; \
         resident {} MiB before, {} KiB more after",
        before >> 20,
        left >> 10
    );

    println!("CPU time a tick: {scraping:?} with a scrape, {judging:?} with verdicts");
    assert!(scraping < judging, "a scrape does not judge all sites anew");

    let times: Vec<_> = (0..9)
        .map(|_| timed(|| heapwatch::snapshot().unwrap()))
        .collect();
    let snapshot = &times[0].0;
    let sites = snapshot.sites().len();
    assert!((SITES..SITES + 500).contains(&sites), "{sites}");
    assert!(snapshot.live().objects >= (SITES * BLOCKS_PER_SITE) as f64);
    let took = median(times.iter().map(|(_, took)| *took).collect());
    println!("snapshot {took:?} of {sites} sites, {unwatched:?} before they were watched");

    let idle = longest_wait(|| thread::sleep(later));
    let busy = longest_wait(|| assert!(profile(addr) > 0));
    println!("an allocation takes {idle:?} at the longest, {busy:?} while a profile is made");

    assert!(first < 2 * slack * Duration::from_secs(1), "{first:?}");
    assert!(later < 300 * slack * Duration::from_millis(1), "{later:?}");
    assert!(left < 16 << 20, "{} KiB are left", left >> 10);
    // A shard is copied in microseconds, a whole table in tens of milliseconds.
    let bound = 5 * slack * Duration::from_millis(1) + 3 * idle;
    assert!(busy < bound, "{busy:?}, {idle:?} without profiles");
    blocks.into_iter().for_each(Block::free);
}
