//! The command line that all programs share.

use std::time::Duration;

pub struct Args {
    pub healthy: bool,
    /// Without heapwatch: the heap's true growth, undisturbed by the watcher's own memory.
    pub plain: bool,
    pub seconds: Duration,
    /// Time between two reports.
    pub every: Duration,
}

impl Args {
    /// Reads the arguments, or ends the process with a usage line.
    pub fn from_env() -> Self {
        Self::parse(std::env::args().skip(1)).unwrap_or_else(|wrong| {
            eprintln!("{wrong}\nusage: [--healthy] [--plain] [--seconds N] [--every N]");
            std::process::exit(2);
        })
    }

    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut healthy, mut plain, mut seconds, mut every) = (false, false, None, None);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--healthy" => healthy = true,
                "--plain" => plain = true,
                "--seconds" => seconds = Some(duration(&arg, args.next())?),
                "--every" => every = Some(duration(&arg, args.next())?),
                _ => return Err(format!("unknown argument {arg}")),
            }
        }
        let usual = Duration::from_secs(if healthy { 150 } else { 15 });
        Ok(Self {
            healthy,
            plain,
            seconds: seconds.unwrap_or(usual),
            every: every.unwrap_or(Duration::from_millis(500)),
        })
    }
}

fn duration(name: &str, value: Option<String>) -> Result<Duration, String> {
    value
        .and_then(|value| value.parse().ok())
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{name} needs a positive number of seconds"))
}
