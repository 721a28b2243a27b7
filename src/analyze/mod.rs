//! What the counters of a snapshot mean: estimates with error bars, and tables by call site.
//!
//! Everything here is pure: the same [`Snapshot`](crate::Snapshot) gives the same answer.

mod caller;
mod choice;
mod diff;
mod distributions;
mod estimate;
#[cfg(feature = "server")]
pub(crate) mod figures;
mod frames;
pub(crate) mod growth;
#[cfg(feature = "server")]
mod members;
#[cfg(feature = "server")]
mod thinning;
#[cfg(feature = "server")]
pub(crate) mod timeline;
mod top;
mod verdicts;
mod whole;

/// Columns of a text table unless told otherwise: names are whole.
const DEFAULT_WIDTH: usize = usize::MAX;

/// Fewer columns leave no room for names beside the fewest numbers.
const MIN_WIDTH: usize = 40;

pub(crate) use crate::snapshot::series;
pub(crate) use caller::{Caller, pseudo_function, source, visible};
pub use choice::{By, Sort};
pub use diff::{Change, Diff, MatchedBy};
pub use estimate::Estimate;
pub(crate) use frames::FrameBudget;
pub use growth::{Pattern, Verdict};
#[cfg(feature = "server")]
pub(crate) use members::{MEMBERS, members};
#[cfg(feature = "server")]
pub(crate) use thinning::thin;
pub use top::{Amounts, Row, Top};
#[cfg(feature = "server")]
pub(crate) use verdicts::Overview;
pub use verdicts::{Growth, GrowthFrame, Limit, Memory, Report};
pub(crate) use whole::{Carry, Whole, whole_sites};

#[cfg(test)]
pub(crate) use verdicts::{sample as growth_sample, sample_snapshot as watched_sample};
