//! CPU time and peak RSS of whole programs, side by side.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use runner::affinity::Cores;
use runner::duel::{Arena, Cost, Fighter, fight};
use runner::limits::broken;
use runner::plan::{PROGRAMS, Role, VARIANTS, Variant, WORKLOADS, Workload};
use runner::report::{Cell, Tables};

const ROUNDS: usize = 11;
const QUICK_ROUNDS: usize = 3;

/// Runs every program against bare jemalloc, both at the same time on the same core, and prints the
/// ratios. With --check, exits 1 and names what broke its limit.
#[derive(Parser)]
struct Arguments {
    /// Few rounds, and only the rows that have limits.
    #[arg(long)]
    quick: bool,
    /// Hold the figures against their limits. A figure of --quick that is beyond its limit is
    /// measured again with the full number of rounds before it counts as broken.
    #[arg(long)]
    check: bool,
    /// Pairs of runs per figure [default: 11, with --quick 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// Only the workloads whose name contains this.
    #[arg(long, default_value = "")]
    workload: String,
    /// Only the rows whose name contains this.
    #[arg(long, default_value = "")]
    variant: String,
    /// The core that single-threaded programs share [default: the last].
    #[arg(long)]
    core: Option<usize>,
    /// Also write the figures there as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    runner::exit(Arguments::parse().run())
}

impl Arguments {
    fn run(&self) -> anyhow::Result<bool> {
        let rounds = self
            .rounds
            .unwrap_or(if self.quick { QUICK_ROUNDS } else { ROUNDS });
        ensure!(rounds > 0, "--rounds must be at least 1");
        let duels = self.duels()?;
        ensure!(!duels.is_empty(), "no workload or row has such a name");
        let mut cells = measure(&duels.iter().collect::<Vec<_>>(), rounds)?;
        if self.check && rounds < ROUNDS {
            again(&duels, &mut cells)?;
        }
        print!("{}", Tables(&cells));
        if let Some(path) = &self.json {
            let json = serde_json::to_string_pretty(&cells)?;
            fs::write(path, json).with_context(|| path.display().to_string())?;
        }
        Ok(!self.check || holds(&duels, &cells))
    }

    fn duels(&self) -> anyhow::Result<Vec<Duel>> {
        let allowed = Cores::allowed()?;
        let core = self.core.map_or_else(|| allowed.last(), Ok)?;
        let one = allowed.only(core)?;
        let variants: Vec<&Variant> = VARIANTS.iter().filter(|row| self.wants(row)).collect();
        let needed = |program| {
            variants
                .iter()
                .any(|v| v.program == program || v.base == program)
        };
        let mut programs = Vec::new();
        for (number, program) in PROGRAMS.iter().enumerate() {
            programs.push(needed(number).then(|| program.build()).transpose()?);
        }
        let fighter = |program: usize, environment: &[_]| -> anyhow::Result<Fighter> {
            let program = programs[program]
                .clone()
                .context("a program was not built")?;
            Ok(Fighter {
                program,
                environment: environment.to_vec(),
            })
        };
        let mut duels = Vec::new();
        for workload in WORKLOADS.iter().filter(|w| w.name.contains(&self.workload)) {
            let cores = if workload.parallel {
                allowed.clone()
            } else {
                one.clone()
            };
            for &variant in &variants {
                duels.push(Duel {
                    workload,
                    variant,
                    base: fighter(variant.base, &[])?,
                    challenger: fighter(variant.program, variant.environment)?,
                    others: allowed.without(&cores),
                    cores: cores.clone(),
                });
            }
        }
        Ok(duels)
    }

    fn wants(&self, row: &Variant) -> bool {
        row.name.contains(&self.variant) && !(self.quick && row.role == Role::Comparison)
    }
}

struct Duel {
    workload: &'static Workload,
    variant: &'static Variant,
    base: Fighter,
    challenger: Fighter,
    cores: Cores,
    others: Cores,
}

impl Duel {
    fn fight(&self, swap: bool) -> anyhow::Result<[Cost; 2]> {
        let arena = Arena {
            workload: self.workload.name,
            server: self.workload.server,
            cores: &self.cores,
            others: &self.others,
        };
        let costs = fight(&arena, [&self.base, &self.challenger], swap)?;
        let judged = self.variant.role != Role::Comparison;
        ensure!(
            !judged || costs[0].jemalloc == costs[1].jemalloc,
            "{}: the two programs were built with different jemallocs: {:?}, {:?}",
            self.variant.name,
            costs[0].jemalloc,
            costs[1].jemalloc
        );
        Ok(costs)
    }
}

/// All rounds of all duels, round by round, so that a change on the machine meets all alike.
fn measure(duels: &[&Duel], rounds: usize) -> anyhow::Result<Vec<Cell>> {
    let mut pairs: Vec<Vec<[Cost; 2]>> = duels.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (duel, pairs) in duels.iter().zip(&mut pairs) {
            let (workload, variant) = (duel.workload.name, duel.variant.name);
            eprintln!("round {} of {rounds}: {workload}, {variant}", round + 1);
            pairs.push(duel.fight(round % 2 == 1)?);
        }
    }
    let cells = duels.iter().zip(&pairs);
    Ok(cells
        .map(|(duel, pairs)| Cell::new(duel.workload.name, duel.variant.name, pairs))
        .collect())
}

/// Measures the cells that are beyond a limit again, thoroughly.
fn again(duels: &[Duel], cells: &mut [Cell]) -> anyhow::Result<()> {
    for (duel, cell) in duels.iter().zip(cells) {
        if !broken(cell, duel.variant.role, duel.workload).is_empty() {
            *cell = measure(&[duel], ROUNDS)?.remove(0);
        }
    }
    Ok(())
}

/// Prints what is beyond its limit; true where nothing is.
fn holds(duels: &[Duel], cells: &[Cell]) -> bool {
    let pairs = duels.iter().zip(cells);
    let broken: Vec<String> = pairs
        .flat_map(|(duel, cell)| broken(cell, duel.variant.role, duel.workload))
        .collect();
    for sentence in &broken {
        eprintln!("broken: {sentence}");
    }
    broken.is_empty()
}
