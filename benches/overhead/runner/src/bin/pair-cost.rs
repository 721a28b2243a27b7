//! Instructions per allocate+free pair, counted by callgrind.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use runner::build::Program;
use runner::callgrind::Loop;

/// Two amounts; start-up and exit cancel in the difference of their counts.
const FEW: u64 = 200_000;
const MANY: u64 = 1_200_000;

/// For `--sizes`: around what jemalloc keeps per thread, and beyond.
const SIZES_KIB: [usize; 7] = [8, 16, 32, 33, 64, 128, 256];
/// Few, and the least of three counts: a large block costs jemalloc half as much again while free
/// ones lie beside it, and in a longer run they come and go.
const FEW_LARGE: u64 = 1_000;
const MANY_LARGE: u64 = 4_000;
const COUNTS: usize = 3;

const TIMED: u64 = 20_000;
/// Runs of a program of which the fastest counts; each reports its own fastest stretch.
const ROUNDS: usize = 7;

const WITHOUT_STATS: Program = Program {
    name: "pair-jemalloc-without-stats",
    package: "pair",
    binary: "pair-jemalloc",
    features: &[],
};

const WITH_STATS: Program = Program {
    name: "pair-jemalloc-with-stats",
    package: "pair",
    binary: "pair-jemalloc",
    features: &["stats"],
};

const JEMALLOC: Program = Program {
    name: "pair-jemalloc",
    package: "pair",
    binary: "pair-jemalloc",
    features: &["heapwatch"],
};

const HEAPWATCH: Program = Program {
    name: "pair-heapwatch",
    package: "pair",
    binary: "pair-heapwatch",
    features: &["heapwatch"],
};

/// Counts the instructions of an allocate+free pair under bare jemalloc and under heapwatch, both
/// with the same jemalloc features.
#[derive(Parser)]
struct Arguments {
    /// Exit 1 where heapwatch at 512 KiB takes more than this many instructions beyond jemalloc.
    #[arg(long, value_name = "INSTRUCTIONS")]
    check: Option<f64>,
    /// Instead, count the instructions and take the time of pairs from 8 to 256 KiB.
    #[arg(long, conflicts_with = "check")]
    sizes: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let held = if arguments.sizes {
        sizes().map(|()| true)
    } else {
        run(arguments.check)
    };
    runner::exit(held)
}

fn run(limit: Option<f64>) -> anyhow::Result<bool> {
    let without_stats = per_pair(&WITHOUT_STATS, "")?;
    let with_stats = per_pair(&WITH_STATS, "")?;
    let jemalloc = per_pair(&JEMALLOC, "")?;
    let off = per_pair(&HEAPWATCH, "0")?;
    let heapwatch = per_pair(&HEAPWATCH, "524288")?;
    println!("| instructions per allocate+free pair of 64 bytes | | difference |");
    println!("| --- | --- | --- |");
    println!("| jemalloc without `stats` | {without_stats:.1} | |");
    println!(
        "| jemalloc with `stats` | {with_stats:.1} | {:+.1} |",
        with_stats - without_stats
    );
    println!("| jemalloc as heapwatch builds it | {jemalloc:.1} | |");
    println!("| heapwatch off | {off:.1} | {:+.1} |", off - jemalloc);
    println!(
        "| heapwatch 512 KiB | {heapwatch:.1} | {:+.1} |",
        heapwatch - jemalloc
    );
    let more = heapwatch - jemalloc;
    let broken = limit.is_some_and(|limit| more > limit);
    if broken {
        eprintln!("broken: {more:.1} instructions more per pair than bare jemalloc");
    }
    Ok(!broken)
}

/// Prints what a pair costs from small blocks to large ones.
fn sizes() -> anyhow::Result<()> {
    let (jemalloc, heapwatch) = (JEMALLOC.build()?, HEAPWATCH.build()?);
    println!(
        "| KiB | jemalloc, instructions | heapwatch off | difference | jemalloc, ns | heapwatch off |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for kib in SIZES_KIB {
        for touch in ["untouched", "touched"] {
            let bytes = (kib << 10).to_string();
            let arguments = [touch, &bytes];
            let pairs = [(&jemalloc, ""), (&heapwatch, "0")].map(|(program, interval)| Loop {
                program,
                arguments: &arguments,
                interval,
                counts: COUNTS,
            });
            let [bare, off] =
                [&pairs[0], &pairs[1]].map(|it| it.instructions(FEW_LARGE, MANY_LARGE));
            let (bare, off) = (bare?, off?);
            let [bare_ns, off_ns] = nanoseconds(&pairs)?;
            println!(
                "| {kib} {touch} | {bare:.1} | {off:.1} | {:+.1} | {bare_ns:.1} | {off_ns:.1} |",
                off - bare
            );
        }
    }
    Ok(())
}

/// The fastest of several runs of each, in turn.
fn nanoseconds(pairs: &[Loop; 2]) -> anyhow::Result<[f64; 2]> {
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        for (fastest, pairs) in fastest.iter_mut().zip(pairs) {
            let told = pairs.output(TIMED)?;
            *fastest = fastest.min(told.trim().parse().context("nanoseconds")?);
        }
    }
    Ok(fastest)
}

fn per_pair(program: &Program, interval: &str) -> anyhow::Result<f64> {
    let path = program.build()?;
    let pairs = Loop {
        program: &path,
        arguments: &[],
        interval,
        counts: 1,
    };
    pairs.instructions(FEW, MANY)
}
