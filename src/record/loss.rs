//! What could not be recorded, counted by reason, so that every report can say so.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fork::PerProcess;
use super::scopes;

/// Why an allocation was not sampled, or a sample not kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// No address space for the region: nothing is sampled at all.
    RegionRefused,
    /// The region had no room for a block; it went to the inner allocator, unsampled.
    RegionFull,
    /// The table of live samples was full.
    LiveTableFull,
    /// No memory for an entry in a table.
    NoMemory,
    /// The table of sites was full; the sample is counted in the overflow site.
    SitesFull,
    /// No stack could be captured; the sample is counted without one.
    NoStack,
}

impl Loss {
    pub(crate) const ALL: [Loss; 6] = [
        Loss::RegionRefused,
        Loss::RegionFull,
        Loss::LiveTableFull,
        Loss::NoMemory,
        Loss::SitesFull,
        Loss::NoStack,
    ];

    /// As in `heapwatch_samples_dropped_total{reason}`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Loss::RegionRefused => "region_refused",
            Loss::RegionFull => "region_full",
            Loss::LiveTableFull => "live_table_full",
            Loss::NoMemory => "no_memory",
            Loss::SitesFull => "sites_full",
            Loss::NoStack => "no_stack",
        }
    }

    /// Whether the bytes of such a sample are missing from the totals.
    pub(crate) fn loses_bytes(self) -> bool {
        !matches!(self, Loss::SitesFull | Loss::NoStack)
    }
}

static LOSSES: PerProcess<[AtomicU64; Loss::ALL.len()]> = PerProcess::new();

/// Makes the counters, before there may be no memory for them.
pub(crate) fn prepare() {
    let _ = LOSSES.get_or_init(Default::default);
}

pub(crate) fn count(loss: Loss) {
    if loss.loses_bytes() {
        scopes::lost(loss);
    }
    if let Some(losses) = LOSSES.get_or_init(Default::default) {
        // Relaxed: a statistic.
        losses[loss as usize].fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn counted(loss: Loss) -> u64 {
    // Relaxed: a statistic.
    LOSSES
        .get()
        .map_or(0, |losses| losses[loss as usize].load(Ordering::Relaxed))
}
