//! Profiles for `go tool pprof` and all that read its format.
//!
//! Each sample of a profile is one site. Frames inside of the call site (allocator, std and
//! collection code) are left out, so that flat bytes sit on the code that asked for them.

mod build;
pub(crate) mod decode;
mod delta;
mod legacy;
pub(crate) mod proto;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use crate::snapshot::{Snapshot, muted};

/// What a profile shows unless its reader asks for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleType {
    /// Live bytes: what `/debug/pprof/heap` shows.
    InuseSpace,
    /// Bytes allocated since the start: what `/debug/pprof/allocs` shows.
    AllocSpace,
}

impl SampleType {
    fn name(self) -> &'static str {
        match self {
            SampleType::InuseSpace => "inuse_space",
            SampleType::AllocSpace => "alloc_space",
        }
    }
}

/// A profile about to be written, made by [`Snapshot::pprof`].
///
/// ```no_run
/// let before = heapwatch::snapshot()?;
/// // … some work …
/// let after = heapwatch::snapshot()?;
/// std::fs::write("heap.pb.gz", after.pprof().encode())?;
/// std::fs::write("growth.pb.gz", after.pprof().since(&before).encode())?;
/// # Ok::<(), heapwatch::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Pprof<'s> {
    snapshot: &'s Snapshot,
    since: Option<&'s Snapshot>,
    default_sample_type: SampleType,
    symbolize: bool,
}

impl Snapshot {
    /// A profile of all sites, with names, that shows live bytes first.
    pub fn pprof(&self) -> Pprof<'_> {
        Pprof {
            snapshot: self,
            since: None,
            default_sample_type: SampleType::InuseSpace,
            symbolize: true,
        }
    }
}

impl<'s> Pprof<'s> {
    /// Writes what changed since an earlier snapshot of the same process. Live values are negative
    /// where more was freed than allocated.
    #[must_use]
    pub fn since(mut self, earlier: &'s Snapshot) -> Self {
        self.since = Some(earlier);
        self
    }

    /// What the profile shows unless its reader asks for something else.
    #[must_use]
    pub fn default_sample_type(mut self, sample_type: SampleType) -> Self {
        self.default_sample_type = sample_type;
        self
    }

    /// Whether names are written, which takes time on their first use. Without them the profile has
    /// addresses and mappings, whose build ids tell other tools where to look.
    #[must_use]
    pub fn symbolize(mut self, symbolize: bool) -> Self {
        self.symbolize = symbolize;
        self
    }

    /// The profile, as gzip of the protocol buffer.
    pub fn encode(&self) -> Vec<u8> {
        muted(|| self.packed())
    }

    fn packed(&self) -> Vec<u8> {
        let profile = build::profile(self).encode_to_vec();
        // A profile is fetched once: a fast level loses a tenth in size and halves the time.
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        match gzip.write_all(&profile).and_then(|()| gzip.finish()) {
            Ok(bytes) => bytes,
            // Writing to memory does not fail; and an uncompressed profile is valid too.
            Err(_) => profile,
        }
    }

    /// The legacy text form that Go's `/debug/pprof/heap?debug=1` has.
    ///
    /// The numbers are scaled to what the samples stand for; so the header says `heap/2`, which
    /// tells readers that there is nothing left to scale.
    pub fn to_text(&self) -> String {
        muted(|| legacy::text(self))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
