//! heapwatch
#![deny(unsafe_code)]

mod alloc;
pub mod analyze;
mod config;
mod error;
mod record;
pub mod report;
pub mod snapshot;
mod symbols;

#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub use alloc::__bench;
pub use alloc::{Alloc, set_interval};
pub use error::Error;
#[doc(inline)]
pub use snapshot::{Snapshot, snapshot};
