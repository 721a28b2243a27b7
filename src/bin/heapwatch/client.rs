//! Asks an endpoint, or any other server that has a profile.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body, Timeout};

use crate::failure::Failure;
use crate::waiting::Waiting;

/// To wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// To wait for an answer to begin, beyond the time that a profile was told to take: the names of a
/// huge program may take a minute to find, on a machine that has other things to do.
const ANSWER: Duration = Duration::from_secs(120);

/// To wait for an answer to end once it has begun.
const BODY: Duration = Duration::from_secs(300);

/// Characters of a server's own words that are passed on.
const MAX_WORDS: usize = 200;

/// An `http://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url(Uri);

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Url, Failure> {
        if text.starts_with("https://") {
            return Err(Failure::new(
                "heapwatch speaks plain http only; for a service behind TLS, forward its port: \
                 ssh -L 6790:127.0.0.1:6790 HOST, and then ask http://127.0.0.1:6790/",
            ));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(Failure::new("a URL begins with http://"));
        };
        let not_url = || Failure::new("this is not a URL, such as http://127.0.0.1:6790/");
        let uri: Uri = text.parse().map_err(|_| not_url())?;
        if rest.is_empty() || uri.host().is_none_or(str::is_empty) {
            return Err(not_url());
        }
        check_port(&uri)?;
        let url = Url(uri);
        if url.is_folder() && url.0.query().is_some() {
            return Err(Failure::new(
                "the URL of an endpoint has no query: say what you want with options",
            ));
        }
        Ok(url)
    }

    /// Whether it is that of an endpoint.
    pub(crate) fn is_folder(&self) -> bool {
        self.0.path().ends_with('/')
    }

    /// How long its answer may take to begin: a query's `seconds` are what a profile was told to take.
    pub(crate) fn patience(&self) -> Duration {
        let parameters = self.0.query().unwrap_or_default().split('&');
        let seconds =
            parameters.filter_map(|one| one.strip_prefix("seconds=")?.parse::<u32>().ok());
        ANSWER + Duration::from_secs(seconds.max().unwrap_or(0).into())
    }

    /// What is below it, such as `heap/snapshots/now`.
    fn below(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    url: Url,
    authorization: Option<String>,
}

impl Client {
    /// Nothing is asked yet.
    pub(crate) fn new(url: &Url, token: Option<&str>) -> Result<Client, Failure> {
        if let Some(token) = token
            && (token.is_empty() || !token.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        {
            return Err(Failure::new(
                "a token is a line of plain ASCII text and not empty; leave --token away where none is \
                 asked for, or give the token in HEAPWATCH_TOKEN",
            ));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Services are asked directly: what is on loopback no proxy can see.
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(url.patience()))
            .timeout_recv_body(Some(BODY))
            .user_agent(concat!("heapwatch/", env!("CARGO_PKG_VERSION")));
        Ok(Client {
            agent: config.build().into(),
            url: url.clone(),
            authorization: token.map(|token| format!("Bearer {token}")),
        })
    }

    /// A snapshot of now, from an endpoint.
    pub(crate) fn snapshot<T>(
        &self,
        waiting: &Waiting,
        parse: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut answer = self.get("heap/snapshots/now")?;
        let length = answer.body().content_length();
        parse(&mut waiting.reader(length, answer.body_mut().as_reader()))
    }

    /// What a page has.
    pub(crate) fn page<T>(
        &self,
        waiting: &Waiting,
        parse: impl FnOnce(&mut dyn Read) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut answer = self.call(self.url.to_string())?;
        let web_page = answer.body().mime_type() == Some("text/html");
        let length = answer.body().content_length();
        let parsed = parse(&mut waiting.reader(length, answer.body_mut().as_reader()));
        if web_page && parsed.is_err() {
            return Err(Failure::new(
                "this is a web page; if it is that of an endpoint, end its URL with /",
            ));
        }
        parsed
    }

    fn get(&self, path: &str) -> Result<Response<Body>, Failure> {
        self.call(self.url.below(path))
    }

    fn call(&self, url: String) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url);
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = request.call().map_err(|error| self.unreachable(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            status => Err(refused(status, answer)),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(Timeout::RecvResponse) => Failure::new(format_args!(
                "connected, but no answer began within {} s: is it heapwatch that listens there, and is \
                 the service stopped or out of processor time? if it is only slow, ask again",
                self.url.patience().as_secs()
            )),
            error => unreachable(error),
        }
    }
}

/// A port that there cannot be would be taken for one that nobody listens at.
fn check_port(uri: &Uri) -> Result<(), Failure> {
    let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
        return Ok(());
    };
    let all = authority.as_str();
    let place = all.rsplit_once('@').map_or(all, |(_, place)| place);
    let port = place
        .strip_prefix(host)
        .and_then(|rest| rest.strip_prefix(':'));
    match port.map(|port| (port, port.parse::<u16>())) {
        None | Some((_, Ok(1..))) => Ok(()),
        Some((port, _)) => Err(Failure::new(format_args!(
            "{port:?} is no port: it must be a number from 1 to 65535, such as 6790"
        ))),
    }
}

/// No answer came; what to do about it.
fn unreachable(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::new(
                "connection refused: is the service running, with heapwatch::serve on this address?",
            ),
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                Failure::new("the connection broke: did the service end?")
            }
            _ => Failure::new(error),
        },
        ureq::Error::Protocol(error) => Failure::new(format_args!(
            "what listens there does not speak HTTP ({error})"
        )),
        ureq::Error::HostNotFound => Failure::new("no such host: is its name right?"),
        ureq::Error::Timeout(_) => Failure::new(
            "no connection in time: is the address right, and the port open from here? the endpoint \
             listens on loopback unless told otherwise",
        ),
        other => Failure::new(other),
    }
}

/// The server answered, but not with what was asked for.
fn refused(status: StatusCode, mut answer: Response<Body>) -> Failure {
    let words = answer
        .body_mut()
        .with_config()
        .limit(64 << 10)
        .lossy_utf8(true);
    let words = words.read_to_string().unwrap_or_default();
    let words: String = words
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(MAX_WORDS)
        .collect();
    let remedy = match status {
        StatusCode::UNAUTHORIZED => "; give the token in HEAPWATCH_TOKEN or with --token",
        StatusCode::NOT_FOUND => "; is this the URL of a heapwatch endpoint?",
        status if status.is_redirection() => "; redirects are not followed, name the right URL",
        _ => "",
    };
    let code = status.as_u16();
    if words.is_empty() || words.starts_with('<') {
        return Failure::new(format_args!("the server answered {code}{remedy}"));
    }
    Failure::new(format_args!("the server answered {code}, {words}{remedy}"))
}
