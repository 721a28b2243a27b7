//! A table of what changed, for a ticket.

use std::fmt;

use super::columns::{Column, Numbers, fold};
use super::number;
use super::text::{cut, marked, moment, name, named, noun, over_lines, process, unseen};
use crate::analyze::{By, Change, Diff, MatchedBy};
use crate::snapshot::{Info, muted};

/// A column of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    /// After the mark of a row that is significant.
    Change,
    Range,
    /// Instead of both.
    ChangeWithError,
    Objects,
    Live,
    Freed,
    Age,
}

impl Column for Number {
    const LAYOUTS: &'static [&'static [Number]] = {
        use Number::{Age, Change, ChangeWithError, Freed, Live, Objects, Range};
        &[
            &[Change, Range, Objects, Live, Freed, Age],
            &[Change, Range, Objects, Live, Age],
            &[Change, Range, Objects, Live],
            &[Change, Range, Live],
            &[ChangeWithError, Live],
            &[ChangeWithError],
        ]
    };
    const NAMES: usize = 31;
    const GAP: usize = 2;

    fn width(self) -> usize {
        match self {
            Number::Change => 11,
            Number::Range => 20,
            Number::ChangeWithError => 19,
            Number::Objects | Number::Live | Number::Freed => 8,
            Number::Age => 7,
        }
    }
}

impl fmt::Display for Diff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        muted(|| self.text(f))
    }
}

impl Diff<'_> {
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "heap diff by {}, significant growth first", self.group())?;
        header(f, self)?;
        writeln!(f)?;
        let name = noun(self.group());
        let numbers = Numbers::within(self.columns());
        let room = self.columns() - numbers.width();
        writeln!(
            f,
            "{}{name}",
            numbers.line(|column| heading(column).to_owned())
        )?;
        let rows = shown(self);
        for row in rows {
            let label = label(row, self.group(), room);
            named(f, numbers.line(|column| text(column, row)), label)?;
        }
        let hidden = &self.all_rows()[rows.len()..];
        if !hidden.is_empty() {
            let count = number::thousands(hidden.len() as u64);
            let why = match hidden.iter().any(|row| row.significant != Some(false)) {
                true => "",
                false => ", which sampling may explain",
            };
            let more = fold(&format!("(and {count} more{why})"), room);
            named(f, numbers.line(|_| String::new()), more)?;
        }
        if self.error_bars() {
            writeln!(
                f,
                "\n* more than sampling explains (of the rows so marked, at most 5 % are expected to be wrong)"
            )?;
        }
        Ok(())
    }
}

/// The rows to show: of those that sampling may explain, a few are enough to see what they are like.
fn shown<'d, 's>(diff: &'d Diff<'s>) -> &'d [Change<'s>] {
    let rows = diff.rows();
    let uncertain = |row: &Change<'_>| row.significant == Some(false);
    let certain = rows.iter().take_while(|row| !uncertain(row)).count();
    let few = rows.len().div_ceil(4);
    &rows[..rows.len().min(certain + few)]
}

fn header(f: &mut fmt::Formatter<'_>, diff: &Diff<'_>) -> fmt::Result {
    let (earlier, later) = (diff.earlier().info(), diff.later().info());
    for (word, info) in [("from", earlier), ("to  ", later)] {
        writeln!(f, "{word} {}, {}", moment(info), process(info))?;
    }
    writeln!(
        f,
        "{}",
        kinship(diff, later.watched_seconds - earlier.watched_seconds)
    )?;
    let total = diff.total();
    writeln!(
        f,
        "live      {}, {} objects",
        number::bytes_change_with_error(&total.live_bytes),
        number::count_change_with_error(&total.live_objects)
    )?;
    for (word, bytes, objects) in [
        (
            "allocated",
            &total.allocated_bytes,
            &total.allocated_objects,
        ),
        ("freed    ", &total.freed_bytes, &total.freed_objects),
    ] {
        if let (Some(bytes), Some(objects)) = (bytes, objects) {
            writeln!(
                f,
                "{word} {} in {} objects",
                number::bytes_with_error(bytes),
                number::count_with_error(objects)
            )?;
        }
    }
    writeln!(f, "{}", verdict(diff))?;
    limits(f, earlier, later)
}

/// Why the errors are what they are.
fn kinship(diff: &Diff<'_>, seconds: f64) -> String {
    if diff.same_process() {
        let back = match seconds < 0.0 {
            true => ", back in time",
            false => "",
        };
        return format!(
            "one process, {} apart{back}: only what was born and died in between is uncertain",
            number::duration(seconds.abs())
        );
    }
    let percent = |share: f64| (share * 100.0).floor();
    let names = match diff.share_by_names() {
        share if share >= 0.01 => format!(", {} % by their functions' names", percent(share)),
        _ => String::new(),
    };
    let matched = percent(diff.matched_share());
    format!("two processes: {matched} % of live bytes are at sites found in both{names}")
}

fn verdict(diff: &Diff<'_>) -> String {
    if !diff.error_bars() {
        return "no error is known of at least one of the two, so none is told".to_owned();
    }
    let count = |grown: bool| {
        let significant = diff.all_rows().iter().filter(|row| {
            row.significant == Some(true) && (row.live_bytes.estimate > 0.0) == grown
        });
        number::thousands(significant.count() as u64)
    };
    format!(
        "of {} rows, {} grew and {} shrank more than sampling explains",
        number::thousands(diff.all_rows().len() as u64),
        count(true),
        count(false)
    )
}

fn limits(f: &mut fmt::Formatter<'_>, earlier: &Info, later: &Info) -> fmt::Result {
    if earlier.error_bars && later.error_bars {
        let knows_less = if sees_less(earlier) > sees_less(later) {
            earlier
        } else {
            later
        };
        writeln!(f, "{}", unseen(knows_less))?;
    }
    for dropped in &later.dropped {
        let samples = number::thousands(dropped.samples);
        writeln!(f, "dropped: {samples} samples ({})", dropped.reason)?;
    }
    for note in &later.notes {
        writeln!(f, "note: {note}")?;
    }
    Ok(())
}

/// How much may be missing from a snapshot: the more, the larger.
fn sees_less(info: &Info) -> (bool, u64) {
    (info.was_off, info.largest_interval_bytes)
}

fn heading(column: Number) -> &'static str {
    match column {
        Number::Change | Number::ChangeWithError => "change",
        Number::Range => "95 % interval",
        Number::Objects => "objects",
        Number::Live => "live",
        Number::Freed => "freed",
        Number::Age => "age",
    }
}

fn text(column: Number, row: &Change<'_>) -> String {
    let change = |text: String| {
        let mark = if row.significant == Some(true) {
            "*"
        } else {
            ""
        };
        format!("{mark:1}{text:>0$}", column.width() - 1)
    };
    match column {
        Number::Change => change(number::bytes_change(&row.live_bytes)),
        Number::ChangeWithError => change(number::bytes_change_with_error(&row.live_bytes)),
        Number::Range => match row.significant {
            Some(_) => number::bytes_change_range(&row.live_bytes),
            None => "unknown".to_owned(),
        },
        Number::Objects => number::count_change(&row.live_objects),
        Number::Live => number::bytes(&row.after_bytes),
        Number::Freed => {
            let freed = row.freed_bytes.as_ref();
            freed.map_or("-".to_owned(), number::bytes)
        }
        Number::Age => match row.median_age_seconds {
            Some(seconds) => format!(">{}", short(seconds)),
            None => "-".to_owned(),
        },
    }
}

/// One unit is enough for an age that is known to a factor of two.
fn short(seconds: f64) -> String {
    for (unit, size) in [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)] {
        if seconds >= size {
            return format!("{:.0} {unit}", (seconds / size).floor());
        }
    }
    format!("{:.0} ms", (seconds * 1e3).floor())
}

fn label(row: &Change<'_>, by: By, width: usize) -> Vec<String> {
    let state = match (row.new, row.vanished) {
        (true, false) => "new: ",
        (false, true) => "gone: ",
        _ => "",
    };
    let width = width - state.len();
    let package = match row.version {
        Some(version) => format!("{} {version}", row.krate),
        None => row.krate.clone(),
    };
    let Some(function) = &row.function else {
        return vec![state.to_owned() + &cut(&package, width)];
    };
    if let Some(name) = name(by, row.allocated_type.as_deref(), row.task.as_deref()) {
        return vec![state.to_owned() + &cut(name, width)];
    }
    let place = match (&row.location, row.version) {
        (Some(location), None) if row.own_function.is_none() => location,
        _ => &package,
    };
    let mut lines = over_lines(function, place, width);
    lines[0].insert_str(0, state);
    if let Some(own) = row.own_function {
        let location = row.own_location.as_deref().unwrap_or("");
        let own = over_lines(own, location, width - 2);
        lines.extend(marked(own));
    }
    if let (By::Site, Some(by)) = (by, kinship_of_stacks(row)) {
        lines.extend(fold(&by, width));
    }
    lines
}

/// What is to be known of a row that was not found by its address, or is several stacks.
fn kinship_of_stacks(row: &Change<'_>) -> Option<String> {
    let by = match row.matched_by? {
        MatchedBy::Address | MatchedBy::Names => "all names",
        MatchedBy::Calls => "names outside std",
        MatchedBy::OwnFrames => "own functions",
        MatchedBy::CallSite => "own function and call site",
    };
    let stacks = (row.before_stacks, row.after_stacks);
    let several = stacks.0 > 1 || stacks.1 > 1;
    if several {
        return Some(format!(
            "{} stacks → {}, matched by {by}",
            stacks.0, stacks.1
        ));
    }
    (row.matched_by > Some(MatchedBy::Names)).then(|| format!("matched by {by}"))
}

#[cfg(test)]
mod tests {
    use crate::analyze::By;
    use crate::report::golden;
    use crate::snapshot::testing::grown;

    /// One of two runs that was not sampled all the time leaves the difference without a bound.
    #[test]
    fn it_says_that_sampling_was_off_in_either() {
        let (before, after) = grown();
        let mut gappy = before.clone();
        gappy.info.was_off = true;
        gappy.info.largest_interval_bytes = 1;
        gappy.info.profile_id = 7;
        for text in [
            gappy.diff(&after).to_string(),
            after.diff(&gappy).to_string(),
        ] {
            assert!(text.contains("sampling was off for a while"), "{text}");
            assert!(!text.contains("holds less than"), "{text}");
        }
    }

    /// The text that people paste: any change to it is to be looked at.
    #[test]
    fn tables_are_as_agreed() {
        let (before, after) = grown();
        let mut restarted = after.clone();
        restarted.info.profile_id = 7;
        restarted.info.pid = 4343;
        let mut foreign = after.clone();
        foreign.info.error_bars = false;
        let text = [
            before.diff(&after),
            before.diff(&restarted).by(By::Function).limit(2),
            before.diff(&foreign).by(By::Crate),
        ]
        .map(|diff| diff.width(120).to_string())
        .join("\n");
        for line in text.lines().filter(|line| !line.starts_with("note: ")) {
            assert!(line.chars().count() <= 120, "{line}");
        }
        golden::check("diff.txt", &text);
    }

    /// The numbers that stay in a narrow table are whole, and names are told by their ends.
    #[test]
    fn narrow_tables_are_as_agreed() {
        let (before, after) = grown();
        let diff = before.diff(&after);
        let tables = [40, 60, 80, 99].map(|width| diff.clone().width(width).to_string());
        golden::check("diff_narrow.txt", &tables.join("\n"));
        for width in 40..=120 {
            let text = diff.clone().width(width).to_string();
            let table = text.lines().skip_while(|line| !line.ends_with("call site"));
            for line in table.take_while(|line| !line.is_empty()) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}
