//! The loop whose samples are counted: every iteration calls through a chain of functions and
//! allocates and frees one block there, and does nothing else.

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;

use anyhow::ensure;
use capture::chain;
use clap::{Parser, ValueEnum};
use heapwatch::Snapshot;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Chains that a changing stack takes in turn: more than anything that is kept per thread, yet
/// few enough that no sample of a long run is the first of its stack.
const CHAINS: u64 = 1_024;

/// Uninitialised, so that no instruction of the loop is spent on filling it.
type Block = [u8; 100];

/// Allocates and frees one block of 100 bytes at the end of a chain of calls, over and over.
#[derive(Parser)]
struct Arguments {
    stacks: Stacks,
    /// Functions in the chain.
    depth: usize,
    iterations: u64,
    /// Also print how many samples heapwatch took meanwhile, of how many distinct stacks, and the
    /// frames of the shortest of these.
    #[arg(long)]
    tell: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Stacks {
    /// The same chain each time.
    Repeated,
    /// The outer four fifths of the chain are the same each time.
    MostlyRepeated,
    /// Another chain each time.
    Changing,
}

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn run(&self) -> anyhow::Result<()> {
        if !self.tell {
            self.iterate();
            return Ok(());
        }
        let before = heapwatch::snapshot()?;
        self.iterate();
        tell(&before, &heapwatch::snapshot()?)
    }

    #[inline(never)]
    fn iterate(&self) {
        let fixed = match self.stacks {
            Stacks::Repeated => self.depth,
            Stacks::MostlyRepeated => self.depth * 4 / 5,
            Stacks::Changing => 0,
        };
        for iteration in 0..self.iterations {
            chain::call(CHAINS, fixed, &mut || {
                chain::call(iteration % CHAINS, self.depth - fixed, &mut block);
            });
        }
    }
}

#[inline(never)]
fn block() {
    drop(black_box(Box::<Block>::new_uninit()));
}

/// Prints the samples, the distinct stacks and the least frames of what was sampled in between.
fn tell(before: &Snapshot, after: &Snapshot) -> anyhow::Result<()> {
    let dropped = &after.info().dropped;
    ensure!(dropped.is_empty(), "samples were lost: {dropped:?}");
    let known: HashMap<u64, u64> = before.sites().iter().map(|s| (s.id, s.samples)).collect();
    let mut frames = Vec::new();
    for site in after.sites() {
        if site.samples > known.get(&site.id).copied().unwrap_or(0) {
            ensure!(!site.truncated, "a stack of {} was cut", site.stack.len());
            frames.push(site.stack.len());
        }
    }
    let samples = after.info().samples - before.info().samples;
    let least = frames.iter().min().copied().unwrap_or(0);
    println!("{samples} {} {least}", frames.len());
    Ok(())
}
