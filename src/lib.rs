//! heapwatch
#![deny(unsafe_code)]

mod config;
mod error;
mod snapshot;
mod symbols;

pub use error::Error;
#[doc(inline)]
pub use snapshot::{Snapshot, snapshot};
