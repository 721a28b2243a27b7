//! Why a command could not do what it should: one line, with its remedy.

use std::fmt;
use std::io;

/// What the user is told before exit status 2.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This line. What it quotes may be anybody's: it is shown escaped.
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
            Failure::Line(line) => f.write_str(&heapwatch::report::escaped(line)),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is not ours must not write into the user's terminal.
    #[test]
    fn no_escape_sequence_reaches_a_terminal() {
        let failure = Failure::new("the server answered 400, \x1b]0;owned\x07\u{9b}2J\r")
            .about("http://chat/");
        let shown = failure.to_string();
        assert_eq!(
            shown,
            r"http://chat/: the server answered 400, \u{1b}]0;owned\u{7}\u{9b}2J\r"
        );
    }
}
