//! What the counters of a snapshot mean: estimates with error bars, and tables by call site.
//!
//! Everything here is pure: the same [`Snapshot`](crate::Snapshot) gives the same answer.

mod caller;
mod choice;
mod diff;
mod estimate;
mod top;
mod whole;

pub(crate) use caller::{Caller, pseudo_function, source, visible};
pub use choice::{By, Sort};
pub use diff::{Change, Diff};
pub use estimate::Estimate;
pub use top::{Amounts, Row, Top};
pub(crate) use whole::{Carry, whole_sites};
