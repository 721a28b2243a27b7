//! `heapwatch growth`

use crate::args::{Format, Growth};
use crate::failure::Failure;
use crate::output::Output;
use crate::{Outcome, colour};

pub(crate) fn run(args: &Growth) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    let snapshot = args.from.read()?;
    let report = snapshot.growth().ok_or_else(|| {
        let why = if snapshot.info().error_bars {
            "the snapshot has no history of growth, because nothing watched its process; call \
             heapwatch::watch or heapwatch::serve early in main"
        } else {
            "another tool's profile does not tell how the heap grew; compare two with heapwatch diff"
        };
        Failure::new(why).about(&args.from.source)
    })?;
    match args.format {
        Format::Text => output.text(&colour::verdicts(&report.to_string()))?,
        Format::Json => output.bytes(report.to_json().as_bytes())?,
    }
    Ok(Outcome::Held)
}
