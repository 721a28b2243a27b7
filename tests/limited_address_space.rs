//! A service with little address space (`ulimit -v`) that is asked for reports all the while.
//!
//! An allocation that fails ends a program, and a new thread without room for an arena crashes
//! jemalloc. Whatever a service runs under without heapwatch, it must run under with it, or be told at
//! the start that this is too little.
#![cfg(feature = "server")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::alloc::{GlobalAlloc, Layout};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Block, Rng, child, layout};
use http::{ask, request};
use object::{Object, ObjectSegment};
use tikv_jemallocator::Jemalloc;

/// heapwatch, or in a child that is started [`bare`] jemalloc alone.
struct Either(heapwatch::Alloc);

#[global_allocator]
static ALLOC: Either = Either(heapwatch::Alloc::new());

const BARE: &std::ffi::CStr = c"HEAPWATCH_TEST_BARE";

/// Whether this process runs without heapwatch.
fn bare() -> bool {
    static STATE: AtomicU8 = AtomicU8::new(0);
    match STATE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: the name ends in NUL; nobody changes the environment of this program.
            let is_bare = unsafe { !libc::getenv(BARE.as_ptr()).is_null() };
            STATE.store(1 + u8::from(is_bare), Ordering::Relaxed);
            is_bare
        }
        state => state == 2,
    }
}

// SAFETY: all blocks of a process come from the same one of two allocators.
unsafe impl GlobalAlloc for Either {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            match bare() {
                true => Jemalloc.alloc(layout),
                false => self.0.alloc(layout),
            }
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe {
            match bare() {
                true => Jemalloc.dealloc(ptr, layout),
                false => self.0.dealloc(ptr, layout),
            }
        }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            match bare() {
                true => Jemalloc.realloc(ptr, layout, new_size),
                false => self.0.realloc(ptr, layout, new_size),
            }
        }
    }
}

const MIB: u64 = 1 << 20;
const LIMITS: [u64; 8] = [64, 96, 128, 192, 256, 320, 384, 512];
/// From here on the service must be served, and answered.
const ENOUGH: u64 = 320;
const PAGES: [&str; 3] = ["/metrics", "/heap/top", "/debug/pprof/heap"];
const READY: &str = "ready: ";
const REFUSED: &str = "refused: ";
const THREADS: u64 = 4;
/// How long a run is scraped.
const TIME: Duration = Duration::from_millis(300);

/// Holds blocks of all sizes, and sees that they hold what it wrote, until it is stopped.
fn churn(seed: u64, stop: &AtomicBool) {
    let mut rng = Rng(seed);
    let mut held: Vec<Block> = Vec::with_capacity(64);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..100 {
            if held.len() == 64 {
                let mut block = held.swap_remove(rng.below(64));
                let size = block.size();
                assert!(
                    block.holds(size as u64, size),
                    "{size} bytes were overwritten"
                );
                block.free();
            }
            let most = 16 << rng.below(11);
            let size = 1 + rng.below(most);
            let mut block = Block::alloc(layout(size)).expect("there is memory left");
            block.fill(size as u64);
            held.push(block);
        }
        thread::sleep(Duration::from_micros(100));
    }
    held.into_iter().for_each(Block::free);
}

/// Serves under load until its standard input ends.
fn service() {
    // A hang is ended by its signal.
    // SAFETY: alarm has no preconditions.
    unsafe { libc::alarm(60) };
    let server = match bare() {
        true => None,
        false => match heapwatch::serve("127.0.0.1:0") {
            Ok(server) => Some(server),
            Err(error) => return println!("{REFUSED}{error}"),
        },
    };
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..THREADS)
        .map(|seed| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || churn(seed, &stop))
        })
        .collect();
    let addr = server.as_ref().map(heapwatch::Server::local_addr);
    println!(
        "{READY}{}",
        addr.map_or("bare".into(), |addr| addr.to_string())
    );
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Lets the child have so much address space.
fn limit(command: &mut Command, bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: setrlimit may be called between fork and exec.
    unsafe {
        command.pre_exec(
            move || match libc::setrlimit(libc::RLIMIT_AS, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            },
        );
    }
}

/// What the service says when it has started, or has decided not to.
fn first_words(output: &mut BufReader<ChildStdout>) -> String {
    let found = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line[line.find(READY).or(line.find(REFUSED))?..].to_owned()));
    found.unwrap_or_default()
}

/// Ends the service; panics unless it ends well.
fn end(mut child: Child, mut output: BufReader<ChildStdout>, what: &str) {
    drop(child.stdin.take());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{what}: {status}\n{rest}");
}

/// A copy of this binary without symbols and debug information, whose names take no time to find; it
/// is removed when this is dropped.
struct Stripped(PathBuf);

impl Stripped {
    fn new() -> Stripped {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let segments = object::File::parse(&*bytes).unwrap();
        let ends = segments.segments().map(|segment| {
            let (start, size) = segment.file_range();
            start + size
        });
        let end = ends.max().unwrap() as usize;
        bytes.truncate(end);
        // ELF64: where the table of sections is, how many it has, and which of them has their names.
        for field in [40..48, 60..62, 62..64] {
            bytes[field].fill(0);
        }
        let name = format!("limited-address-space-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Stripped(path)
    }
}

impl Drop for Stripped {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How the service is run.
#[derive(Debug, Clone, Copy)]
struct Setting {
    limit_mib: u64,
    interval: &'static str,
    /// Whether glibc reserves 64 MiB for each thread.
    arenas: bool,
}

impl Setting {
    fn of_round(limit_mib: u64, round: usize) -> Setting {
        let (interval, arenas) = [("1", false), ("4096", true), ("524288", false)][round % 3];
        Setting {
            limit_mib,
            interval,
            arenas,
        }
    }

    fn start(&self, program: &Path, is_bare: bool) -> (Child, BufReader<ChildStdout>) {
        let test = "a_service_survives_scrapes_with_little_address_space";
        let mut command = child::command_of(program, test);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("HEAPWATCH_INTERVAL", self.interval);
        if !self.arenas {
            command.env("MALLOC_ARENA_MAX", "1");
        }
        if is_bare {
            command.env(BARE.to_str().unwrap(), "1");
        }
        limit(&mut command, self.limit_mib * MIB);
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        (child, output)
    }

    /// Runs the load without heapwatch: there must be enough for it. (Where glibc takes all that there
    /// is, jemalloc alone crashes at some limits.)
    fn run_bare(&self, program: &Path) {
        let (child, mut output) = self.start(program, true);
        let words = first_words(&mut output);
        thread::sleep(TIME / 4);
        end(child, output, &format!("{self:?} without heapwatch"));
        assert_eq!(words, format!("{READY}bare"));
    }

    /// Runs the service once, scraped all the while; returns the answers to each of [`PAGES`], and
    /// none if it was refused.
    fn run(&self, program: &Path) -> Option<[u32; 3]> {
        let (child, mut output) = self.start(program, false);
        let words = first_words(&mut output);
        let Some(addr) = words.strip_prefix(READY) else {
            end(child, output, &format!("{self:?}"));
            assert!(words.contains("address space"), "{self:?}: {words:?}");
            return None;
        };
        let addr = addr.parse().unwrap();
        let until = Instant::now() + TIME;
        let scrapers = PAGES.map(|page| thread::spawn(move || scrape(addr, page, until)));
        let answers = scrapers.map(thread::JoinHandle::join);
        end(child, output, &format!("{self:?}"));
        Some(answers.map(|count| count.expect("there was an answer each time")))
    }
}

/// Asks for a page again and again; returns how often there was an answer with what was asked for.
fn scrape(addr: SocketAddr, page: &str, until: Instant) -> u32 {
    let mut answered = 0;
    loop {
        let response = ask(addr, &request("GET", page, ""));
        match response.status() {
            200 => answered += 1,
            503 => assert!(
                response.text().contains("too little memory"),
                "{page}: {}",
                response.text()
            ),
            status => panic!("{page}: {status}"),
        }
        if Instant::now() > until {
            return answered;
        }
    }
}

/// Runs the service under each limit, `rounds` times.
fn run(rounds: usize) {
    let stripped = Stripped::new();
    for limit_mib in LIMITS {
        let mut served = 0;
        for round in 0..rounds {
            let setting = Setting::of_round(limit_mib, round);
            if round == 0 {
                setting.run_bare(&stripped.0);
            }
            let answers = setting.run(&stripped.0);
            served += u32::from(answers.is_some());
            if limit_mib >= ENOUGH {
                let all = answers.is_some_and(|answers| !answers.contains(&0));
                assert!(all, "{setting:?}: {answers:?}");
            }
        }
        println!("{limit_mib} MiB: {served} of {rounds} served");
    }
    // With names, the debug information of the whole binary is read.
    let whole = std::env::current_exe().unwrap();
    let setting = Setting::of_round(LIMITS[LIMITS.len() - 1], 0);
    assert!(setting.run(&whole).is_some());
}

/// Sets how much address space this process may have; returns how much that was.
fn limit_myself(bytes: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is a live value that may be written to.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    let before = std::mem::replace(&mut limit.rlim_cur, bytes);
    // SAFETY: the limit is a live value.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!((read, set), (0, 0));
    before
}

/// A report that took the last address space would end the service at its next allocation.
#[test]
fn what_is_asked_for_when_little_is_left_is_refused_and_answered_later() {
    if !child::is_child() {
        let test = "what_is_asked_for_when_little_is_left_is_refused_and_answered_later";
        child::run(&mut child::command(test));
        return;
    }
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let unlimited = limit_myself(pages * 4096 + 16 * MIB);
    for page in PAGES {
        let refused = ask(server.local_addr(), &request("GET", page, ""));
        assert_eq!(refused.status(), 503, "{page}");
        assert!(refused.text().contains("ulimit -v"), "{}", refused.text());
    }
    let refused = heapwatch::serve("127.0.0.1:0").unwrap_err().to_string();
    assert!(refused.contains("ulimit -v"), "{refused}");
    limit_myself(unlimited);
    for page in PAGES {
        http::get(server.local_addr(), page);
    }
}

/// A profiler that takes its service down at a limit is worse than none.
#[test]
fn a_service_survives_scrapes_with_little_address_space() {
    if child::is_child() {
        return service();
    }
    run(3);
}

/// What happens in one run of a hundred.
#[test]
#[ignore = "300 runs"]
fn a_service_survives_scrapes_with_little_address_space_many_times() {
    run(38);
}
