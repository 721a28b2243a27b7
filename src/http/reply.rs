//! A complete answer, and what every answer carries.

use std::fmt;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const PROTOBUF_GZIP: &str = "application/octet-stream";
#[cfg(feature = "flamegraph")]
pub(super) const SVG: &str = "image/svg+xml";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// What every answer carries: nothing is guessed, loaded from elsewhere, framed or kept.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Status, headers and body.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// Beyond those that every answer carries.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        Reply::new(StatusCode::OK, content_type, body.into())
    }

    /// One line that says what was wrong and what would be right.
    pub(super) fn error(status: StatusCode, line: impl fmt::Display) -> Reply {
        Reply::new(status, TEXT, format!("{line}\n").into())
    }

    /// Done, and there is nothing to say.
    pub(super) fn nothing() -> Reply {
        Reply {
            status: StatusCode::NO_CONTENT,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Reply {
        self.status = status;
        self
    }

    fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
        let reply = Reply {
            status,
            headers: Vec::new(),
            body,
        };
        reply.with(header::CONTENT_TYPE, content_type)
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Reply {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Says when it is worth trying again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Reply {
        self.headers.push((header::RETRY_AFTER, seconds.into()));
        self
    }
}

impl From<Reply> for Response<Full<Bytes>> {
    fn from(reply: Reply) -> Self {
        let mut response = Response::new(Full::new(reply.body));
        *response.status_mut() = reply.status;
        let always = ALWAYS.map(|(name, value)| (name, HeaderValue::from_static(value)));
        // A page's own policy stands in place of the usual one: of two, browsers obey both.
        for (name, value) in always.into_iter().chain(reply.headers) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
