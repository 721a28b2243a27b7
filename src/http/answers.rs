//! Snapshot → reply: the work that routes name, for a thread that may take its time.

use hyper::StatusCode;
use hyper::header;

#[cfg(feature = "flamegraph")]
use super::reply::SVG;
use super::reply::{JSON, PROTOBUF_GZIP, Reply, TEXT};
use super::routes::{Format, ProfileQuery, TopQuery};
use super::snapshot_routes::{DiffFormat, DiffQuery, FlamegraphQuery, Moment};
use crate::Error;
use crate::report::{Diff, SampleType, Sort};
use crate::snapshot::Snapshot;

/// The table that was asked for.
pub(super) fn top(snapshot: &Snapshot, query: TopQuery) -> Reply {
    let TopQuery {
        by,
        sort,
        rows,
        frames,
        format,
    } = query;
    let top = snapshot.top(by).sort(sort).limit(rows).frames(frames);
    match format {
        Format::Text => Reply::ok(TEXT, top.to_string()),
        Format::Json => Reply::ok(JSON, top.to_json()),
    }
}

/// The verdicts on growth of this tick.
pub(super) fn growth(format: Format) -> Result<Reply, Reply> {
    let report = crate::growth::current().map_err(|error| failure(&error))?;
    Ok(match format {
        Format::Text => Reply::ok(TEXT, report.to_string()),
        Format::Json => Reply::ok(JSON, report.to_json()),
    })
}

/// The profile that was asked for; of what changed since `before`, if that is given.
pub(super) fn profile(before: Option<&Snapshot>, now: &Snapshot, query: ProfileQuery) -> Reply {
    let (shown, file) = if query.options.allocs {
        (
            SampleType::AllocSpace,
            "attachment; filename=\"allocs.pb.gz\"",
        )
    } else {
        (
            SampleType::InuseSpace,
            "attachment; filename=\"heap.pb.gz\"",
        )
    };
    let mut profile = now
        .pprof()
        .default_sample_type(shown)
        .symbolize(query.options.symbolize);
    if query.debug {
        return Reply::ok(TEXT, profile.to_text());
    }
    if let Some(before) = before {
        profile = profile.since(before);
    }
    Reply::ok(PROTOBUF_GZIP, profile.encode()).with(header::CONTENT_DISPOSITION, file)
}

/// The comparison that was asked for.
pub(super) fn diff(
    earlier: &Snapshot,
    later: &Snapshot,
    query: &DiffQuery,
) -> Result<Reply, Reply> {
    check_span(earlier, later, query)?;
    let diff = earlier.diff(later).by(query.by).limit(query.rows);
    match query.format {
        DiffFormat::Text => Ok(Reply::ok(TEXT, diff.to_string())),
        DiffFormat::Json => Ok(Reply::ok(JSON, diff.to_json())),
        DiffFormat::Pprof => {
            let profile = later.pprof().since(earlier).encode();
            let file = "attachment; filename=\"diff.pb.gz\"";
            Ok(Reply::ok(PROTOBUF_GZIP, profile).with(header::CONTENT_DISPOSITION, file))
        }
        DiffFormat::Folded => folded(|to| diff.write_folded(to)),
        DiffFormat::Svg => diff_svg(&diff),
    }
}

/// Two times of the past must mean two moments, in their order.
fn check_span(earlier: &Snapshot, later: &Snapshot, query: &DiffQuery) -> Result<(), Reply> {
    let past = |moment: &Moment| matches!(moment, Moment::At { .. });
    if !past(&query.from) && !past(&query.to) {
        return Ok(());
    }
    let (from, to) = (earlier.info.watched_seconds, later.info.watched_seconds);
    if from == to && past(&query.from) {
        let line = format!(
            "the history knows one moment only in that span, at {from:.1} s: ask for a longer one; \
             /heap/history lists its moments_seconds"
        );
        return Err(Reply::error(StatusCode::NOT_FOUND, line));
    }
    if from > to {
        let line = format!("from is at {from:.1} s, after to at {to:.1} s: exchange them");
        return Err(Reply::error(StatusCode::BAD_REQUEST, line));
    }
    Ok(())
}

/// The flame graph that was asked for.
pub(super) fn flamegraph(
    earlier: Option<&Snapshot>,
    now: &Snapshot,
    query: &FlamegraphQuery,
) -> Result<Reply, Reply> {
    let shown = match query.sample {
        Sort::Allocated => SampleType::AllocSpace,
        _ => SampleType::InuseSpace,
    };
    let diff = earlier.map(|earlier| earlier.diff(now));
    match (&diff, query.svg) {
        (Some(diff), false) => folded(|to| diff.write_folded(to)),
        (None, false) => folded(|to| now.write_folded(shown, to)),
        (Some(diff), true) => diff_svg(diff),
        (None, true) => snapshot_svg(now, shown),
    }
}

fn folded(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> Result<Reply, Reply> {
    let mut text = Vec::new();
    write(&mut text).map_err(|error| Reply::error(StatusCode::NOT_FOUND, error))?;
    Ok(Reply::ok(TEXT, text))
}

#[cfg(feature = "flamegraph")]
fn diff_svg(diff: &Diff<'_>) -> Result<Reply, Reply> {
    svg(diff.flamegraph())
}

#[cfg(feature = "flamegraph")]
fn snapshot_svg(snapshot: &Snapshot, shown: SampleType) -> Result<Reply, Reply> {
    svg(snapshot.flamegraph(shown))
}

/// inferno's pictures carry a style sheet and a script of their own, which the policy of all other
/// pages forbids; in a sandbox they reach nothing.
#[cfg(feature = "flamegraph")]
fn svg(drawn: Result<Vec<u8>, Error>) -> Result<Reply, Reply> {
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src \
                          'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'; sandbox \
                          allow-scripts";
    let bytes = drawn.map_err(|error| Reply::error(StatusCode::NOT_FOUND, error))?;
    Ok(Reply::ok(SVG, bytes).with(header::CONTENT_SECURITY_POLICY, POLICY))
}

#[cfg(not(feature = "flamegraph"))]
fn diff_svg(_: &Diff<'_>) -> Result<Reply, Reply> {
    Err(no_svg())
}

#[cfg(not(feature = "flamegraph"))]
fn snapshot_svg(_: &Snapshot, _: SampleType) -> Result<Reply, Reply> {
    Err(no_svg())
}

#[cfg(not(feature = "flamegraph"))]
fn no_svg() -> Reply {
    Reply::error(
        StatusCode::NOT_IMPLEMENTED,
        "flame graphs as svg need heapwatch's feature \"flamegraph\"; format=folded needs none",
    )
}

/// What went wrong on the way to a snapshot.
pub(super) fn failure(error: &Error) -> Reply {
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR, error)
}
