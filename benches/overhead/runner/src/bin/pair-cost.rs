//! Instructions per allocate+free pair, counted by callgrind.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use clap::Parser;
use runner::build::Program;

/// Two amounts; start-up and exit cancel in the difference of their counts.
const FEW: u64 = 200_000;
const MANY: u64 = 1_200_000;

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
}

fn main() -> ExitCode {
    match run(Arguments::parse().check) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
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

fn per_pair(program: &Program, interval: &str) -> anyhow::Result<f64> {
    let path = program.build()?;
    let (few, many) = (count(&path, FEW, interval)?, count(&path, MANY, interval)?);
    ensure!(
        many > few,
        "{}: more pairs took fewer instructions",
        program.name
    );
    Ok((many - few) as f64 / (MANY - FEW) as f64)
}

/// Instructions of one whole run.
fn count(program: &Path, pairs: u64, interval: &str) -> anyhow::Result<u64> {
    let directory = tempfile::tempdir()?;
    let profile = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .arg(pairs.to_string())
        .env("HEAPWATCH_INTERVAL", interval)
        .stdout(Stdio::null())
        .output()
        .context("starting valgrind: is it installed?")?;
    ensure!(
        output.status.success(),
        "{} under valgrind: {}\n{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    total(&fs::read_to_string(&profile)?).context("callgrind's profile has no summary line")
}

fn total(profile: &str) -> Option<u64> {
    let mut lines = profile.lines();
    lines.find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok())
}
