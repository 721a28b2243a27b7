//! What the history tells over HTTP: the process over time, who held what, and one site.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header;

use super::answers::failure;
use super::query::Query;
use super::reply::{JSON, Reply};
use super::routes::Answer;
use crate::analyze::timeline::timeline;
use crate::history::timeline as past;
use crate::process::MemoryLimit;
use crate::report::By;
use crate::report::history::{Clock, SiteFacts, figures, layers, site};
use crate::snapshot::{Snapshot, evidence};

/// Functions and tasks that are told apart over time, unless told otherwise and at most.
const LAYERS: u32 = 8;
const MAX_LAYERS: u32 = 50;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum HistoryQuery {
    /// The process's figures after a time, in seconds since the profile began.
    Figures { since: Option<f64> },
    /// Who held what.
    Layers(usize),
    /// A site, by its id.
    Site(u64),
}

fn bad(line: impl std::fmt::Display) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, line)
}

pub(super) fn history(query: Option<&str>) -> Result<Answer, Reply> {
    let query = Query::parse(query, &["since"])?;
    let since = query.text("since").map(seconds).transpose()?;
    Ok(Answer::History(HistoryQuery::Figures { since }))
}

pub(super) fn history_by(query: Option<&str>) -> Result<Answer, Reply> {
    let query = Query::parse(query, &["n"])?;
    let layers = query.number("n", 1..=MAX_LAYERS)?.unwrap_or(LAYERS);
    Ok(Answer::History(HistoryQuery::Layers(layers as usize)))
}

pub(super) fn one_site(query: Option<&str>) -> Result<Answer, Reply> {
    let query = Query::parse(query, &["id"])?;
    let id = query.text("id").unwrap_or_default();
    let hex = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = hex.then(|| u64::from_str_radix(id, 16).ok()).flatten();
    let id = id.ok_or_else(|| {
        bad("id must be the 16 hex digits of a site, as /heap/top?by=site&format=json has them")
    })?;
    Ok(Answer::History(HistoryQuery::Site(id)))
}

fn seconds(text: &str) -> Result<f64, Reply> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| {
        bad(format_args!(
            "since is {text:?}: it must be a number of seconds since the process began, such as 90.5"
        ))
    })
}

/// Does what was asked; `take` takes a snapshot.
pub(super) fn answer(
    query: HistoryQuery,
    take: impl FnOnce() -> Result<Snapshot, Reply>,
) -> Result<Reply, Reply> {
    let text = match query {
        HistoryQuery::Figures { since } => read_figures(since.unwrap_or(-1.0)),
        HistoryQuery::Layers(count) => read_layers(&take()?, count),
        HistoryQuery::Site(id) => read_site(&take()?, id)?,
    };
    Ok(Reply::ok(JSON, text))
}

fn clock() -> Clock {
    let taken = SystemTime::now().duration_since(UNIX_EPOCH);
    Clock {
        pid: std::process::id(),
        profile_id: evidence::profile_id(),
        taken_seconds: taken.unwrap_or_default().as_millis() as f64 / 1e3,
        watched_seconds: evidence::watched_seconds(),
        tick_seconds: evidence::tick_seconds(),
        interval_bytes: evidence::intervals().0,
        limit_bytes: MemoryLimit::read().map(|limit| limit.limit_bytes),
    }
}

/// No snapshot is taken for this: it may be asked for often.
fn read_figures(since: f64) -> String {
    let clock = clock();
    let text = past::read(|past| figures(&clock, &past.moments.times(), past.figures.since(since)));
    text.unwrap_or_else(|| figures(&clock, &[], &[]))
}

fn read_layers(snapshot: &Snapshot, count: usize) -> String {
    layers(&clock(), &timeline(snapshot, count), |tick| {
        seconds_of(snapshot, tick)
    })
}

/// When a tick of a snapshot's history began.
fn seconds_of(snapshot: &Snapshot, tick: u32) -> f64 {
    let started = snapshot.watched.as_ref().map_or(0, |w| w.started);
    evidence::seconds_of_tick(started.saturating_add(tick))
}

fn read_site(snapshot: &Snapshot, id: u64) -> Result<String, Reply> {
    let top = snapshot.top(By::Site);
    let found = snapshot.sites().iter().position(|site| site.id == id);
    let (index, row) = found.zip(top.find(id)).ok_or_else(|| {
        let line = format!("no site has the id {id:016x}; /heap/top?format=json lists them");
        Reply::error(StatusCode::NOT_FOUND, line)
    })?;
    let watched = snapshot.watched.as_ref();
    let series = watched.and_then(|watched| watched.sites.get(index)?.series.as_deref());
    let facts = SiteFacts {
        row: &row,
        lifetimes: &snapshot.sites[index].lifetimes,
        ages: &snapshot.sites[index].ages,
        series,
        tick_seconds: evidence::tick_seconds(),
    };
    let at = |tick| seconds_of(snapshot, tick);
    Ok(site(snapshot.info(), facts, at))
}

/// The snapshot nearest to a time of the past.
pub(super) fn snapshot_at(seconds: f64) -> Result<Snapshot, Reply> {
    past::snapshot_at(seconds).map_err(|error| failure(&error))
}

/// Changes the interval for all samples from now on.
pub(super) fn set_interval(bytes: u32) -> Reply {
    match crate::set_interval(bytes.into()) {
        Ok(()) => Reply::ok(JSON, format!("{{\"interval_bytes\":{bytes}}}\n")),
        Err(error) => failure(&error),
    }
}

pub(super) fn interval(method: &hyper::Method, query: Option<&str>) -> Result<Answer, Reply> {
    if method != hyper::Method::POST {
        let line =
            "the interval is changed with POST /heap/interval?bytes=N; every report states it";
        return Err(Reply::error(StatusCode::METHOD_NOT_ALLOWED, line).with(header::ALLOW, "POST"));
    }
    let query = Query::parse(query, &["bytes"])?;
    let bytes = query.number("bytes", 0..=u32::MAX)?;
    let bytes = bytes.ok_or_else(|| {
        bad("bytes must say how many bytes there are between two samples, such as bytes=524288; 0 is off")
    })?;
    Ok(Answer::Interval(bytes))
}
