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

/// The exit status of a bench: 1 where a limit is broken, 2 where it could not measure.
pub fn exit(held: anyhow::Result<bool>) -> std::process::ExitCode {
    match held {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:#}");
            std::process::ExitCode::from(2)
        }
    }
}
