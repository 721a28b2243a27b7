//! What the process and its machine looked like when a snapshot was taken. Nothing of the command
//! line or the environment is among it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::jemalloc::Jemalloc;
use crate::process::{Machine, MemoryLimit, Process};

/// What the process and its machine looked like; a figure that could not be had is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Facts {
    /// Operating system, such as `linux`; empty if unknown.
    pub os: Cow<'static, str>,
    /// Architecture, such as `x86_64`; empty if unknown.
    pub arch: Cow<'static, str>,
    /// Processors that the process may use.
    pub cpus: Option<u64>,
    /// When the process began, in seconds since 1970.
    pub start_seconds: Option<f64>,
    /// Threads of the process.
    pub threads: Option<u64>,
    /// Physical memory of the process, shared pages included.
    pub resident_bytes: Option<u64>,
    /// The smallest limit of the control groups that the process is in.
    pub limit_bytes: Option<u64>,
    /// The machine's memory.
    pub machine_bytes: Option<u64>,
    /// What programs can have of the machine's memory without swapping.
    pub machine_available_bytes: Option<u64>,
    /// What jemalloc says of itself.
    pub jemalloc: Option<JemallocFacts>,
}

/// jemalloc's own totals, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JemallocFacts {
    /// In blocks that the application holds, at their size class.
    pub allocated_bytes: u64,
    /// In pages that hold at least one such block.
    pub active_bytes: u64,
    /// Used by jemalloc for itself.
    pub metadata_bytes: u64,
    /// In pages that are physically there.
    pub resident_bytes: u64,
    /// In mapped extents.
    pub mapped_bytes: u64,
    /// Address space kept for reuse, without memory behind it.
    pub retained_bytes: u64,
}

impl Facts {
    /// The figures of this moment.
    pub(super) fn read() -> Facts {
        let process = Process::read();
        let machine = Machine::read();
        Facts {
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            cpus: std::thread::available_parallelism()
                .ok()
                .map(|cpus| cpus.get() as u64),
            start_seconds: process.start_seconds,
            threads: process.threads,
            resident_bytes: process.resident_bytes,
            limit_bytes: MemoryLimit::read().map(|limit| limit.limit_bytes),
            machine_bytes: machine.map(|machine| machine.total_bytes),
            machine_available_bytes: machine.and_then(|machine| machine.available_bytes),
            jemalloc: Jemalloc::read().map(|jemalloc| JemallocFacts {
                allocated_bytes: jemalloc.allocated_bytes,
                active_bytes: jemalloc.active_bytes,
                metadata_bytes: jemalloc.metadata_bytes,
                resident_bytes: jemalloc.resident_bytes,
                mapped_bytes: jemalloc.mapped_bytes,
                retained_bytes: jemalloc.retained_bytes,
            }),
        }
    }
}
