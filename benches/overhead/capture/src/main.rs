//! What a stack capture costs per frame: heapwatch's own against `backtrace`'s, in one run.

use std::process::ExitCode;
use std::time::Instant;

use capture::chain;
use clap::Parser;
use fastrand::Rng;

/// heapwatch reads the unwind tables when it first comes to serve an allocation.
#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SEED: u64 = 0x7374_6163;
const DEPTH: usize = 30;
const ROUNDS: usize = 200;
/// Captures of each kind in a round; together they meet every function several times.
const CAPTURES: usize = 100;
/// Room for the chain and for what lies below it.
const ROOM: usize = 128;

/// Captures stacks through 1,000 distinct functions and prints nanoseconds per frame.
#[derive(Parser)]
struct Arguments {
    /// Exit 1 where heapwatch is not at least this many times as fast.
    #[arg(long, value_name = "TIMES")]
    check: Option<f64>,
}

type Capture = fn(&mut [usize]) -> usize;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut rng = Rng::with_seed(SEED);
    let common = common_frames(&mut rng);
    if common < DEPTH {
        eprintln!("the two captures of one stack agree on {common} frames only, not on {DEPTH}");
        return ExitCode::from(2);
    }
    // The first captures set things up once per process; they are not what is measured.
    round(heapwatch_capture, &mut rng);
    round(backtrace_capture, &mut rng);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        if number % 2 == 0 {
            ours.push(round(heapwatch_capture, &mut rng));
            theirs.push(round(backtrace_capture, &mut rng));
        } else {
            theirs.push(round(backtrace_capture, &mut rng));
            ours.push(round(heapwatch_capture, &mut rng));
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let times = theirs / ours;
    println!(
        "| {} functions, depth {DEPTH} | ns per frame |",
        chain::FUNCTIONS
    );
    println!("| --- | --- |");
    println!("| `backtrace::trace_unsynchronized` | {theirs:.1} |");
    println!("| heapwatch | {ours:.1} |");
    println!("\n{times:.2} times as fast");
    match arguments.check {
        Some(least) if times < least => {
            eprintln!("broken: {times:.2} times as fast, at least {least:.2} wanted");
            ExitCode::from(1)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Nanoseconds per frame over many chains. No two captures share a chain, as no two samples of a
/// service need to: a capture repeated on one stack would find everything in the caches.
fn round(capture: Capture, rng: &mut Rng) -> f64 {
    let (mut nanoseconds, mut frames) = (0, 0);
    let mut stack = [0; ROOM];
    for _ in 0..CAPTURES {
        chain::call(rng.u64(..), DEPTH, &mut || {
            let start = Instant::now();
            frames += capture(&mut stack);
            nanoseconds += start.elapsed().as_nanos();
        });
    }
    nanoseconds as f64 / frames as f64
}

/// How many frames of one stack both captures find: a fast capture of something else is no gain.
fn common_frames(rng: &mut Rng) -> usize {
    let (mut ours, mut theirs) = ([0; ROOM], [0; ROOM]);
    let mut found = (0, 0);
    chain::call(rng.u64(..), DEPTH, &mut || {
        found = (heapwatch_capture(&mut ours), backtrace_capture(&mut theirs));
    });
    let theirs = &theirs[..found.1];
    ours[..found.0]
        .iter()
        .filter(|address| theirs.contains(address))
        .count()
}

#[inline(never)]
fn heapwatch_capture(stack: &mut [usize]) -> usize {
    heapwatch::__bench::capture(stack)
}

#[inline(never)]
fn backtrace_capture(stack: &mut [usize]) -> usize {
    let mut frames = 0;
    // SAFETY: the process has one thread, so nothing else can be inside the unwinder.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let Some(slot) = stack.get_mut(frames) else {
                return false;
            };
            *slot = frame.ip() as usize;
            frames += 1;
            true
        });
    }
    frames
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
