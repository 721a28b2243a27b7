//! Builds the measured programs, runs them side by side, and compares what they cost.

pub mod affinity;
pub mod build;
pub mod callgrind;
pub mod duel;
pub mod limits;
pub mod load;
pub mod plan;
pub mod report;
pub mod statistics;
