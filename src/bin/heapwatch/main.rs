//! heapwatch on the command line: who holds a running service's memory, and what grows.
//!
//! Exit status 0 if all is well, 1 if a stated limit is broken, 2 if that could not be told.

mod args;
mod check;
mod client;
mod colour;
mod diff;
mod failure;
mod fetch;
mod flamegraph;
mod fold;
mod generate;
mod growth;
mod limit;
mod output;
mod size;
mod source;
mod span;
mod symbolize;
mod top;
mod waiting;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use failure::Failure;

/// How a command ended, when it could do what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Done, and no limit that was stated is broken.
    Held,
    /// A limit that was stated is broken.
    Broken,
}

impl Outcome {
    fn of(held: bool) -> Outcome {
        if held { Outcome::Held } else { Outcome::Broken }
    }

    /// The same when it was written, also if nobody reads it.
    fn after(self, written: Result<(), Failure>) -> Result<Outcome, Failure> {
        match written {
            Err(failure) if !failure.reader_has_gone() => Err(failure),
            _ => Ok(self),
        }
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(Outcome::Held) => ExitCode::SUCCESS,
        Ok(Outcome::Broken) => ExitCode::from(1),
        Err(failure) if failure.reader_has_gone() => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<Outcome, Failure> {
    match args.command {
        Command::Top(command) => top::run(&command),
        Command::Fetch(command) => fetch::run(&command),
        Command::Diff(command) => diff::run(&command),
        Command::Growth(command) => growth::run(&command),
        Command::Check(command) => check::run(&command),
        Command::Watch(command) => watch::run(&command),
        Command::Flamegraph(command) => flamegraph::run(&command),
        Command::Symbolize(command) => symbolize::run(&command),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man => generate::man(),
    }
}

/// The tests look at the heap of their own process.
#[cfg(test)]
#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
