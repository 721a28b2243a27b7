//! Request → what to answer. No sockets, no clock, no waiting: what takes time is named here and
//! done by the [service](super::service).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::header::{self, HeaderMap};
use hyper::{Method, StatusCode, Uri};

use super::guard::Policy;
use super::history::{HistoryQuery, history, history_by, interval, one_site};
use super::page;
use super::query::Query;
use super::reply::{HTML, Reply};
use super::snapshot_routes::{
    DiffQuery, FlamegraphQuery, SNAPSHOTS, SnapshotsQuery, diff, flamegraph, kept_name, snapshots,
};
use crate::metrics::Exposition;
use crate::report::{By, Sort};
use crate::snapshot::Extent;

/// Bytes that request line and headers may have.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// Bytes that a body may have.
pub(super) const MAX_BODY: usize = 1024;

/// Seconds that a profile of what changes may take.
const MAX_SECONDS: u32 = 300;

/// Rows that a table may have, and has unless told otherwise.
pub(super) const MAX_ROWS: u32 = 10_000;
pub(super) const DEFAULT_ROWS: u32 = 20;

/// What is known of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'r> {
    pub(super) method: &'r Method,
    pub(super) uri: &'r Uri,
    pub(super) headers: &'r HeaderMap,
    /// Bytes of the body, as far as it was read: to its end or beyond [`MAX_BODY`].
    pub(super) body_bytes: usize,
    /// The address of this machine that the client connected to.
    pub(super) local: IpAddr,
}

/// What to answer.
#[derive(Debug)]
pub(super) enum Answer {
    /// This, at once.
    Reply(Reply),
    /// All metrics.
    Metrics(Exposition),
    /// A table of a snapshot.
    Top(TopQuery),
    /// What the history tells.
    History(HistoryQuery),
    /// Another interval.
    Interval(u32),
    /// The verdicts on growth.
    Growth(Format),
    /// A profile of a snapshot, or of what changed between two.
    Profile(ProfileQuery),
    /// The kept snapshots.
    Snapshots(SnapshotsQuery),
    /// What changed between two snapshots.
    Diff(DiffQuery),
    /// A flame graph, or the stacks for one.
    Flamegraph(FlamegraphQuery),
}

/// What a profile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProfileOptions {
    /// Whether `alloc_space` is shown first instead of `inuse_space`.
    pub(super) allocs: bool,
    pub(super) symbolize: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TopQuery {
    pub(super) by: By,
    pub(super) sort: Sort,
    pub(super) rows: usize,
    /// Whether rows have their stacks with them, in JSON.
    pub(super) frames: bool,
    pub(super) format: Format,
}

impl TopQuery {
    /// Growth is told in JSON, and in a text that is ordered by it.
    pub(super) fn extent(self) -> Extent {
        if self.sort == Sort::Growth || self.format == Format::Json {
            Extent::Growth
        } else {
            Extent::Counters
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProfileQuery {
    pub(super) options: ProfileOptions,
    /// Seconds to wait between the two snapshots of a profile of what changes.
    pub(super) seconds: Option<u32>,
    /// Text for people instead of pprof.
    pub(super) debug: bool,
}

impl FromStr for Format {
    type Err = BadFormat;

    fn from_str(text: &str) -> Result<Self, BadFormat> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            _ => Err(BadFormat(text.into())),
        }
    }
}

#[derive(Debug)]
pub(super) struct BadFormat(String);

impl fmt::Display for BadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format is one of text, json, not {:?}", self.0)
    }
}

/// What can be asked for.
#[derive(Debug, Clone, Copy)]
enum Page {
    Metrics,
    Profiles,
    Heap,
    Allocs,
    Top,
    Growth,
    History,
    HistoryBy,
    Site,
    Interval,
    Snapshots,
    Diff,
    Flamegraph,
}

impl Page {
    fn at(path: &str) -> Option<Page> {
        Some(match path {
            "/metrics" => Page::Metrics,
            "/debug/pprof/" => Page::Profiles,
            "/debug/pprof/heap" => Page::Heap,
            "/debug/pprof/allocs" => Page::Allocs,
            "/heap/top" => Page::Top,
            "/heap/growth" => Page::Growth,
            "/heap/history" => Page::History,
            "/heap/history/by" => Page::HistoryBy,
            "/heap/site" => Page::Site,
            "/heap/interval" => Page::Interval,
            "/heap/diff" => Page::Diff,
            "/heap/flamegraph" => Page::Flamegraph,
            _ if path == SNAPSHOTS || kept_name(path).is_some() => Page::Snapshots,
            _ => return None,
        })
    }
}

/// Decides what to answer.
pub(super) fn route(request: &Request<'_>, policy: &Policy) -> Answer {
    try_route(request, policy).unwrap_or_else(Answer::Reply)
}

fn try_route(request: &Request<'_>, policy: &Policy) -> Result<Answer, Reply> {
    check_size(request)?;
    policy.check_host(request)?;
    if let Some(reply) = page::serve(request) {
        return reply.map(Answer::Reply);
    }
    policy.admit(request)?;
    let page = Page::at(request.uri.path()).ok_or_else(|| {
        Reply::error(StatusCode::NOT_FOUND, "no such page; / lists what there is")
    })?;
    let reads_only = !matches!(page, Page::Snapshots | Page::Interval);
    if reads_only && !matches!(*request.method, Method::GET | Method::HEAD) {
        return Err(only_read());
    }
    let query = request.uri.query();
    match page {
        Page::Profiles => {
            Query::parse(query, &[])?;
            Ok(Answer::Reply(Reply::ok(HTML, PROFILES)))
        }
        Page::Metrics => {
            Query::parse(query, &[])?;
            Ok(Answer::Metrics(accepted(request.headers)))
        }
        Page::Heap => profile(query, false),
        Page::Allocs => profile(query, true),
        Page::Top => top(query),
        Page::Growth => {
            let query = Query::parse(query, &["format"])?;
            Ok(Answer::Growth(query.choice("format", Format::Text)?))
        }
        Page::History => history(query),
        Page::HistoryBy => history_by(query),
        Page::Site => one_site(query),
        Page::Interval => interval(request.method, query),
        Page::Diff => diff(query),
        Page::Flamegraph => flamegraph(query),
        Page::Snapshots => snapshots(request),
    }
}

/// The refusal of what would change something.
pub(super) fn only_read() -> Reply {
    let line = "this page can only be read, with GET or HEAD";
    Reply::error(StatusCode::METHOD_NOT_ALLOWED, line).with(header::ALLOW, "GET, HEAD")
}

fn check_size(request: &Request<'_>) -> Result<(), Reply> {
    // `NAME: VALUE`, and the line's end.
    let header_bytes = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        name.as_str().len() + value.len() + 4
    };
    let target = request
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let head = target + request.headers.iter().map(header_bytes).sum::<usize>();
    if head > MAX_HEAD {
        let line = format!("request line and headers are limited to {MAX_HEAD} bytes");
        return Err(Reply::error(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            line,
        ));
    }
    if request.body_bytes > MAX_BODY {
        let line = format!("a body is limited to {MAX_BODY} bytes");
        return Err(Reply::error(StatusCode::PAYLOAD_TOO_LARGE, line));
    }
    Ok(())
}

/// The form of metrics that all `Accept` headers together ask for.
fn accepted(headers: &HeaderMap) -> Exposition {
    let values = headers.get_all(header::ACCEPT).iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    Exposition::accepted(&texts.join(","))
}

fn profile(query: Option<&str>, allocs: bool) -> Result<Answer, Reply> {
    let query = Query::parse(query, &["seconds", "debug", "symbolize"])?;
    let seconds = query.number("seconds", 1..=MAX_SECONDS)?;
    let debug = query.flag("debug", false)?;
    if debug && seconds.is_some() {
        let line = "seconds and debug exclude each other: a profile of what changes is pprof only";
        return Err(Reply::error(StatusCode::BAD_REQUEST, line));
    }
    let symbolize = query.flag("symbolize", true)?;
    Ok(Answer::Profile(ProfileQuery {
        options: ProfileOptions { allocs, symbolize },
        seconds,
        debug,
    }))
}

fn top(query: Option<&str>) -> Result<Answer, Reply> {
    let query = Query::parse(query, &["by", "sort", "n", "frames", "format"])?;
    Ok(Answer::Top(TopQuery {
        by: query.choice("by", By::Site)?,
        sort: query.choice("sort", Sort::Live)?,
        rows: query.number("n", 1..=MAX_ROWS)?.unwrap_or(DEFAULT_ROWS) as usize,
        frames: query.flag("frames", true)?,
        format: query.choice("format", Format::Text)?,
    }))
}

const PROFILES: &str = include_str!("profiles.html");

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
