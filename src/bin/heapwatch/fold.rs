//! Lines that are wider than the terminal, folded between words.

/// Narrower terminals have tables wider than they are, which would be torn.
const LEAST: usize = 40;

/// What is folded lies this much further in, unless the line itself lies further in.
const INDENT: usize = 2;

const UNITS: [&str; 11] = [
    "B", "KiB", "MiB", "GiB", "TiB", "%", "ms", "s", "min", "h", "d",
];

/// Colours take no room, and a number keeps its unit and its error.
pub(crate) fn fold(text: &str, width: usize) -> String {
    let width = width.max(LEAST);
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if room(line) <= width {
            out += line;
        } else {
            let leading = line.len() - line.trim_start().len();
            let indent = if leading > 0 { leading } else { INDENT };
            out += &line[..leading];
            out += &fold_words(&line[leading..], width, (leading, indent)).join("\n");
        }
        out.push('\n');
    }
    out
}

/// Words on as many lines as they need. The first line has so many columns before it; those after it begin
/// with so many.
pub(crate) fn fold_words(
    words: &str,
    width: usize,
    (before, indent): (usize, usize),
) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = before;
    let mut words = words.split(' ').peekable();
    let mut first = true;
    while let Some(word) = words.next() {
        let mut whole = word.to_owned();
        while let Some(next) = words.next_if(|next| belong_together(&whole, next)) {
            whole += " ";
            whole += next;
        }
        if !first && used + 1 + room(&whole) > width {
            lines.push(" ".repeat(indent));
            used = indent;
        } else if !first {
            whole.insert(0, ' ');
        }
        used += room(&whole);
        if let Some(line) = lines.last_mut() {
            *line += &whole;
        }
        first = false;
    }
    lines
}

/// `4.2 MiB ± 0.3`
fn belong_together(before: &str, next: &str) -> bool {
    let unit = next.trim_end_matches([',', ';', ':', ')']);
    let unit = unit.split_once('/').map_or(unit, |(unit, _)| unit);
    let number = before.ends_with(|last: char| last.is_ascii_digit());
    (number && UNITS.contains(&unit)) || before.ends_with('±') || next == "±"
}

/// Columns that a terminal shows it in.
fn room(text: &str) -> usize {
    anstream::adapter::strip_str(text)
        .map(|part| part.chars().count())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is lost, no line is wider than it may be, and no number is parted from its unit.
    #[test]
    fn lines_are_folded_between_words() {
        let text = "note: \x1b[31mlive bytes\x1b[0m rose from 4.2 MiB ± 0.3 to 31 MiB ± 4 over 27 s\n\n\
                    short\n                    (and 612 more, which sampling may explain)\n";
        let folded = fold(text, 40);
        let expected = "note: \x1b[31mlive bytes\x1b[0m rose from 4.2 MiB ± 0.3\n  to 31 MiB ± 4 over 27 s\n\n\
                        short\n                    (and 612 more, which\n                    sampling may\n                    explain)\n";
        assert_eq!(folded, expected);
        assert_eq!(fold(text, 200), text);
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&folded), words(text));
        assert!(folded.lines().all(|line| room(line) <= 40));
    }

    /// A word that is too long is the terminal's to break: as one, it can be copied.
    #[test]
    fn long_words_stay_whole() {
        let name = "leaky_chat::".repeat(8);
        assert_eq!(
            fold(&format!("  in {name} x"), 40),
            format!("  in\n  {name}\n  x\n")
        );
    }
}
