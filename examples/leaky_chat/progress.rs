//! The progress of the load on standard error: one line that is rewritten on a terminal, a line every few
//! seconds elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use tokio::time::interval;

use crate::load::Tally;

const TERMINAL_PACE: Duration = Duration::from_millis(250);
const LOG_PACE: Duration = Duration::from_secs(5);

/// Shows the load's progress for `seconds`. Meant to be dropped when something else ends the wait.
pub(crate) async fn show(tally: &Tally, seconds: u64) {
    let terminal = stderr().is_terminal();
    let started = Instant::now();
    let mut pace = interval(if terminal { TERMINAL_PACE } else { LOG_PACE });
    let ended = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => break,
            _ = pace.tick() => {
                let line = format!("{}/{seconds} s: {}", started.elapsed().as_secs(), tally.summary());
                write_line(&line, terminal);
            }
        }
    }
}

/// Leaves the cursor at the start of an empty line.
pub(crate) fn clear() {
    if stderr().is_terminal() {
        write_error(format_args!("\r\x1b[K"));
    }
}

fn write_line(line: &str, terminal: bool) {
    if terminal {
        write_error(format_args!("\r{line}\x1b[K"));
    } else {
        write_error(format_args!("{line}\n"));
    }
}

/// Progress that nobody can read is no reason to stop.
fn write_error(text: std::fmt::Arguments) {
    let mut stderr = stderr().lock();
    let _ = stderr.write_fmt(text);
    let _ = stderr.flush();
}
