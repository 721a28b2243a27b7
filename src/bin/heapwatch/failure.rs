//! Why a command could not do what it should: one line, with its remedy.

use std::fmt;
use std::io;

/// What the user is told before exit status 2.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This line.
    Line(String),
    /// Nobody reads what is written, such as `heapwatch top … | head -1`: not worth a word.
    ReaderHasGone,
}

impl Failure {
    pub(crate) fn new(line: impl fmt::Display) -> Failure {
        Failure::Line(line.to_string())
    }

    /// Says what it is about.
    pub(crate) fn about(self, what: impl fmt::Display) -> Failure {
        match self {
            Failure::Line(line) => Failure::Line(format!("{what}: {line}")),
            Failure::ReaderHasGone => Failure::ReaderHasGone,
        }
    }

    pub(crate) fn reader_has_gone(&self) -> bool {
        matches!(self, Failure::ReaderHasGone)
    }

    /// What went wrong when writing to standard output.
    pub(crate) fn writing(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderHasGone,
            _ => Failure::new(format_args!("cannot write to standard output: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Line(line) => f.write_str(line),
            Failure::ReaderHasGone => f.write_str("nobody reads the output"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<heapwatch::Error> for Failure {
    fn from(error: heapwatch::Error) -> Failure {
        Failure::new(error)
    }
}
