//! Sizes and rates as people write them.

use std::fmt;
use std::str::FromStr;

use crate::failure::Failure;

const UNITS: [(&str, f64); 14] = [
    ("", 1.0),
    ("b", 1.0),
    ("k", 1024.0),
    ("m", 1_048_576.0),
    ("g", 1_073_741_824.0),
    ("t", 1_099_511_627_776.0),
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
];

/// A number of bytes, and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Size {
    pub(crate) bytes: f64,
    text: String,
}

impl FromStr for Size {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Size, Failure> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let unit = text[digits.len()..].trim().to_ascii_lowercase();
        let number = digits.parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        let factor = UNITS.iter().find(|(name, _)| *name == unit);
        match (number, factor) {
            (Some(number), Some((_, factor))) => Ok(Size {
                bytes: number * factor,
                text: text.trim().to_owned(),
            }),
            _ => Err(Failure::new(format_args!(
                "{text:?} is not a size, such as 4096, 512KiB, 10MiB or 1.5GB"
            ))),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit that means another number than was written is worse than none.
    #[test]
    fn sizes_mean_what_is_written() {
        for (text, bytes) in [
            ("0", 0.0),
            ("4096", 4096.0),
            ("10MiB", 10_485_760.0),
            ("10 mib", 10_485_760.0),
            ("1.5GB", 1.5e9),
            ("2k", 2048.0),
            ("7B", 7.0),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.bytes, bytes, "{text}");
            assert_eq!(size.to_string(), text);
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1e400",
            "10 parsecs",
            "nan",
            "inf",
            "1,5MB",
            "1MiB/s",
        ] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains("is not a size"), "{error}");
        }
    }
}
