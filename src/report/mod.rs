//! What was found, as text, JSON and profiles: values in, bytes out.

mod file;
mod json;
mod number;
pub(crate) mod pprof;
mod text;

pub use crate::analyze::{Amounts, By, Estimate, Row, Sort, Top};
pub use pprof::{Pprof, SampleType};

#[cfg(test)]
mod golden;
