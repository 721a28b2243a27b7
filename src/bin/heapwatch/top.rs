//! `heapwatch top`

use heapwatch::report::SampleType;

use crate::args::{Top, TopFormat};
use crate::failure::Failure;
use crate::output::Output;
use crate::{Outcome, colour};

pub(crate) fn run(args: &Top) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    let snapshot = args.from.read()?;
    let top = snapshot
        .top(args.rows.by)
        .sort(args.sort)
        .limit(args.rows.limit);
    match args.format {
        TopFormat::Text => output.text(&colour::table(&top.width(output.width()).to_string()))?,
        TopFormat::Json => output.bytes(top.to_json().as_bytes())?,
        TopFormat::Pprof => output.binary(&snapshot.pprof().encode())?,
        TopFormat::Folded => {
            output.stream(|to| snapshot.write_folded(SampleType::InuseSpace, to))?;
        }
    }
    Ok(Outcome::Held)
}
