//! The live page: files that are the same in every process, served to anyone who may connect.
//!
//! The page asks for all that it shows, with the token if there is one; nothing of the process is
//! in these files, so that a browser, which cannot send a token with an address, can load them.
//! They lie below a path with their hash, so that a browser may keep them.

use std::fmt::Write;

use hyper::Method;
use hyper::header;

use super::query::Query;
use super::reply::{HTML, Reply};
use super::routes::{Request, only_read};
use crate::report::By;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, type and text of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("app.css", CSS, include_str!("app.css")),
    ("api.js", JAVASCRIPT, include_str!("api.js")),
    ("app.js", JAVASCRIPT, include_str!("app.js")),
    ("diff.js", JAVASCRIPT, include_str!("diff.js")),
    ("dom.js", JAVASCRIPT, include_str!("dom.js")),
    ("fit.js", JAVASCRIPT, include_str!("fit.js")),
    ("flame.js", JAVASCRIPT, include_str!("flame.js")),
    ("format.js", JAVASCRIPT, include_str!("format.js")),
    ("graph.js", JAVASCRIPT, include_str!("graph.js")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("links.js", JAVASCRIPT, include_str!("links.js")),
    ("past.js", JAVASCRIPT, include_str!("past.js")),
    ("plot.js", JAVASCRIPT, include_str!("plot.js")),
    ("site.js", JAVASCRIPT, include_str!("site.js")),
    ("snapshots.js", JAVASCRIPT, include_str!("snapshots.js")),
    ("table.js", JAVASCRIPT, include_str!("table.js")),
    ("verdict.js", JAVASCRIPT, include_str!("verdict.js")),
];

const SHELL: &str = include_str!("index.html");

/// What the shell's `{base}` stands for, and where the files lie.
const BASE: &str = "/page/";

/// Of all files: another version of any has another path.
const HASH: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut file = 0;
    while file < FILES.len() {
        let bytes = FILES[file].2.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        file += 1;
    }
    hash
};

/// The reply to a request for the page or one of its files; none to any other.
pub(super) fn serve(request: &Request<'_>) -> Option<Result<Reply, Reply>> {
    let reply = find(request.uri.path())?;
    if !matches!(*request.method, Method::GET | Method::HEAD) {
        return Some(Err(only_read()));
    }
    let no_parameters = Query::parse(request.uri.query(), &[]);
    Some(no_parameters.map(|_| reply))
}

fn find(path: &str) -> Option<Reply> {
    if path == "/" {
        return Some(shell());
    }
    let (hash, name) = path.strip_prefix(BASE)?.split_once('/')?;
    let (_, content_type, text) = FILES.iter().find(|(known, ..)| *known == name)?;
    let file = Reply::ok(content_type, *text);
    let kept = "public, max-age=31536000, immutable";
    (hash == format!("{HASH:016x}")).then(|| file.with(header::CACHE_CONTROL, kept))
}

fn shell() -> Reply {
    let mut choices = String::new();
    for name in By::names() {
        let _ = write!(choices, "<option>{name}</option>");
    }
    let text = SHELL
        .replace("{base}", &format!("page/{HASH:016x}"))
        .replace("{by}", &choices);
    Reply::ok(HTML, text)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
