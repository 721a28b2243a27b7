//! `heapwatch top`

use crate::args::{Format, Top};
use crate::failure::Failure;
use crate::{Outcome, output};

pub(crate) fn run(args: &Top) -> Result<Outcome, Failure> {
    let snapshot = args.from.read()?;
    let top = snapshot.top(args.by).sort(args.sort).limit(args.rows);
    let text = match args.format {
        Format::Text => top.width(output::width()).to_string(),
        Format::Json => top.to_json(),
    };
    output::print(&text)?;
    Ok(Outcome::Held)
}
