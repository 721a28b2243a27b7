//! Query parameters: known ones, each at most once.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use hyper::StatusCode;

use super::reply::Reply;

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Query<'q> {
    values: Vec<(Cow<'q, str>, Cow<'q, str>)>,
}

fn bad(line: impl Display) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, line)
}

impl<'q> Query<'q> {
    /// Reads a query string, all of whose names must be among `known`.
    pub(super) fn parse(query: Option<&'q str>, known: &[&str]) -> Result<Query<'q>, Reply> {
        let pairs = form_urlencoded::parse(query.unwrap_or("").as_bytes());
        let mut values: Vec<(Cow<'q, str>, Cow<'q, str>)> = Vec::new();
        for (name, value) in pairs {
            if !known.contains(&&*name) {
                return Err(bad(format_args!(
                    "unknown parameter {name:?}: {}",
                    choices(known)
                )));
            }
            if values.iter().any(|(earlier, _)| *earlier == name) {
                return Err(bad(format_args!(
                    "{name} is given more than once: {}, each once",
                    choices(known)
                )));
            }
            values.push((name, value));
        }
        Ok(Query { values })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.values.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// One of several names, as their type reads them.
    pub(super) fn choice<T>(&self, name: &str, default: T) -> Result<T, Reply>
    where
        T: FromStr<Err: Display>,
    {
        self.text(name)
            .map_or(Ok(default), |text| text.parse().map_err(bad))
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &self,
        name: &str,
        bounds: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Reply> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text
            .parse()
            .ok()
            .filter(|number| digits && bounds.contains(number));
        number.map(Some).ok_or_else(|| {
            bad(format_args!(
                "{name} is {text:?}: it must be a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            ))
        })
    }

    /// `0` or `1`.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Reply> {
        match self.text(name) {
            None => Ok(default),
            Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(text) => Err(bad(format_args!("{name} is {text:?}: it must be 0 or 1"))),
        }
    }
}

fn choices(known: &[&str]) -> String {
    match known {
        [] => "there are none here".into(),
        known => format!("there are {}", known.join(", ")),
    }
}
