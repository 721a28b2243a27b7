//! What `check` holds a service to.

use std::fmt;
use std::str::FromStr;

use heapwatch::growth::{Growth, Report, Verdict};
use heapwatch::report::{Change, Diff};

use crate::diff::grown;
use crate::failure::Failure;
use crate::size::Size;

const PER_TIME: [(&str, f64); 3] = [("/s", 1.0), ("/min", 60.0), ("/h", 3_600.0)];

/// A limit, as it is written after `--fail-on`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Limit {
    /// No call site leaks.
    Leaking,
    /// No call site leaks or grows.
    Growing,
    /// Live bytes grow by no more than this.
    Size(Size),
    /// Live bytes grow by no more than this in so many seconds.
    Rate {
        size: Size,
        per: &'static str,
        seconds: f64,
    },
}

/// Who broke a limit.
#[derive(Debug)]
pub(crate) enum Culprit<'c> {
    Verdict(&'c Growth),
    Change(&'c Change<'c>),
}

impl Limit {
    /// Whether it rests on verdicts, which take time to come to.
    pub(crate) fn needs_verdicts(&self) -> bool {
        matches!(self, Limit::Leaking | Limit::Growing)
    }

    /// Who broke it, worst first; nobody if it held. `seconds` lie between the diff's snapshots.
    pub(crate) fn broken_by<'c>(
        &self,
        report: Option<&'c Report>,
        diff: &'c Diff<'c>,
        seconds: f64,
    ) -> Vec<Culprit<'c>> {
        let verdicts = |broken: fn(Verdict) -> bool| {
            let all = report.map_or(&[][..], |report| &report.verdicts);
            all.iter()
                .filter(|growth| broken(growth.verdict))
                .map(Culprit::Verdict)
                .collect()
        };
        let changes = |bytes: f64| {
            grown(diff, bytes)
                .into_iter()
                .map(Culprit::Change)
                .collect()
        };
        match self {
            Limit::Leaking => verdicts(|verdict| verdict == Verdict::Leaking),
            Limit::Growing => verdicts(Verdict::alarms),
            Limit::Size(size) => changes(size.bytes),
            Limit::Rate {
                size,
                seconds: unit,
                ..
            } => changes(size.bytes * seconds / unit),
        }
    }
}

impl FromStr for Limit {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Limit, Failure> {
        match text {
            "leaking" => return Ok(Limit::Leaking),
            "growing" => return Ok(Limit::Growing),
            _ => {}
        }
        let rate = PER_TIME
            .iter()
            .find_map(|(per, seconds)| Some((text.strip_suffix(per)?, *per, *seconds)));
        let limit = match rate {
            Some((size, per, seconds)) => {
                size.parse().map(|size| Limit::Rate { size, per, seconds })
            }
            None => text.parse().map(Limit::Size),
        };
        limit.map_err(|_| {
            Failure::new(format_args!(
                "{text:?} is none of leaking, growing, a size such as 10MiB, or a rate such as 1MiB/min"
            ))
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Leaking => f.write_str("leaking"),
            Limit::Growing => f.write_str("growing"),
            Limit::Size(size) => size.fmt(f),
            Limit::Rate { size, per, .. } => write!(f, "{size}{per}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_understood_as_written() {
        for text in [
            "leaking",
            "growing",
            "10MiB",
            "0",
            "1.5 MiB/min",
            "3GB/h",
            "4096/s",
        ] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!(limit.to_string(), text);
        }
        match "2MiB/min".parse() {
            Ok(Limit::Rate { size, seconds, .. }) => {
                assert_eq!((size.bytes, seconds), (2_097_152.0, 60.0));
            }
            other => panic!("{other:?}"),
        }
        for text in ["", "leak", "10MiB/day", "/min", "-1/s"] {
            let error = text.parse::<Limit>().unwrap_err().to_string();
            assert!(error.contains("leaking, growing"), "{error}");
        }
    }
}
