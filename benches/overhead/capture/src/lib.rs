//! Stacks to capture.

pub mod chain;
