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
    let diff = earlier.as_ref().map(|earlier| earlier.diff(&snapshot));
    match (&diff, args.format) {
        (None, PictureFormat::Svg) => output.bytes(&snapshot.flamegraph(shown)?),
        (None, PictureFormat::Folded) => output.stream(|to| snapshot.write_folded(shown, to)),
        (Some(diff), PictureFormat::Svg) => output.bytes(&diff.flamegraph()?),
        (Some(diff), PictureFormat::Folded) => output.stream(|to| diff.write_folded(to)),
    }?;
    Ok(Outcome::Held)
}
