//! `heapwatch flamegraph`

use crate::Outcome;
use crate::args::{Flamegraph, PictureFormat};
use crate::failure::Failure;
use crate::output::Output;
use crate::source::{self, Source};

pub(crate) fn run(args: &Flamegraph) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    let (source, token) = (&args.from.source, args.from.access.token());
    if args.diff_from == Some(Source::Stdin) && *source == Source::Stdin {
        return Err(Failure::new("only one of the two can be standard input"));
    }
    let earlier = args
        .diff_from
        .as_ref()
        .map(|earlier| source::read(earlier, token));
    let earlier = earlier.transpose()?;
    let snapshot = args.from.read()?;
    let shown = args.sample.sample_type();
    let picture = match (&earlier, args.format) {
        (None, PictureFormat::Svg) => snapshot.flamegraph(shown)?,
        (None, PictureFormat::Folded) => snapshot.folded(shown).into(),
        (Some(earlier), PictureFormat::Svg) => earlier.diff(&snapshot).flamegraph()?,
        (Some(earlier), PictureFormat::Folded) => earlier.diff(&snapshot).folded().into(),
    };
    output.bytes(&picture)?;
    Ok(Outcome::Held)
}
