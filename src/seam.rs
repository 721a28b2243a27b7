//! The one place where the endpoint and the metrics call what reads and reports snapshots.

use std::str::FromStr;

use crate::Error;
use crate::snapshot::{Origin, Site, Snapshot};

/// Whether heapwatch is this program's global allocator.
pub(crate) fn installed() -> Result<(), Error> {
    Err(Error::NotInstalled)
}

/// Runs heapwatch's own work: its allocations are neither counted nor sampled.
pub(crate) fn muted<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Site,
    Function,
    Crate,
}

impl FromStr for By {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "site" => Ok(By::Site),
            "function" => Ok(By::Function),
            "crate" => Ok(By::Crate),
            _ => Err(Error::Config(format!(
                "by is one of site, function, crate, not {text:?}"
            ))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Live,
    Allocated,
}

impl FromStr for Sort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "live" => Ok(Sort::Live),
            "allocated" => Ok(Sort::Allocated),
            _ => Err(Error::Config(format!(
                "sort is one of live, allocated, not {text:?}"
            ))),
        }
    }
}

/// Function and `file:line` of a site's call site; the place is empty where it is unknown.
pub(crate) fn name(snapshot: &Snapshot, site: &Site) -> (String, String) {
    let mut frames = site.stack.iter().flat_map(|at| snapshot.frames(*at));
    let Some(frame) = frames.find(|frame| !matches!(frame.origin, Origin::Allocator | Origin::Std))
    else {
        return (format!("{:016x}", site.id), String::new());
    };
    let line = frame.line.unwrap_or(0);
    let file = frame.file.as_ref();
    let location = file.map_or(String::new(), |file| format!("{file}:{line}"));
    (frame.function.clone(), location)
}

pub(crate) fn top_text(snapshot: &Snapshot, by: By, sort: Sort, rows: usize) -> String {
    format!(
        "heap by {by:?}, {sort:?} first, {rows} of {} sites\n",
        snapshot.sites.len()
    )
    .to_lowercase()
}

pub(crate) fn top_json(snapshot: &Snapshot, by: By, sort: Sort, rows: usize) -> Vec<u8> {
    let text = top_text(snapshot, by, sort, rows);
    serde_json::to_vec(&text).unwrap_or_default()
}

/// What a profile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProfileOptions {
    /// Whether `alloc_space` is shown first instead of `inuse_space`.
    pub(crate) allocs: bool,
    pub(crate) symbolize: bool,
}

pub(crate) fn pprof(snapshot: &Snapshot, options: ProfileOptions) -> Vec<u8> {
    format!("{options:?} {}", snapshot.info.samples).into_bytes()
}

pub(crate) fn pprof_delta(from: &Snapshot, to: &Snapshot, options: ProfileOptions) -> Vec<u8> {
    let samples = to.info.samples - from.info.samples;
    format!("delta {options:?} {samples}").into_bytes()
}

pub(crate) fn debug_text(snapshot: &Snapshot, options: ProfileOptions) -> String {
    format!("{options:?} {} samples\n", snapshot.info.samples)
}
