//! What the user reads: plain in a pipe, in colour and as wide as the terminal on one.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use terminal_size::{Width, terminal_size_of};

use crate::failure::Failure;

/// Columns of a table that no terminal shows: what fits into a ticket.
const IN_A_PIPE: usize = 120;

/// Columns of a table: those of the terminal, if standard output is one.
pub(crate) fn width() -> usize {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return IN_A_PIPE;
    }
    terminal_size_of(stdout).map_or(IN_A_PIPE, |(Width(columns), _)| columns.into())
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| Failure::writing(&error))
}

/// Writes one line to standard error.
pub(crate) fn complain(failure: &impl Display) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "\x1b[31merror\x1b[0m: {failure}");
}
