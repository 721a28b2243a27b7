//! Fixed amounts of allocation-heavy work.
//!
//! Each workload is deterministic in what it allocates: the seed and the amount are constants. The
//! library holds all of it, so that every measured program links the same object code and differs
//! from the others in its global allocator alone.

mod buffers;
mod churn;
mod cores;
mod documents;
mod handoff;
mod index;
mod maps;
mod replace;
mod server;
mod source;
mod usage;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// The seed of every workload.
const SEED: u64 = 0x6865_6170;

/// How the linked jemalloc was built.
#[derive(Serialize)]
pub struct JemallocBuild {
    /// Built with `--enable-stats`.
    pub stats: bool,
    /// Built with `--enable-prof`.
    pub profiling: bool,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Workload {
    /// Small objects replaced at random, one thread.
    Churn,
    /// Small objects allocated on one thread and freed on the next, four threads.
    Handoff,
    /// Small blocks replaced at random and nothing else, one thread.
    Replace,
    /// Hash maps and B-trees that grow and shrink, one thread.
    Maps,
    /// Large buffers filled and read once, four threads.
    Buffers,
    /// `serde_json` parsing of a generated document.
    Json,
    /// `syn` parsing of a generated source file.
    Syn,
    /// A tantivy index built in memory.
    Tantivy,
    /// An axum server; prints its address and waits for the load.
    Axum,
}

/// Does one fixed piece of work and prints its cost as one line of JSON.
#[derive(Parser)]
struct Arguments {
    workload: Workload,
}

/// What one run cost.
#[derive(Serialize)]
struct Outcome {
    workload: Workload,
    /// User and system time of the whole process.
    cpu_seconds: f64,
    peak_rss_bytes: u64,
    /// Equal for equal work, whatever the allocator.
    checksum: u64,
    jemalloc: JemallocBuild,
}

/// The `main` of every measured program.
pub fn main(jemalloc: JemallocBuild) -> ExitCode {
    match run(Arguments::parse().workload, jemalloc) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(workload: Workload, jemalloc: JemallocBuild) -> anyhow::Result<()> {
    let checksum = match workload {
        Workload::Churn => churn::run(),
        Workload::Handoff => handoff::run()?,
        Workload::Replace => replace::run(),
        Workload::Maps => maps::run(),
        Workload::Buffers => buffers::run()?,
        Workload::Json => documents::run()?,
        Workload::Syn => source::run()?,
        Workload::Tantivy => index::run()?,
        Workload::Axum => server::run()?,
    };
    let outcome = Outcome {
        workload,
        cpu_seconds: usage::cpu_seconds()?,
        peak_rss_bytes: usage::peak_rss_bytes()?,
        checksum,
        jemalloc,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
