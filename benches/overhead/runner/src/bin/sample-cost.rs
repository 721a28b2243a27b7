//! Instructions per sample and its free, counted by callgrind.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use runner::build::Program;
use runner::callgrind::Loop;

/// Two numbers of samples; even the smaller one meets every stack more than once, so that nothing
/// in the difference is the first of its stack.
const FEW: u64 = 4_096;
const MANY: u64 = 20_480;

const DEPTHS: [usize; 3] = [10, 30, 100];
const STACKS: [&str; 3] = ["repeated", "mostly-repeated", "changing"];

/// The figure that `--check` holds.
const JUDGED: (&str, usize) = ("repeated", 30);

const SAMPLE: Program = Program {
    name: "sample",
    package: "capture",
    binary: "sample",
    features: &[],
};

/// Counts the instructions of a sample and its free, beyond those of the same allocation and free
/// unsampled.
#[derive(Parser)]
struct Arguments {
    /// Exit 1 where a sample of a repeated stack through 30 functions takes more than this.
    #[arg(long, value_name = "INSTRUCTIONS")]
    check: Option<f64>,
}

fn main() -> ExitCode {
    runner::exit(run(Arguments::parse().check))
}

fn run(limit: Option<f64>) -> anyhow::Result<bool> {
    let program = SAMPLE.build()?;
    let mut holds = true;
    println!("| stacks | functions | frames in a sample | distinct stacks | instructions |");
    println!("| --- | --- | --- | --- | --- |");
    for stacks in STACKS {
        for depth in DEPTHS {
            let case = Case::new(&program, stacks, depth)?;
            let instructions = case.instructions()?;
            println!(
                "| {stacks} | {depth} | {} | {} | {instructions:.0} |",
                case.frames, case.distinct
            );
            if (stacks, depth) == JUDGED && limit.is_some_and(|limit| instructions > limit) {
                eprintln!("broken: {instructions:.0} instructions per sample, {stacks}, {depth}");
                holds = false;
            }
        }
    }
    Ok(holds)
}

struct Case<'a> {
    program: &'a Path,
    stacks: &'static str,
    depth: String,
    frames: usize,
    distinct: usize,
}

impl Case<'_> {
    /// Also makes sure, natively, that every allocation of the loop is sampled with its whole
    /// stack: what loses samples or frames would else look cheap.
    fn new<'a>(program: &'a Path, stacks: &'static str, depth: usize) -> anyhow::Result<Case<'a>> {
        let mut case = Case {
            program,
            stacks,
            depth: depth.to_string(),
            frames: 0,
            distinct: 0,
        };
        let told = case.with_loop("1", true, |sampled| sampled.output(MANY))?;
        let figures = told.split_whitespace().map(str::parse);
        let figures: Vec<usize> = figures.collect::<Result<_, _>>().context("what was told")?;
        let [samples, distinct, frames] = figures[..] else {
            anyhow::bail!("the program told {told:?}");
        };
        ensure!(
            samples as u64 == MANY,
            "{samples} samples of {MANY} allocations, {stacks}, {depth}"
        );
        ensure!(
            frames >= depth,
            "{frames} frames of {depth} functions in a stack, {stacks}"
        );
        case.frames = frames;
        case.distinct = distinct;
        Ok(case)
    }

    fn instructions(&self) -> anyhow::Result<f64> {
        let count = |interval| self.with_loop(interval, false, |it| it.instructions(FEW, MANY));
        Ok(count("1")? - count("0")?)
    }

    fn with_loop<T>(&self, interval: &str, tell: bool, run: impl FnOnce(&Loop) -> T) -> T {
        let arguments = ["--tell", self.stacks, &self.depth];
        run(&Loop {
            program: self.program,
            arguments: &arguments[usize::from(!tell)..],
            interval,
            counts: 1,
        })
    }
}
