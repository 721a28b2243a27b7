//! Who may ask: checks on a request before its path matters.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, StatusCode, Uri};
use subtle::ConstantTimeEq;

use super::reply::Reply;
use super::routes::Request;
use crate::config::{Config, Token};

/// What is asked of every request.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    token: Option<Token>,
    hosts: Vec<String>,
    /// Whether requests come through a server of the application's own, whose names and addresses
    /// are not known here.
    behind: bool,
}

impl Policy {
    pub(super) fn new(config: &Config) -> Policy {
        Policy {
            token: config.token.clone(),
            hosts: config.hosts.clone(),
            behind: false,
        }
    }

    /// The same behind a server of the application's own. Any address is a `Host` there: only names
    /// can be made to resolve to another machine. With a token, names need not be known either,
    /// because no foreign page knows it.
    #[cfg(feature = "axum")]
    pub(super) fn behind(config: &Config) -> Policy {
        Policy {
            behind: true,
            ..Policy::new(config)
        }
    }

    /// Refuses a request that is not from whom it should be. [`check_host`](Self::check_host) comes
    /// before, for all requests.
    pub(super) fn admit(&self, request: &Request<'_>) -> Result<(), Reply> {
        self.check_token(request.headers)?;
        self.check_origin(request)
    }

    /// Refuses a request that is not for us.
    ///
    /// A web page elsewhere can have its own name resolve to this machine and would then be read
    /// as if it were ours; but it cannot choose the `Host` that the browser sends.
    pub(super) fn check_host(&self, request: &Request<'_>) -> Result<(), Reply> {
        // A target in absolute form overrides the header; HTTP/2 has only the former.
        let target = target(request);
        let host = single(request.headers, &header::HOST)?;
        if host.or(target).is_none() {
            let line = "the request has no Host header";
            return Err(Reply::error(StatusCode::BAD_REQUEST, line));
        }
        if self.behind && self.token.is_some() {
            return Ok(());
        }
        for authority in host.into_iter().chain(target) {
            if !self.allows(authority, request.local) {
                let ask = match self.behind {
                    false => "ask for localhost or the address that is listened on",
                    true => "ask for localhost or an address, set a token",
                };
                return Err(Reply::error(
                    StatusCode::FORBIDDEN,
                    format_args!(
                        "this Host is not served: {ask}, or name the host with Config::allow_host"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Reply> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let challenge = |line, value| {
            Reply::error(StatusCode::UNAUTHORIZED, line).with(header::WWW_AUTHENTICATE, value)
        };
        let given = single(headers, &header::AUTHORIZATION)?.and_then(|value| {
            let (scheme, given) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| given.trim())
        });
        let Some(given) = given else {
            return Err(challenge(
                "a token is needed: send the header Authorization: Bearer <token>",
                "Bearer realm=\"heapwatch\"",
            ));
        };
        // Constant time: how far a guess was right must not show in how long it takes.
        if bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
            return Ok(());
        }
        Err(challenge(
            "the token is wrong",
            "Bearer realm=\"heapwatch\", error=\"invalid_token\"",
        ))
    }

    /// A page elsewhere may make a browser send a request that changes something here. Browsers
    /// state where such a request comes from; other clients do not. What is good enough for a `Host`
    /// is not for an origin: any address may have foreign pages, and so may another port of this
    /// machine. A proxy may rewrite the `Host`, but not a configured name.
    fn check_origin(&self, request: &Request<'_>) -> Result<(), Reply> {
        if matches!(*request.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let Some(origin) = single(request.headers, &header::ORIGIN)? else {
            return Ok(());
        };
        let host = single(request.headers, &header::HOST)?;
        let origin: Option<Uri> = origin.parse().ok();
        let ours = origin
            .as_ref()
            .filter(|origin| matches!(origin.scheme_str(), Some("http" | "https")))
            .and_then(|origin| origin.authority())
            .map(|authority| authority.as_str())
            .is_some_and(|origin| {
                let same = |host: &str| host.eq_ignore_ascii_case(origin);
                target(request).or(host).is_some_and(same)
                    || host_of(origin).is_some_and(|host| self.names(host))
            });
        if ours {
            return Ok(());
        }
        Err(Reply::error(
            StatusCode::FORBIDDEN,
            "requests that change something are taken from this endpoint's own pages only; behind a \
             proxy that rewrites Host, name the public host with Config::allow_host",
        ))
    }

    /// Whether `host`, `host:port` or `[address]:port` means this endpoint.
    fn allows(&self, authority: &str, local: IpAddr) -> bool {
        let Some(host) = host_of(authority) else {
            return false;
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            let address = address.to_canonical();
            return self.behind
                || address.is_loopback()
                || address == local.to_canonical()
                || self.names(host);
        }
        host.eq_ignore_ascii_case("localhost") || self.names(host)
    }

    /// Whether a host is one of those that were configured.
    fn names(&self, host: &str) -> bool {
        let address = host.parse().map(|address: IpAddr| address.to_canonical());
        self.hosts.iter().any(|known| {
            known.eq_ignore_ascii_case(host) || address.is_ok() && known.parse() == address
        })
    }
}

/// The host that a target in absolute form names.
fn target<'r>(request: &Request<'r>) -> Option<&'r str> {
    request.uri.authority().map(|authority| authority.as_str())
}

/// The host of `host[:port]` or `[address][:port]`, without brackets and without the dot that ends
/// a full name.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => match authority.find(':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, ""),
        },
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let valid_port = port.is_empty() || port.starts_with(':') && digits.parse::<u16>().is_ok();
    let host = host.strip_suffix('.').unwrap_or(host);
    (valid_port && !host.is_empty()).then_some(host)
}

/// The value of a header that must not be repeated.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Reply> {
    let refuse = |what| {
        let line = format!("the header {name} {what}");
        Err(Reply::error(StatusCode::BAD_REQUEST, line))
    };
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return refuse("is there more than once");
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => refuse("is not plain ASCII text"),
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
