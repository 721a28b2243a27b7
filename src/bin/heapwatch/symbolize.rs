//! `heapwatch symbolize`

use crate::Outcome;
use crate::args::{FileFormat, Symbolize};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &Symbolize) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    let mut snapshot = args.from.read()?;
    for path in &args.debug_info {
        snapshot
            .symbolize(path)
            .map_err(|error| Failure::from(error).about(path.display()))?;
    }
    // Only a profile has no error bars.
    let is_profile = !snapshot.info().error_bars;
    let bytes = match args.format {
        Some(FileFormat::Pprof) => snapshot.pprof().encode(),
        None if is_profile => snapshot.pprof().encode(),
        _ => {
            let mut bytes = Vec::new();
            snapshot.write(&mut bytes)?;
            bytes
        }
    };
    output.binary(&bytes)?;
    Ok(Outcome::Held)
}
