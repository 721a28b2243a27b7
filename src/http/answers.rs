//! Snapshot → reply: the work that routes name, for a thread that may take its time.

use hyper::StatusCode;
use hyper::header;

use super::reply::{JSON, PROTOBUF_GZIP, Reply, TEXT};
use super::routes::{Format, ProfileQuery, TopQuery};
use crate::Error;
use crate::seam;
use crate::snapshot::Snapshot;

/// The table that was asked for.
pub(super) fn top(snapshot: &Snapshot, query: TopQuery) -> Reply {
    let TopQuery {
        by,
        sort,
        rows,
        format,
    } = query;
    match format {
        Format::Text => Reply::ok(TEXT, seam::top_text(snapshot, by, sort, rows)),
        Format::Json => Reply::ok(JSON, seam::top_json(snapshot, by, sort, rows)),
    }
}

/// The profile that was asked for; of what changed since `before`, if that is given.
pub(super) fn profile(before: Option<&Snapshot>, now: &Snapshot, query: ProfileQuery) -> Reply {
    let options = query.options;
    if query.debug {
        return Reply::ok(TEXT, seam::debug_text(now, options));
    }
    let bytes = match before {
        Some(before) => seam::pprof_delta(before, now, options),
        None => seam::pprof(now, options),
    };
    let file = if options.allocs {
        "attachment; filename=\"allocs.pb.gz\""
    } else {
        "attachment; filename=\"heap.pb.gz\""
    };
    Reply::ok(PROTOBUF_GZIP, bytes).with(header::CONTENT_DISPOSITION, file)
}

/// What went wrong on the way to a snapshot.
pub(super) fn failure(error: &Error) -> Reply {
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR, error)
}
