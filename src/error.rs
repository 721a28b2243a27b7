//! The one error type of the crate. It is never built inside malloc.

use std::fmt;
use std::io;

/// What went wrong, and in its text what would be right.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// heapwatch is not this program's global allocator, so there is nothing to report.
    NotInstalled,
    /// Nothing is sampled on this platform: allocations pass through to the inner allocator.
    NotSupported,
    /// Nothing watches growth in this process, so nothing can be said of it.
    NotWatched,
    /// A setting is outside of what is possible; the text names it and the possible values.
    Config(String),
    /// The endpoint could not listen on its address.
    Bind {
        /// The address that was asked for.
        addr: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A file or profile could not be read as what it should be.
    Format(String),
    /// The system refused the memory for a report.
    Memory,
    /// Reading or writing failed.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotInstalled => f.write_str(
                "heapwatch is not the global allocator of this program; add \
                 `#[global_allocator] static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();`",
            ),
            Error::NotSupported => f.write_str(
                "heapwatch samples nothing on this platform, only on 64-bit Linux with glibc; the \
                 program runs as if without it",
            ),
            Error::NotWatched => f.write_str(
                "nothing watches growth in this process; call heapwatch::watch() early in main, or \
                 start the endpoint with heapwatch::serve",
            ),
            Error::Config(text) | Error::Format(text) => f.write_str(text),
            Error::Bind { addr, source } => {
                write!(f, "cannot listen on {addr}: {source}")?;
                f.write_str(bind_remedy(source.kind()))
            }
            Error::Memory => {
                f.write_str("there is too little memory for a report; the program itself goes on")
            }
            Error::Io(source) => write!(f, "{source}"),
        }
    }
}

/// What to do where an address cannot be had.
fn bind_remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "; another program or endpoint listens there: choose another port, or 0 for a free one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: choose one of its own, or 127.0.0.1"
        }
        io::ErrorKind::PermissionDenied => "; choose a port from 1024 on",
        _ => "",
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Bind { source, .. } | Error::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        Error::Io(source)
    }
}
