//! heapwatch
#![deny(unsafe_code)]

mod config;
mod error;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod jemalloc;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
mod process;
#[cfg(feature = "server")]
mod seam;
mod snapshot;
mod symbols;

#[cfg(feature = "server")]
pub use config::Config;
pub use error::Error;
#[cfg(feature = "server")]
pub use http::{Server, serve};
#[doc(inline)]
pub use snapshot::{Snapshot, snapshot};
