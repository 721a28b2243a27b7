//! Instructions, counted by callgrind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// A program that does some work as many times as its last argument says.
pub struct Loop<'a> {
    /// The executable.
    pub program: &'a Path,
    /// What goes before the number.
    pub arguments: &'a [&'a str],
    /// `HEAPWATCH_INTERVAL`.
    pub interval: &'a str,
    /// Counts of which the least is taken; more than one where the work is not the same each time.
    pub counts: usize,
}

impl Loop<'_> {
    /// Instructions for each time: the difference of two counts over that of the two numbers, so
    /// that start-up and exit cancel.
    pub fn instructions(&self, few: u64, many: u64) -> anyhow::Result<f64> {
        let (less, more) = (self.least(few)?, self.least(many)?);
        ensure!(
            more > less,
            "{}: more work took fewer instructions",
            self.program.display()
        );
        Ok((more - less) as f64 / (many - few) as f64)
    }

    /// What the program prints without valgrind.
    pub fn output(&self, times: u64) -> anyhow::Result<String> {
        self.run(Command::new(self.program), times)
    }

    fn least(&self, times: u64) -> anyhow::Result<u64> {
        let mut least = self.count(times)?;
        for _ in 1..self.counts {
            least = least.min(self.count(times)?);
        }
        Ok(least)
    }

    /// Instructions of one whole run.
    fn count(&self, times: u64) -> anyhow::Result<u64> {
        let directory = tempfile::tempdir()?;
        let profile = directory.path().join("callgrind.out");
        let mut valgrind = Command::new("valgrind");
        valgrind
            // Else jemalloc gives memory back by the clock, so the more often the slower valgrind is.
            .env("_RJEM_MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1")
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(self.program);
        self.run(valgrind, times)?;
        total(&fs::read_to_string(&profile)?).context("callgrind's profile has no summary line")
    }

    fn run(&self, mut command: Command, times: u64) -> anyhow::Result<String> {
        let output = command
            .args(self.arguments)
            .arg(times.to_string())
            .env("HEAPWATCH_INTERVAL", self.interval)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {command:?}: is it installed?"))?;
        ensure!(
            output.status.success(),
            "{command:?}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn total(profile: &str) -> Option<u64> {
    let mut lines = profile.lines();
    lines.find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok())
}
