//! What the counters of a snapshot mean: estimates with error bars, and tables by call site.
//!
//! Everything here is pure: the same [`Snapshot`](crate::Snapshot) gives the same answer.

mod caller;
mod carry;
mod choice;
mod estimate;
mod top;

pub(crate) use caller::{Caller, pseudo_function, source, stack};
pub(crate) use carry::Carry;
pub use choice::{By, Sort};
pub use estimate::Estimate;
pub use top::{Amounts, Row, Top};
