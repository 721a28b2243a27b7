//! Snapshot → reply: the work that routes name, for a thread that may take its time.

use hyper::StatusCode;
use hyper::header;

use super::reply::{JSON, PROTOBUF_GZIP, Reply, TEXT};
use super::routes::{Format, ProfileQuery, TopQuery};
use crate::Error;
use crate::report::SampleType;
use crate::snapshot::Snapshot;

/// The table that was asked for.
pub(super) fn top(snapshot: &Snapshot, query: TopQuery) -> Reply {
    let TopQuery {
        by,
        sort,
        rows,
        format,
    } = query;
    let top = snapshot.top(by).sort(sort).limit(rows);
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

/// What went wrong on the way to a snapshot.
pub(super) fn failure(error: &Error) -> Reply {
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR, error)
}
