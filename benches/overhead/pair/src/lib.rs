//! The loops whose instructions are counted.
//!
//! They live here and not in the two programs so that both link the same object code; the allocator
//! is all that differs.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

/// 64 bytes: one cache line, a usual small object. At 512 KiB only one pair in 8,192 is sampled, so
/// the count is that of the paths that every allocation takes.
type Object = [u64; 8];

/// Pairs of buffers that are timed together: long beside reading the clock, short beside the time
/// slices of the scheduler.
const TIMED: u64 = 1_000;

/// Runs as many pairs as the last argument says. For buffers, prints the nanoseconds of a pair.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if start(&arguments).is_none() {
        eprintln!("usage: pair-ALLOCATOR [touched|untouched BYTES] PAIRS");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn start(arguments: &[&str]) -> Option<()> {
    let (pairs, of) = arguments.split_last()?;
    let pairs = pairs.parse().ok()?;
    let run: fn(usize, u64) = match of.first() {
        None => {
            objects(pairs);
            return Some(());
        }
        Some(&"untouched") => untouched,
        Some(&"touched") => touched,
        Some(_) => return None,
    };
    let bytes = of.get(1)?.parse().ok()?;
    println!("{}", fastest(pairs, |pairs| run(bytes, pairs)));
    Some(())
}

/// Nanoseconds of a pair in the fastest of many stretches: whatever disturbs the machine only adds.
fn fastest(mut pairs: u64, run: impl Fn(u64)) -> f64 {
    let mut fastest = f64::INFINITY;
    while pairs > 0 {
        let stretch = pairs.min(TIMED);
        let start = Instant::now();
        run(stretch);
        fastest = fastest.min(start.elapsed().as_nanos() as f64 / stretch as f64);
        pairs -= stretch;
    }
    fastest
}

/// Allocates and frees one object, `pairs` times.
#[inline(never)]
fn objects(pairs: u64) {
    for _ in 0..pairs {
        // Uninitialised, so that no instruction of the loop is spent on filling the object.
        drop(black_box(Box::<Object>::new_uninit()));
    }
}

/// Allocates and frees one buffer, `pairs` times.
#[inline(never)]
fn untouched(bytes: usize, pairs: u64) {
    for _ in 0..pairs {
        drop(black_box(Vec::<u8>::with_capacity(bytes)));
    }
}

/// As `untouched`, and writes the buffer's first byte, so that its first page exists.
#[inline(never)]
fn touched(bytes: usize, pairs: u64) {
    for _ in 0..pairs {
        let mut buffer = black_box(Vec::<u8>::with_capacity(bytes));
        buffer.push(1);
        drop(black_box(buffer));
    }
}
