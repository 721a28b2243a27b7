//! One JSON object a line: how far the work is, what the heap holds beyond the start, and heapwatch's verdicts.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use tikv_jemalloc_ctl::{epoch, stats};

use crate::{Args, BEATS};

const INTERVAL: u64 = 65_536;
/// Verdicts come worst first; the calm rest is of no use to a reader.
const VERDICTS: usize = 8;

/// Starts heapwatch, or keeps it off for a plain run; it watches for as long as the result lives.
pub fn watch(plain: bool) -> Option<impl Sized> {
    let interval = if plain { 0 } else { INTERVAL };
    heapwatch::set_interval(interval).expect("heapwatch is the global allocator");
    (!plain).then(|| heapwatch::watch().expect("heapwatch is the global allocator"))
}

/// Reports until the time is over, then ends the process.
pub fn run(args: &Args) -> ! {
    let started = Instant::now();
    let heap_at_start = heap();
    let mut due = args.every;
    while due <= args.seconds {
        thread::sleep(due.saturating_sub(started.elapsed()));
        // First, so that what naming the call sites takes is in each report's RSS, the first one's too.
        let verdicts = if args.plain { Vec::new() } else { verdicts() };
        let report = json!({
            "seconds": started.elapsed().as_secs_f64(),
            "beats": BEATS.load(Ordering::Relaxed),
            "grown_bytes": heap() as i64 - heap_at_start as i64,
            "rss_bytes": rss(),
            "verdicts": verdicts,
        });
        println!("{report}");
        due += args.every;
    }
    std::process::exit(0);
}

fn verdicts() -> Vec<Value> {
    let verdicts = heapwatch::growth().expect("the watch runs");
    verdicts
        .iter()
        .take(VERDICTS)
        .map(|growth| json!(growth))
        .collect()
}

/// Bytes that jemalloc has handed out, heapwatch's own included.
fn heap() -> usize {
    epoch::advance().expect("jemalloc is the allocator");
    stats::allocated::read().expect("jemalloc is built with statistics")
}

fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
