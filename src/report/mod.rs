//! What was found, as text, JSON and profiles: values in, bytes out.

mod columns;
mod diff_json;
mod diff_text;
mod file;
#[cfg(feature = "flamegraph")]
mod flamegraph;
mod folded;
mod growth;
#[cfg(feature = "server")]
pub(crate) mod history;
mod json;
pub(crate) mod number;
pub(crate) mod pprof;
mod text;

pub use crate::analyze::{Amounts, By, Change, Diff, Estimate, MatchedBy, Row, Sort, Top};
pub use crate::symbols::escaped;
pub use pprof::{Pprof, SampleType};

#[cfg(test)]
mod golden;
