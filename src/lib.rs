//! heapwatch
#![deny(unsafe_code)]

mod alloc;
mod analyze;
mod config;
mod error;
pub mod growth;
mod history;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod jemalloc;
#[cfg(feature = "server")]
pub mod metrics;
mod process;
mod record;
pub mod report;
pub mod snapshot;
mod symbols;
pub mod testing;

#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub use alloc::__bench;
pub use alloc::{Alloc, set_interval};
#[cfg(feature = "server")]
pub use config::Config;
pub use error::Error;
#[doc(inline)]
pub use growth::growth;
pub use history::watch;
#[cfg(feature = "server")]
pub use http::{Server, serve};
#[doc(inline)]
pub use snapshot::{Snapshot, snapshot};
