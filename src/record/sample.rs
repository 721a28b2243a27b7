//! What is known of a sampled block.

use super::site_id::SiteId;

/// A sampled block that has not been freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveSample {
    pub(crate) address: usize,
    pub(crate) size: usize,
    /// Nanoseconds since the first allocation of the process.
    pub(crate) birth_ns: u64,
    /// The interval that it was sampled at.
    pub(crate) interval: u32,
    pub(crate) site: SiteId,
}
