//! Requests for kept snapshots, and for what compares them.

use std::fmt;
use std::str::FromStr;

use hyper::header;
use hyper::{Method, StatusCode};

use super::query::Query;
use super::reply::Reply;
use super::routes::{Answer, DEFAULT_ROWS, MAX_ROWS, Request};
use crate::report::{By, Sort};

/// The list; a snapshot is below it.
pub(super) const SNAPSHOTS: &str = "/heap/snapshots";

/// Bytes of a name.
const MAX_NAME: usize = 64;

/// What to do with the kept snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SnapshotsQuery {
    List,
    /// Takes one and keeps it, under a name or one that is made up.
    Take(Option<Name>),
    Fetch(Moment),
    Delete(Name),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DiffQuery {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) by: By,
    pub(super) rows: usize,
    pub(super) format: DiffFormat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FlamegraphQuery {
    pub(super) diff_from: Option<Moment>,
    pub(super) sample: Sort,
    pub(super) svg: bool,
}

/// The name of a kept snapshot: 1 to 64 of `A-Z a-z 0-9 . _ -`, and not `now`, nor `.` or `..`, which
/// clients take for folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, BadChoice> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain);
        if fits && !["now", ".", ".."].contains(&text) {
            return Ok(Name(text.to_owned()));
        }
        Err(BadChoice(format!(
            "a snapshot's name has 1 to {MAX_NAME} of A-Z a-z 0-9 . _ - and is not now, . or .."
        )))
    }
}

/// A kept snapshot, one of this moment, or the history's nearest to a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moment {
    Now,
    Kept(Name),
    /// Since the first allocation of the process; back from now if negative.
    At {
        millis: i64,
    },
}

impl FromStr for Moment {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, BadChoice> {
        match text {
            "now" => Ok(Moment::Now),
            text => match text.strip_prefix('@') {
                Some(seconds) => at(seconds),
                None => text.parse().map(Moment::Kept),
            },
        }
    }
}

fn at(text: &str) -> Result<Moment, BadChoice> {
    let seconds = text.parse().ok().filter(|s: &f64| s.abs() < 1e12);
    let seconds = seconds.ok_or_else(|| {
        BadChoice(format!(
            "@{text} is no time: @90.5 is 90.5 s after the process began, @-60 a minute ago"
        ))
    })?;
    Ok(Moment::At {
        millis: (seconds * 1e3) as i64,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiffFormat {
    Text,
    Json,
    Pprof,
    Folded,
    Svg,
}

impl FromStr for DiffFormat {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, BadChoice> {
        Ok(match text {
            "text" => DiffFormat::Text,
            "json" => DiffFormat::Json,
            "pprof" => DiffFormat::Pprof,
            "folded" => DiffFormat::Folded,
            "svg" => DiffFormat::Svg,
            _ => {
                let line = format!("format is one of text, json, pprof, folded, svg, not {text:?}");
                return Err(BadChoice(line));
            }
        })
    }
}

/// What is wrong, in a line.
#[derive(Debug)]
pub(super) struct BadChoice(String);

impl fmt::Display for BadChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn bad(line: impl fmt::Display) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, line)
}

/// What follows the list's path.
pub(super) fn kept_name(path: &str) -> Option<&str> {
    path.strip_prefix(SNAPSHOTS)?.strip_prefix('/')
}

pub(super) fn snapshots(request: &Request<'_>) -> Result<Answer, Reply> {
    let query = request.uri.query();
    let asked = match kept_name(request.uri.path()) {
        None => match *request.method {
            Method::GET | Method::HEAD => {
                Query::parse(query, &[])?;
                SnapshotsQuery::List
            }
            Method::POST => {
                let query = Query::parse(query, &["name"])?;
                let name = query.text("name").map(str::parse).transpose();
                SnapshotsQuery::Take(name.map_err(bad)?)
            }
            _ => return Err(wrong_method("GET, HEAD or POST", "GET, HEAD, POST")),
        },
        Some(name) => {
            let moment: Moment = name.parse().map_err(bad)?;
            Query::parse(query, &[])?;
            match *request.method {
                Method::GET | Method::HEAD => SnapshotsQuery::Fetch(moment),
                Method::DELETE => SnapshotsQuery::Delete(name.parse().map_err(bad)?),
                _ => return Err(wrong_method("GET, HEAD or DELETE", "GET, HEAD, DELETE")),
            }
        }
    };
    Ok(Answer::Snapshots(asked))
}

fn wrong_method(words: &str, allowed: &'static str) -> Reply {
    let line = format!("here one can {words}");
    Reply::error(StatusCode::METHOD_NOT_ALLOWED, line).with(header::ALLOW, allowed)
}

pub(super) fn diff(query: Option<&str>) -> Result<Answer, Reply> {
    let query = Query::parse(query, &["from", "to", "by", "n", "format"])?;
    let from = query.text("from").ok_or_else(|| {
        bad("from must name a kept snapshot, such as from=start (POST /heap/snapshots keeps one), or a time, such as from=@-60")
    })?;
    Ok(Answer::Diff(DiffQuery {
        from: from.parse().map_err(bad)?,
        to: query.choice("to", Moment::Now)?,
        by: query.choice("by", By::Site)?,
        rows: query.number("n", 1..=MAX_ROWS)?.unwrap_or(DEFAULT_ROWS) as usize,
        format: query.choice("format", DiffFormat::Text)?,
    }))
}

pub(super) fn flamegraph(query: Option<&str>) -> Result<Answer, Reply> {
    let query = Query::parse(query, &["diff_from", "sample", "format"])?;
    let diff_from = query.text("diff_from").map(str::parse).transpose();
    let diff_from: Option<Moment> = diff_from.map_err(bad)?;
    let svg = match query.text("format") {
        None | Some("svg") => true,
        Some("folded") => false,
        Some(text) => {
            return Err(bad(format_args!(
                "format is one of svg, folded, not {text:?}"
            )));
        }
    };
    let sample = match query.text("sample") {
        None | Some("live") => Sort::Live,
        Some("allocated") if diff_from.is_none() => Sort::Allocated,
        Some("allocated") => {
            return Err(bad(
                "sample and diff_from exclude each other: differences are of live bytes",
            ));
        }
        Some(text) => {
            return Err(bad(format_args!(
                "sample is one of live, allocated, not {text:?}"
            )));
        }
    };
    Ok(Answer::Flamegraph(FlamegraphQuery {
        diff_from,
        sample,
        svg,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::test_case::*;
    use super::*;

    /// Every way to ask wrongly, with what the answer must say.
    #[test]
    fn what_is_asked_wrongly_is_refused() {
        let long = format!("/heap/snapshots/{}", "a".repeat(65));
        for (method, target, status, said) in [
            ("GET", "/heap/snapshots?name=a", 400, "there are none here"),
            (
                "POST",
                "/heap/snapshots?name=",
                400,
                "1 to 64 of A-Z a-z 0-9",
            ),
            ("POST", "/heap/snapshots?name=now", 400, "is not now"),
            ("POST", "/heap/snapshots?name=a%2Fb", 400, "1 to 64"),
            ("POST", "/heap/snapshots?name=%C3%A4", 400, "1 to 64"),
            ("POST", "/heap/snapshots?id=a", 400, "there are name"),
            ("PUT", "/heap/snapshots", 405, "GET, HEAD or POST"),
            ("POST", "/heap/snapshots/a", 405, "GET, HEAD or DELETE"),
            ("GET", "/heap/snapshots/", 400, "1 to 64"),
            ("GET", "/heap/snapshots/a/b", 400, "1 to 64"),
            ("DELETE", "/heap/snapshots/..%2f", 400, "1 to 64"),
            ("DELETE", "/heap/snapshots/now", 400, "is not now"),
            ("POST", "/heap/snapshots?name=.", 400, "is not now, . or .."),
            (
                "POST",
                "/heap/snapshots?name=..",
                400,
                "is not now, . or ..",
            ),
            ("GET", "/heap/snapshots/..", 400, "is not now, . or .."),
            ("GET", "/heap/diff?from=..", 400, "is not now, . or .."),
            ("GET", long.as_str(), 400, "1 to 64"),
            ("DELETE", "/heap/snapshots", 405, "GET, HEAD or POST"),
            ("GET", "/heap/snapshotsx", 404, "no such page"),
            ("GET", "/heap/diff", 400, "from must name a kept snapshot"),
            ("GET", "/heap/diff?from=a%20b", 400, "1 to 64"),
            ("GET", "/heap/diff?from=a&to=", 400, "1 to 64"),
            ("GET", "/heap/diff?from=@", 400, "@ is no time"),
            ("GET", "/heap/diff?from=@soon", 400, "@-60 a minute ago"),
            ("GET", "/heap/diff?from=@1&to=@NaN", 400, "is no time"),
            ("GET", "/heap/diff?from=@1e300", 400, "is no time"),
            (
                "GET",
                "/heap/diff?from=a&by=module",
                400,
                "site, function, crate",
            ),
            (
                "GET",
                "/heap/diff?from=a&format=xml",
                400,
                "text, json, pprof, folded, svg",
            ),
            ("GET", "/heap/diff?from=a&n=0", 400, "from 1 to 10000"),
            ("POST", "/heap/diff?from=a", 405, "GET or HEAD"),
            ("GET", "/heap/flamegraph?format=png", 400, "svg, folded"),
            (
                "GET",
                "/heap/flamegraph?sample=freed",
                400,
                "live, allocated",
            ),
            (
                "GET",
                "/heap/flamegraph?sample=allocated&diff_from=a",
                400,
                "exclude each other",
            ),
            ("GET", "/heap/flamegraph?diff_from=", 400, "1 to 64"),
        ] {
            let (found, text) = get(target).method(method).outcome();
            assert_eq!(found, status, "{method} {target}: {text}");
            assert!(text.contains(said), "{method} {target}: {text}");
            assert_eq!(text.matches('\n').count(), 1, "{target}: {text:?}");
        }
    }

    #[test]
    fn what_is_asked_rightly_is_understood() {
        let name = |text: &str| -> Name { text.parse().unwrap() };
        let longest = "a.B_9-".repeat(10) + "1234";
        for (method, target, expected) in [
            ("GET", "/heap/snapshots", SnapshotsQuery::List),
            ("HEAD", "/heap/snapshots", SnapshotsQuery::List),
            ("POST", "/heap/snapshots", SnapshotsQuery::Take(None)),
            (
                "POST",
                "/heap/snapshots?name=a",
                SnapshotsQuery::Take(Some(name("a"))),
            ),
            (
                "GET",
                "/heap/snapshots/...",
                SnapshotsQuery::Fetch(Moment::Kept(name("..."))),
            ),
            (
                "GET",
                "/heap/snapshots/now",
                SnapshotsQuery::Fetch(Moment::Now),
            ),
            (
                "DELETE",
                &format!("/heap/snapshots/{longest}"),
                SnapshotsQuery::Delete(name(&longest)),
            ),
        ] {
            match get(target).method(method).answer() {
                Answer::Snapshots(found) => assert_eq!(found, expected, "{target}"),
                other => panic!("{target}: {other:?}"),
            }
        }
        match get("/heap/diff?from=a&to=now&by=crate&format=svg&n=3").answer() {
            Answer::Diff(query) => assert_eq!(
                query,
                DiffQuery {
                    from: Moment::Kept(name("a")),
                    to: Moment::Now,
                    by: By::Crate,
                    rows: 3,
                    format: DiffFormat::Svg,
                }
            ),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn times_of_the_past_are_understood() {
        for (text, millis) in [("@90.5", 90_500), ("@-60", -60_000), ("@0", 0)] {
            assert_eq!(text.parse::<Moment>().unwrap(), Moment::At { millis });
        }
    }

    /// A page elsewhere must not take or delete snapshots with its visitor's browser.
    #[test]
    fn foreign_origins_change_nothing() {
        for (method, target) in [("POST", "/heap/snapshots"), ("DELETE", "/heap/snapshots/a")] {
            let case = get(target).method(method);
            assert_eq!(case.header("origin", "http://evil.example").status(), 403);
            let case = get(target).method(method);
            assert_eq!(case.header("origin", "http://127.0.0.1:6790").status(), 200);
            assert_eq!(get(target).method(method).token("secret").status(), 401);
        }
    }
}
