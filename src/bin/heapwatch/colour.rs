//! Colours for what stands out. They are taken out again where no terminal shows them.

use anstyle::{AnsiColor, Style};

const BAD: Style = AnsiColor::Red.on_default().bold();
const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const ASIDE: Style = Style::new().dimmed();

/// Verdicts: what leaks, what grows, what is calm.
pub(crate) fn verdicts(text: &str) -> String {
    lines(text, |line| {
        let (verdict, _) = line.split_once(": ")?;
        match verdict {
            "leaking" | "broken" => Some((BAD, verdict.len())),
            "growing" => Some((DOUBTFUL, verdict.len())),
            "cyclic" | "plateaued" | "stable" | "held" => Some((GOOD, verdict.len())),
            "note" | "dropped" => Some((DOUBTFUL, line.len())),
            _ => None,
        }
    })
}

/// Tables: the rows of a diff that sampling does not explain, and what limits the whole.
pub(crate) fn table(text: &str) -> String {
    lines(text, |line| {
        let change = line.strip_prefix('*').map(str::trim_start);
        match change {
            Some(change) if change.starts_with('+') => {
                Some((BAD, line.len() - change.len() + end(change)))
            }
            Some(change) if change.starts_with('-') => {
                Some((GOOD, line.len() - change.len() + end(change)))
            }
            _ if line.starts_with("note: ") || line.starts_with("dropped: ") => {
                Some((DOUBTFUL, line.len()))
            }
            _ if line.trim_start().starts_with('←') || line.trim_start().starts_with('(') => {
                Some((ASIDE, line.len()))
            }
            _ => None,
        }
    })
}

/// Where the first column ends: two spaces, as one is in `+12 MiB`.
fn end(columns: &str) -> usize {
    columns.find("  ").unwrap_or(columns.len())
}

/// Colours the first bytes of the lines for which `choose` says so.
fn lines(text: &str, choose: impl Fn(&str) -> Option<(Style, usize)>) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        match choose(line) {
            Some((style, length)) => {
                let (front, rest) = line.split_at(length);
                out += &format!("{style}{front}{style:#}{rest}");
            }
            None => out += line,
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Colours must change nothing else, wherever a line is cut.
    #[test]
    fn colours_can_be_taken_out_again() {
        let text =
            "a\n*  +12 MiB   1 to 2 MiB  ü\n*  -3 KiB  x\n          ← b\nnote: c\n\nleaking: d\n";
        for painted in [table(text), verdicts(text)] {
            assert_ne!(painted, text);
            assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text);
        }
        assert!(table(text).contains("+12 MiB\x1b[0m   1 to"));
    }
}
