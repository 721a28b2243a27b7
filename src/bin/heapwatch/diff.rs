//! `heapwatch diff`

use heapwatch::report::{Change, Diff};

use crate::args::{self, DiffFormat};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::size::Size;
use crate::source::{self, Source};
use crate::{Outcome, colour};

pub(crate) fn run(args: &args::Diff) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    if args.earlier == Source::Stdin && args.later == Source::Stdin {
        return Err(Failure::new("only one of the two can be standard input"));
    }
    let earlier = source::read(&args.earlier, args.access.token())?;
    let later = source::read(&args.later, args.access.token())?;
    let diff = earlier
        .diff(&later)
        .by(args.rows.by)
        .limit(args.rows.limit)
        .width(output.width());
    let written = match args.format {
        DiffFormat::Text => output.text(&colour::table(&diff.to_string())),
        DiffFormat::Json => output.bytes(diff.to_json().as_bytes()),
        DiffFormat::Pprof => output.binary(&later.pprof().since(&earlier).encode()),
        DiffFormat::Svg => output.bytes(&diff.flamegraph()?),
        DiffFormat::Folded => output.stream(|to| diff.write_folded(to)),
    };
    let Some(limit) = &args.fail_on_growth else {
        return Outcome::Held.after(written);
    };
    let broken = grown(&diff, limit.bytes);
    for change in &broken {
        output::tell(&sentence(change, limit));
    }
    Outcome::of(broken.is_empty()).after(written)
}

/// The total, if it grew by more than this many bytes with certainty, and the rows that did.
pub(crate) fn grown<'d, 's>(diff: &'d Diff<'s>, bytes: f64) -> Vec<&'d Change<'s>> {
    let all = std::iter::once(diff.total()).chain(diff.all_rows());
    all.filter(|change| change.significant != Some(false) && change.live_bytes.low > bytes)
        .collect()
}

/// `broken: chat::register (src/chat.rs:41) grew by +12 MiB ± 3, more than 1MiB`
fn sentence(change: &Change<'_>, limit: &Size) -> String {
    let (who, by) = (name(change), change.live_bytes.change_text());
    format!("broken: {who} grew by {by}, more than {limit}")
}

/// Whom a row is about; the total has no name.
pub(crate) fn name(change: &Change<'_>) -> String {
    let name = match (&change.function, &change.location) {
        (Some(function), Some(location)) => format!("{function} ({location})"),
        (Some(function), None) => function.clone(),
        (None, _) if change.krate.is_empty() => "the heap as a whole".to_owned(),
        (None, _) => change.krate.clone(),
    };
    match (change.own_function, &change.own_location) {
        (Some(own), Some(location)) => format!("{name} ← {own} ({location})"),
        (Some(own), None) => format!("{name} ← {own}"),
        (None, _) => name,
    }
}
