//! Both programs, seen from outside.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::common::child;
use super::program::{READY, REPORT};
use super::{BARE, http, plugins};

const MEASURE_EVERY: Duration = Duration::from_millis(250);
pub(crate) const SCRAPE_EVERY: Duration = Duration::from_secs(1);
/// For ending, after the order to.
const PATIENCE: Duration = Duration::from_secs(120);

/// Numbers by name.
pub(crate) type Report = BTreeMap<String, u64>;

/// Resident memory at one moment, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) at: Duration,
    pub(crate) all: u64,
    pub(crate) anonymous: u64,
}

/// What was seen of one of the two.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) resident: Vec<Resident>,
    pub(crate) reports: Vec<Report>,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) length: Duration,
    pub(crate) heapwatch: Side,
    pub(crate) bare: Side,
    pub(crate) scrapes: u64,
}

/// A running program. Its input is open as long as it is to run.
struct Program {
    name: &'static str,
    process: Child,
    input: Option<ChildStdin>,
    reports: Option<JoinHandle<Vec<Report>>>,
    addr: Option<SocketAddr>,
    resident: Vec<Resident>,
}

pub(crate) fn run(test: &str, length: Duration) -> Seen {
    let library = plugins::build();
    let mut programs = [
        Program::start(test, "heapwatch", length, &library),
        Program::start(test, "bare", length, &library),
    ];
    let scrapes = scrape_while(programs[0].addr.expect("an endpoint"), || {
        let start = Instant::now();
        while start.elapsed() < length && programs.iter_mut().all(Program::is_running) {
            for program in &mut programs {
                program.measure(start.elapsed());
            }
            thread::sleep(MEASURE_EVERY);
        }
    });
    // Both at once, so that neither does more than the other.
    programs
        .iter_mut()
        .for_each(|program| drop(program.input.take()));
    let [heapwatch, bare] = programs.map(Program::end);
    Seen {
        length,
        heapwatch,
        bare,
        scrapes: scrapes.expect("each scrape is answered"),
    }
}

impl Program {
    fn start(test: &str, name: &'static str, length: Duration, library: &Path) -> Program {
        let mut command = child::command(test);
        command
            .env(plugins::LIBRARY, library)
            // As many ticks in each soak, so that what is kept of the past is full at the same part of it.
            .env(
                "HEAPWATCH_TICK",
                format!("{:.2}", length.as_secs_f64() / 240.0),
            )
            // jemalloc keeps freed pages for 10 s by itself. With less of them, resident memory is what is in use,
            // and a small difference shows.
            .env("_RJEM_MALLOC_CONF", "dirty_decay_ms:1000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if name == "bare" {
            command.env(BARE, "1");
        }
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| Some(line.unwrap().split_once(READY)?.1.to_owned()));
        let addr = ready.expect("the program starts").parse().ok();
        Program {
            name,
            process,
            input,
            reports: Some(thread::spawn(|| reports(lines))),
            addr,
            resident: Vec::new(),
        }
    }

    fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    fn measure(&mut self, at: Duration) {
        // Not from `smaps_rollup`, which waits for a lock that the program's threads hold most of the time. Numbers
        // here may be behind by 64 pages for each processor, or each thread on older kernels: on both sides alike.
        let path = format!("/proc/{}/status", self.process.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kib = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?;
            Some(kib << 10)
        };
        // A program that has just ended has none.
        if let (Some(all), Some(anonymous)) = (field("VmRSS:"), field("RssAnon:")) {
            self.resident.push(Resident { at, all, anonymous });
        }
    }

    /// The name of each thread, its state, and where in the kernel it waits.
    fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let read = |task: &Path, file| {
            let text = std::fs::read_to_string(task.join(file));
            text.unwrap_or_default()
        };
        let describe = |task: std::io::Result<std::fs::DirEntry>| {
            let task = task.ok()?.path();
            let [name, stat, place] = ["comm", "stat", "wchan"].map(|file| read(&task, file));
            let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
            Some(format!("{} ({state}, {place})", name.trim_end()))
        };
        tasks.into_iter().flatten().filter_map(describe).collect()
    }

    /// What was seen of it, once it has ended; the order to has been given.
    fn end(mut self) -> Side {
        let end = Instant::now() + PATIENCE;
        while self.is_running() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        let hangs = self.is_running();
        let threads = self.threads();
        if hangs {
            self.process.kill().unwrap();
        }
        let status = self.process.wait().unwrap();
        let reports = self.reports.take().unwrap().join().unwrap();
        let (name, last) = (self.name, reports.last());
        assert!(
            !hangs,
            "{name}: hangs; it last reported {last:?}; its threads: {threads:#?}"
        );
        assert!(
            status.success(),
            "{name}: ended with {status}; it last reported {last:?}"
        );
        Side {
            resident: std::mem::take(&mut self.resident),
            reports,
        }
    }
}

impl Drop for Program {
    /// Also where the other one has failed: nobody waits for this one any more.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn reports(lines: Lines<BufReader<ChildStdout>>) -> Vec<Report> {
    let number = |pair: &str| {
        let (name, number) = pair.split_once('=').unwrap();
        (name.to_owned(), number.parse().unwrap())
    };
    lines
        .filter_map(|line| {
            let line = line.unwrap();
            let (_, numbers) = line.split_once(REPORT)?;
            Some(numbers.split(' ').map(number).collect())
        })
        .collect()
}

/// Scrapes on a thread of its own while `work` lasts. Returns how often, or how that failed.
fn scrape_while(addr: SocketAddr, work: impl FnOnce()) -> thread::Result<u64> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut scrapes = 0;
            // Relaxed: nothing else hangs on it.
            while !over.load(Ordering::Relaxed) {
                scrapes += u64::from(scrape(addr));
                thread::sleep(SCRAPE_EVERY);
            }
            scrapes
        });
        work();
        over.store(true, Ordering::Relaxed);
        scraper.join()
    })
}

/// Whether all three were answered in time. A machine with too much else to do gets a 503 for an answer.
fn scrape(addr: SocketAddr) -> bool {
    let pages = [
        ("/metrics", b"# " as &[u8]),
        ("/heap/top", b"heap"),
        ("/debug/pprof/heap", b"\x1f\x8b"),
    ];
    pages.into_iter().all(|(page, start)| {
        let answer = http::ask(addr, &http::request("GET", page, ""));
        let late = answer.status() == 503;
        let right = answer.status() == 200 && answer.body.starts_with(start);
        let text = String::from_utf8_lossy(&answer.body);
        assert!(late || right, "{page}: {}\n{text}", answer.head);
        right
    })
}
