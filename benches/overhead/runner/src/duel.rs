//! Two programs at the same time on the same cores.
//!
//! Whatever else disturbs the machine then disturbs both alike, and their ratio stays.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Deserialize;
use wait4::Wait4;

use crate::affinity::Cores;
use crate::load;

/// One of the two programs.
pub struct Fighter {
    /// The executable.
    pub program: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(&'static str, &'static str)>,
}

/// Where the two run, and on what.
pub struct Arena<'a> {
    /// The name of the workload.
    pub workload: &'a str,
    /// The workload is a server that waits for load.
    pub server: bool,
    /// The cores that the two programs share.
    pub cores: &'a Cores,
    /// The cores of everything else.
    pub others: &'a Cores,
}

/// What one program used.
pub struct Cost {
    /// User and system time by `wait4`.
    pub cpu_seconds: f64,
    /// `VmHWM`.
    pub peak_rss_bytes: u64,
    /// How its jemalloc was built.
    pub jemalloc: JemallocBuild,
    checksum: u64,
}

/// How a program's jemalloc was built.
#[derive(Deserialize, Debug, PartialEq, Clone, Copy)]
pub struct JemallocBuild {
    /// Built with `--enable-stats`.
    pub stats: bool,
    /// Built with `--enable-prof`.
    pub profiling: bool,
}

#[derive(Deserialize)]
struct Outcome {
    peak_rss_bytes: u64,
    checksum: u64,
    jemalloc: JemallocBuild,
}

#[derive(Deserialize)]
struct Ready {
    port: u16,
    requests: u64,
}

/// Runs both to their end. `swap` starts the second one first; the costs come back in the order of
/// the arguments all the same.
pub fn fight(arena: &Arena, fighters: [&Fighter; 2], swap: bool) -> anyhow::Result<[Cost; 2]> {
    let [first, second] = fighters;
    let costs = if swap {
        let [second, first] = run(arena, [second, first])?;
        [first, second]
    } else {
        run(arena, [first, second])?
    };
    ensure!(
        costs[0].checksum == costs[1].checksum,
        "{}: the two programs did not do the same work",
        arena.workload
    );
    Ok(costs)
}

fn run(arena: &Arena, fighters: [&Fighter; 2]) -> anyhow::Result<[Cost; 2]> {
    arena.cores.confine()?;
    let started = fighters.map(|fighter| Running::start(fighter, arena.workload));
    arena.others.confine()?;
    let [first, second] = started;
    let mut running = [first?, second?];
    if arena.server {
        put_under_load(&mut running)?;
    }
    let [first, second] = running;
    Ok([first.finish()?, second.finish()?])
}

fn put_under_load(running: &mut [Running; 2]) -> anyhow::Result<()> {
    let [first, second] = running;
    let ready = [first.ready()?, second.ready()?];
    thread::scope(|scope| {
        let loads = ready.map(|ready| scope.spawn(move || load::send(ready.port, ready.requests)));
        loads.into_iter().try_for_each(|load| {
            load.join()
                .map_err(|_| anyhow!("the load generator panicked"))?
        })
    })
}

struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    fn start(fighter: &Fighter, workload: &str) -> anyhow::Result<Running> {
        let mut child = Command::new(&fighter.program)
            .arg(workload)
            .env_clear()
            .envs(fighter.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", fighter.program.display()))?;
        let output = child.stdout.take().context("no pipe")?;
        Ok(Running {
            child,
            output: BufReader::new(output),
        })
    }

    fn ready(&mut self) -> anyhow::Result<Ready> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the server's first line: {line:?}"))
    }

    fn finish(mut self) -> anyhow::Result<Cost> {
        let mut line = String::new();
        self.output.read_to_string(&mut line)?;
        let used = self.child.wait4()?;
        if !used.status.success() {
            bail!("a measured program failed: {}", used.status);
        }
        let outcome: Outcome =
            serde_json::from_str(&line).with_context(|| format!("the last line: {line:?}"))?;
        Ok(Cost {
            cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
            peak_rss_bytes: outcome.peak_rss_bytes,
            jemalloc: outcome.jemalloc,
            checksum: outcome.checksum,
        })
    }
}
