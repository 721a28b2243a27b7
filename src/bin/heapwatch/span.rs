//! Spans of time as people write them: `60s`, `5min`, `1h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;

const UNITS: [(&str, f64); 6] = [
    ("", 1.0),
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("ms", 1e-3),
];

const LONGEST_SECONDS: f64 = 7.0 * 86_400.0;

/// More than nothing, and at most a week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Span, Failure> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = text[digits.len()..].trim();
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        let seconds = digits
            .parse::<f64>()
            .ok()
            .zip(factor)
            .map(|(number, (_, factor))| number * factor);
        match seconds {
            Some(seconds) if seconds > 0.0 && seconds <= LONGEST_SECONDS => {
                Ok(Span(Duration::from_secs_f64(seconds)))
            }
            _ => Err(Failure::new(format_args!(
                "{text:?} is not a span of time, such as 60s, 5min or 1h, of a week at most"
            ))),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            _ if seconds < 120.0 => write!(f, "{seconds:.0} s"),
            _ if seconds < 7_200.0 => write!(f, "{:.0} min", seconds / 60.0),
            _ => write!(f, "{:.0} h", seconds / 3_600.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_mean_what_is_written() {
        for (text, seconds) in [
            ("60s", 60.0),
            ("5min", 300.0),
            ("2 m", 120.0),
            ("1.5h", 5_400.0),
            ("20", 20.0),
        ] {
            assert_eq!(
                text.parse::<Span>().unwrap().0.as_secs_f64(),
                seconds,
                "{text}"
            );
        }
        for text in ["", "0s", "-1s", "s", "1e9h", "nan", "1 day"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
