//! Settings of the endpoint.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use super::{MAX_INTERVAL, TICK_LIMITS_NS, parse_interval, parse_tick};
use crate::Error;

/// Where the endpoint listens unless told otherwise.
const DEFAULT_ADDR: &str = "127.0.0.1:6790";

/// The longest token; a request's whole head may have 8 KiB.
const MAX_TOKEN: usize = 1024;

/// Settings of the endpoint, which [`Config::serve`] starts.
///
/// ```no_run
/// # #[global_allocator]
/// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// # fn main() -> Result<(), heapwatch::Error> {
/// let watch = heapwatch::Config::new()
///     .addr("0.0.0.0:6790")
///     .token("a long random text")
///     .allow_host("chat.internal")
///     .serve()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) addr: String,
    pub(crate) token: Option<Token>,
    pub(crate) hosts: Vec<String>,
    pub(crate) tick: Option<Duration>,
    pub(crate) min_watch: Option<Duration>,
}

/// What a client must present. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Default for Config {
    fn default() -> Self {
        Config::new()
    }
}

impl Config {
    /// The endpoint on `127.0.0.1:6790`, without a token.
    pub fn new() -> Self {
        Config {
            addr: DEFAULT_ADDR.into(),
            token: None,
            hosts: Vec::new(),
            tick: None,
            min_watch: None,
        }
    }

    /// Listens on `host:port`; port 0 picks a free one, which
    /// [`Server::local_addr`](crate::Server::local_addr) tells.
    ///
    /// An address that other machines can reach needs a [`token`](Self::token).
    #[must_use]
    pub fn addr(mut self, addr: impl ToString) -> Self {
        self.addr = addr.to_string();
        self
    }

    /// Answers only requests with the header `Authorization: Bearer <token>`.
    ///
    /// The environment variable `HEAPWATCH_TOKEN` takes precedence.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// Answers requests for this host name or address too, on whatever port, and takes changes from
    /// its pages.
    ///
    /// Loopback names and addresses and the address that the endpoint listens on are allowed
    /// anyway. Others are refused, because a web page elsewhere can make a browser send requests
    /// to a name that resolves to this machine.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Time between two points of the history that growth is judged by, from 10 ms to 1 h: 5 s unless
    /// told otherwise. Verdicts take about a hundred ticks: a run of 10 s needs a tick of 0.1 s.
    ///
    /// The environment variable `HEAPWATCH_TICK` takes precedence.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = Some(tick);
        self
    }

    /// Calls nothing leaking or growing before this much was watched: 60 ticks unless told
    /// otherwise. A cache that takes an hour to fill looks like a leak until then.
    #[must_use]
    pub fn min_watch(mut self, time: Duration) -> Self {
        self.min_watch = Some(time);
        self
    }

    /// Takes over what the environment says, and checks all settings but the address.
    pub(crate) fn checked(
        mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        if let Some(interval) = variable("HEAPWATCH_INTERVAL") {
            check_interval(&interval)?;
        }
        if let Some(tick) = variable("HEAPWATCH_TICK") {
            check_tick(&tick)?;
            self.tick = None;
        }
        if let Some(tick) = self.tick {
            let (shortest, longest) = TICK_LIMITS_NS;
            if !(u128::from(shortest)..=u128::from(longest)).contains(&tick.as_nanos()) {
                return Err(Error::Config(format!(
                    "the tick given to Config::tick is {tick:?}: it must be from 10 ms to 1 h"
                )));
            }
        }
        if let Some(token) = &self.token {
            token.check("the token given to Config::token")?;
        }
        if let Some(token) = variable("HEAPWATCH_TOKEN") {
            let token = Token(token.into_string().unwrap_or_default());
            token.check("HEAPWATCH_TOKEN")?;
            self.token = Some(token);
        }
        self.hosts.iter().try_for_each(|host| check_host(host))?;
        Ok(self)
    }
}

impl Token {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        let text = &self.0;
        if (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(());
        }
        Err(Error::Config(format!(
            "{name} is not usable as a token: it must be 1 to {MAX_TOKEN} printable ASCII \
             characters without spaces, or not be set"
        )))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The allocator ignored a wrong value, because it can say nothing; whoever starts the endpoint is
/// told.
fn check_interval(text: &OsString) -> Result<(), Error> {
    if parse_interval(text.as_encoded_bytes()).is_some() {
        return Ok(());
    }
    Err(Error::Config(format!(
        "HEAPWATCH_INTERVAL is {text:?}: it must be a whole number of bytes from 0 (off) and 1 \
         (every allocation) to {MAX_INTERVAL}"
    )))
}

fn check_tick(text: &OsString) -> Result<(), Error> {
    if parse_tick(text.as_encoded_bytes()).is_some() {
        return Ok(());
    }
    Err(Error::Config(format!(
        "HEAPWATCH_TICK is {text:?}: it must be a number of seconds from 0.01 to 3600, such as 5 or 0.1"
    )))
}

fn check_host(host: &str) -> Result<(), Error> {
    let name = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if !host.is_empty() && (name || host.parse::<std::net::Ipv6Addr>().is_ok()) {
        return Ok(());
    }
    Err(Error::Config(format!(
        "{host:?} is not a host to allow: it must be a name or address alone, such as \
         chat.internal, 10.0.0.7 or fd00::7, without scheme, port or path"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(config: Config, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        config.checked(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_s_token_takes_precedence() {
        let config = checked(
            Config::new().token("mine"),
            &[("HEAPWATCH_TOKEN", "theirs")],
        );
        assert_eq!(config.unwrap().token, Some(Token("theirs".into())));
        let config = checked(Config::new().token("mine"), &[]);
        assert_eq!(config.unwrap().token, Some(Token("mine".into())));
        assert_eq!(checked(Config::new(), &[]).unwrap().token, None);
    }

    /// An empty token would be one that everybody has.
    #[test]
    fn unusable_tokens_are_errors_that_name_where_they_come_from() {
        for bad in ["", " ", "two words", "é", "line\nbreak", &"x".repeat(1025)] {
            let error = checked(Config::new(), &[("HEAPWATCH_TOKEN", bad)]).unwrap_err();
            assert!(
                error.contains("HEAPWATCH_TOKEN") && error.contains("1 to 1024"),
                "{error}"
            );
            let error = checked(Config::new().token(bad), &[]).unwrap_err();
            assert!(error.contains("Config::token"), "{error}");
        }
    }

    #[test]
    fn a_wrong_interval_is_an_error_that_names_what_is_possible() {
        for good in ["0", "1", "524288", "4294967295"] {
            assert!(checked(Config::new(), &[("HEAPWATCH_INTERVAL", good)]).is_ok());
        }
        for bad in ["", "512k", "-1", "4294967296"] {
            let error = checked(Config::new(), &[("HEAPWATCH_INTERVAL", bad)]).unwrap_err();
            assert!(
                error.contains("HEAPWATCH_INTERVAL") && error.contains("4294967295"),
                "{error}"
            );
        }
    }

    /// The thread that keeps the history could only ignore a wrong tick; whoever starts it is told.
    #[test]
    fn a_wrong_tick_is_an_error_and_the_environment_s_takes_precedence() {
        let millis = Duration::from_millis;
        for bad in ["", "0", "-1", "5s", "3601"] {
            let error = checked(Config::new(), &[("HEAPWATCH_TICK", bad)]).unwrap_err();
            assert!(error.contains("HEAPWATCH_TICK"), "{error}");
        }
        for bad in [Duration::ZERO, millis(9), millis(3_600_001)] {
            let error = checked(Config::new().tick(bad), &[]).unwrap_err();
            assert!(error.contains("from 10 ms to 1 h"), "{error}");
        }
        let config = Config::new().tick(millis(200));
        let kept = checked(config.clone(), &[]).unwrap().tick;
        assert_eq!(kept, Some(millis(200)));
        let environment = checked(config, &[("HEAPWATCH_TICK", "0.1")]).unwrap();
        assert_eq!(environment.tick, None, "the allocator has read it");
    }

    #[test]
    fn hosts_are_names_or_addresses_alone() {
        for good in [
            "chat.internal",
            "localhost",
            "10.0.0.7",
            "fd00::7",
            "my_service-1",
        ] {
            assert!(
                checked(Config::new().allow_host(good), &[]).is_ok(),
                "{good}"
            );
        }
        for bad in [
            "",
            "http://chat",
            "chat:6790",
            "chat/",
            "a b",
            "[fd00::7]:1",
            "*",
        ] {
            assert!(
                checked(Config::new().allow_host(bad), &[]).is_err(),
                "{bad}"
            );
        }
    }

    /// Settings end up in logs.
    #[test]
    fn the_token_is_never_printed() {
        let text = format!("{:?}", Config::new().token("secret"));
        assert!(!text.contains("secret"), "{text}");
    }
}
