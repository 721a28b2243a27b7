//! A table that can be pasted into a ticket.

use std::fmt;
use std::time::UNIX_EPOCH;

use super::columns::{Column, Numbers, fold};
use super::number;
use crate::analyze::{Amounts, By, Estimate, Row, Sort, Top};
use crate::snapshot::{Info, muted};

/// Least room that a name shortens to.
const SHORTEST: usize = 16;

/// Room for a function and its place on one line, however long they are.
const MUCH: usize = 60;

/// A name and whose it is are on two lines if one line of both would be wider, however much room there is.
const PAIRED: usize = 100;

/// In less room than this the end of a name is worth more than its crate.
const LITTLE: usize = 29;

/// A column of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    First,
    Range,
    /// Instead of both.
    FirstWithError,
    Share,
    Objects,
    Last,
}

impl Column for Number {
    const LAYOUTS: &'static [&'static [Number]] = {
        use Number::{First, FirstWithError, Last, Objects, Range, Share};
        &[
            &[First, Range, Share, Objects, Last],
            &[First, Range, Share, Objects],
            &[First, Range, Share],
            &[FirstWithError, Share],
            &[FirstWithError],
        ]
    };
    const NAMES: usize = 40;
    const GAP: usize = 3;

    fn width(self) -> usize {
        match self {
            Number::First => 9,
            Number::Range | Number::FirstWithError => 18,
            Number::Share | Number::Objects => 8,
            Number::Last => 10,
        }
    }
}

impl fmt::Display for Top<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        muted(|| self.text(f))
    }
}

impl Top<'_> {
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        writeln!(
            f,
            "heap by {}, {}, {}",
            self.by(),
            order(self.order()),
            moment(self.info())
        )?;
        header(f, self.info(), &total)?;
        for missing in self.missing_names() {
            writeln!(f, "note: {missing}")?;
        }
        if self.order() == Sort::Growth {
            writeln!(f, "{}", growth_line(self))?;
        }
        writeln!(f)?;
        let numbers = Numbers::within(self.columns());
        let room = self.columns() - numbers.width();
        let heading = numbers.line(|column| heading(column, self.order()).to_owned());
        writeln!(f, "{heading}{}", noun(self.by()))?;
        for row in self.rows() {
            let growth = row.growth_bytes_per_second.as_ref();
            let text = |column| text(column, &row.amounts, growth, self);
            let label = label(&row, self.by(), room);
            named(f, numbers.line(text), label)?;
        }
        if self.hidden() > 0 {
            let other = format!(
                "(other: {} more{})",
                number::thousands(self.hidden() as u64),
                if self.by() == By::Task {
                    ", all that is no task among them"
                } else {
                    ""
                }
            );
            let amounts = self.other();
            let text = |column| text(column, &amounts, None, self);
            named(f, numbers.line(text), fold(&other, room))?;
        }
        Ok(())
    }
}

/// Numbers, and beside them a name on one or more lines.
pub(super) fn named(
    f: &mut fmt::Formatter<'_>,
    numbers: String,
    label: Vec<String>,
) -> fmt::Result {
    let indent = " ".repeat(numbers.chars().count());
    let starts = std::iter::once(numbers).chain(std::iter::repeat(indent));
    for (start, line) in starts.zip(label) {
        writeln!(f, "{start}{line}")?;
    }
    Ok(())
}

fn order(sort: Sort) -> &'static str {
    match sort {
        Sort::Live => "most live bytes first",
        Sort::Growth => "fastest growth first",
        Sort::Allocated => "most allocated bytes first",
    }
}

/// What the growth of a row is, or why it is not known.
fn growth_line(top: &Top<'_>) -> String {
    match top.watched_seconds() {
        None => {
            "growth is not known: nobody watches; heapwatch::watch and heapwatch::serve do".into()
        }
        Some(seconds) => format!(
            "growth is the slope of live bytes over the last two thirds of {} of watch",
            number::duration(seconds)
        ),
    }
}

/// What holds for the whole snapshot, and what limits it.
fn header(f: &mut fmt::Formatter<'_>, info: &Info, total: &Amounts) -> fmt::Result {
    let sites = number::thousands(total.sites as u64);
    let counted = match info.known(info.samples) {
        Some(samples) => format!("{} samples at {sites} sites", number::thousands(samples)),
        None => format!("{sites} sites"),
    };
    writeln!(f, "{}, {counted}", process(info))?;
    if !info.nothing_sampled() {
        sums(f, total)?;
    }
    writeln!(f, "{}", unseen(info))?;
    for dropped in &info.dropped {
        writeln!(
            f,
            "dropped: {} samples ({})",
            number::thousands(dropped.samples),
            dropped.reason
        )?;
    }
    for note in &info.notes {
        writeln!(f, "note: {note}")?;
    }
    Ok(())
}

fn sums(f: &mut fmt::Formatter<'_>, total: &Amounts) -> fmt::Result {
    for (name, bytes, objects) in [
        ("live     ", &total.live_bytes, &total.live_objects),
        (
            "allocated",
            &total.allocated_bytes,
            &total.allocated_objects,
        ),
        ("freed    ", &total.freed_bytes, &total.freed_objects),
    ] {
        writeln!(
            f,
            "{name} {} in {} objects",
            number::bytes_with_error(bytes),
            number::count_with_error(objects)
        )?;
    }
    Ok(())
}

/// When a snapshot was taken.
pub(super) fn moment(info: &Info) -> String {
    match info.error_bars || info.taken != UNIX_EPOCH {
        true => number::date(info.taken),
        false => "time unknown".to_owned(),
    }
}

/// `watched 2 h 5 min (pid 4242), a sample every 512 KiB`, as far as it is known.
pub(super) fn process(info: &Info) -> String {
    let watched = info.known(info.watched_seconds).map(number::duration);
    let process = match (watched, info.known(info.pid)) {
        (Some(watched), Some(pid)) => format!("watched {watched} (pid {pid}), "),
        (Some(watched), None) => format!("watched {watched}, "),
        (None, Some(pid)) => format!("pid {pid}, "),
        (None, None) => String::new(),
    };
    process + &sampling(info)
}

fn sampling(info: &Info) -> String {
    if !info.error_bars {
        return "a pprof profile".to_owned();
    }
    match info.interval_bytes {
        0 if info.nothing_sampled() => "nothing is sampled".to_owned(),
        0 => "sampling is off".to_owned(),
        1 => "every allocation counted".to_owned(),
        interval => format!("a sample every {}", number::exact_bytes(interval as f64)),
    }
}

/// What the numbers cannot tell, in a sentence.
pub(super) fn unseen(info: &Info) -> String {
    if !info.error_bars {
        return "this profile does not tell how far its numbers may be off".to_owned();
    }
    if info.nothing_sampled() {
        return "nothing was sampled, so nothing is known".to_owned();
    }
    if info.was_off {
        return "sampling was off for a while: what was allocated then is in no number".to_owned();
    }
    let since = match info.live_interval() < info.largest_interval_bytes {
        true => ", of what was allocated since the interval became smaller",
        false => "",
    };
    match info.live_interval() {
        1 => format!("all numbers are exact{since}"),
        interval => format!(
            "intervals are 95 %; a call site that no sample met holds less than {}{since}",
            number::exact_bytes(3.0 * interval as f64)
        ),
    }
}

fn heading(column: Number, sort: Sort) -> &'static str {
    match (column, sort) {
        (Number::First | Number::FirstWithError, Sort::Live) => "live",
        (Number::First | Number::FirstWithError, Sort::Growth) => "a minute",
        (Number::First | Number::FirstWithError, Sort::Allocated) => "allocated",
        (Number::Range, _) => "95 % interval",
        (Number::Share, _) => "share",
        (Number::Objects, _) => "objects",
        (Number::Last, Sort::Live) => "allocated",
        (Number::Last, Sort::Growth | Sort::Allocated) => "live",
    }
}

/// What stands at the head of a table's names.
pub(super) fn noun(by: By) -> &'static str {
    match by {
        By::Site => "call site",
        By::Function => "function",
        By::Crate => "crate",
        By::Type => "type",
        By::Task => "task",
    }
}

fn text(column: Number, amounts: &Amounts, growth: Option<&Estimate>, top: &Top<'_>) -> String {
    let sort = top.order();
    if sort == Sort::Growth {
        let a_minute = growth.map(|rate| Estimate {
            estimate: rate.estimate * 60.0,
            low: rate.low * 60.0,
            high: rate.high * 60.0,
        });
        let or_none = |text: fn(&Estimate) -> String| a_minute.as_ref().map_or("-".into(), text);
        return match column {
            Number::First => or_none(number::bytes_change),
            Number::Range => or_none(number::bytes_change_range),
            Number::FirstWithError => or_none(number::bytes_change_with_error),
            Number::Share => share_text(amounts.live_share, &amounts.live_bytes),
            Number::Objects => number::count(&amounts.live_objects),
            Number::Last => number::bytes(&amounts.live_bytes),
        };
    }
    let (bytes, objects, share, last) = match sort {
        Sort::Allocated => (
            &amounts.allocated_bytes,
            &amounts.allocated_objects,
            amounts.allocated_share,
            &amounts.live_bytes,
        ),
        _ => (
            &amounts.live_bytes,
            &amounts.live_objects,
            amounts.live_share,
            &amounts.allocated_bytes,
        ),
    };
    match column {
        Number::First => number::bytes(bytes),
        Number::Range if !top.info().error_bars => "unknown".to_owned(),
        Number::Range => number::bytes_range(bytes),
        Number::FirstWithError => number::bytes_with_error(bytes),
        Number::Share => share_text(share, bytes),
        Number::Objects => number::count(objects),
        Number::Last => number::bytes(last),
    }
}

fn share_text(share: f64, part: &Estimate) -> String {
    number::percent(share, share_error(share, part))
}

/// The error of a share is that of the part; the whole is known much better.
fn share_error(share: f64, part: &Estimate) -> f64 {
    if part.estimate > 0.0 {
        share * part.half_width() / part.estimate
    } else {
        0.0
    }
}

/// `bytes::BytesMut::reserve (bytes 1.10.1) ← chat::decode (src/chat.rs:88)`, in lines of `width`;
/// a function and its place are on one line where there is much room.
fn label(row: &Row<'_>, by: By, width: usize) -> Vec<String> {
    let package = match row.version {
        Some(version) => format!("{} {version}", row.krate),
        None => row.krate.clone(),
    };
    let Some(function) = &row.function else {
        return vec![cut(&package, width)];
    };
    let place = match (&row.location, row.version) {
        (Some(location), None) if row.own_function.is_none() => location.clone(),
        _ => package,
    };
    let placed = |function: &str, place: &str, room| match width >= MUCH {
        true => vec![with_place(function, place, room)],
        false => over_lines(function, place, room),
    };
    let own = |own| placed(own, row.own_location.as_deref().unwrap_or(""), width - 2);
    if let Some(name) = name(by, row.allocated_type.as_deref(), row.task.as_deref()) {
        let caller = match row.own_function {
            Some(function) => own(function),
            None => placed(function, &place, width - 2),
        };
        return pair(vec![cut(name, width)], caller, width);
    }
    let call_site = placed(function, &place, width);
    match row.own_function {
        Some(function) => pair(call_site, own(function), width),
        None => call_site,
    }
}

/// What names a row by type and task, and stands where there is no name.
pub(super) fn name<'r>(by: By, ty: Option<&'r str>, task: Option<&'r str>) -> Option<&'r str> {
    match by {
        By::Type => Some(ty.unwrap_or("[type not known]")),
        By::Task => Some(task.unwrap_or("[no task]")),
        By::Site | By::Function | By::Crate => None,
    }
}

/// A name and whose it is, on one line if both fit.
fn pair(mut name: Vec<String>, caller: Vec<String>, width: usize) -> Vec<String> {
    if let ([name], [caller]) = (&*name, &*caller) {
        let one_line = format!("{name} ← {caller}");
        if one_line.chars().count() <= width.min(PAIRED) {
            return vec![one_line];
        }
    }
    name.extend(marked(caller));
    name
}

/// Whose it is, below the name.
pub(super) fn marked(caller: Vec<String>) -> impl Iterator<Item = String> {
    let marks = std::iter::once("← ").chain(std::iter::repeat("  "));
    marks
        .zip(caller)
        .map(|(mark, line)| mark.to_owned() + &line)
}

/// `chat::decode (src/chat.rs:88)`, the function shortened to fit.
pub(super) fn with_place(function: &str, place: &str, width: usize) -> String {
    // Code without names is shown as `file+0xoffset`.
    if place.is_empty() || function.starts_with(place) {
        return cut(function, width);
    }
    let place = format!(" ({})", shorten(place, width - SHORTEST - 3));
    let room = width.saturating_sub(place.chars().count());
    shorten(function, room) + &place
}

/// A function on one line with its place, or with the place on a second if it would be cut for it.
pub(super) fn over_lines(function: &str, place: &str, width: usize) -> Vec<String> {
    let least = without_details(function).chars().count() + place.chars().count();
    if place.is_empty() || function.starts_with(place) || least + 3 <= width {
        return vec![with_place(function, place, width)];
    }
    // A place is told by its end.
    vec![cut(function, width), format!("({})", end(place, width - 2))]
}

fn end(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = text.chars().skip(length - width.saturating_sub(1));
    ['…'].into_iter().chain(kept).collect()
}

/// Shortened to fit, to its end where there is little room.
pub(super) fn cut(name: &str, width: usize) -> String {
    if width < LITTLE && name.chars().count() > width {
        end(&without_details(name), width)
    } else {
        shorten(name, width)
    }
}

/// `Cell::new<chat::run::{async_fn_env#0}, u8>` → `Cell::new<…>`; the type in front of `<T as Trait>`
/// stays.
fn without_details(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut level = 0;
    let mut previous = ' ';
    for c in name.chars() {
        let opens = c == '<' && !out.is_empty();
        let closes = c == '>' && level > 0 && previous != '-';
        if opens && level == 0 {
            out.push_str("<…");
        }
        level += i32::from(opens) - i32::from(closes);
        if level == 0 {
            out.push(c);
        }
        previous = c;
    }
    out
}

/// Leaves generic arguments out, and if that is not enough cuts the middle: the crate at the front and
/// the name at the end tell most.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let text = without_details(text);
    let length = text.chars().count();
    if length <= width {
        return text;
    }
    let kept = width.saturating_sub(1);
    let front = kept / 2;
    let start = text.chars().take(front);
    let end = text.chars().skip(length - (kept - front));
    start.chain(['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 120;
    use crate::report::golden;
    use crate::snapshot::Snapshot;
    use crate::snapshot::testing::{Builder, dependency, frame, own, sample};

    fn lines_fit(text: &str) {
        for line in text.lines().filter(|line| !line.starts_with("note: ")) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }

    /// The text that people paste: any change to it is to be looked at.
    #[test]
    fn tables_are_as_agreed() {
        let snapshot = sample();
        let text = [
            snapshot.top(By::Site),
            snapshot.top(By::Function).sort(Sort::Allocated).limit(4),
            snapshot.top(By::Crate).limit(2),
        ]
        .map(|top| top.width(WIDTH).to_string())
        .join("\n");
        lines_fit(&text);
        golden::check("top.txt", &text);
    }

    /// The numbers that stay in a narrow table are whole, and names are told by their ends.
    #[test]
    fn narrow_tables_are_as_agreed() {
        let snapshot = sample();
        let top = |by, width| snapshot.top(by).width(width).to_string();
        let tables = [40, 60, 80, 99].map(|width| top(By::Site, width));
        golden::check("top_narrow.txt", &tables.join("\n"));
        for by in By::all() {
            for width in 40..=120 {
                let text = top(by, width);
                let table = text.lines().skip_while(|line| !line.ends_with(noun(by)));
                for line in table {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
            }
        }
    }

    fn one_site(function: &str, file: &str) -> Snapshot {
        let mut builder = Builder::new();
        let call = builder.location(
            1,
            &[frame(function, file, 7, dependency("bytes", "1.10.1"))],
        );
        let own = builder.location(
            2,
            &[frame(
                &function.replace("bytes", "chat"),
                file,
                9,
                own("chat"),
            )],
        );
        builder.site(1, &[call, own], &[1e12], 0);
        builder.build()
    }

    /// Generic names run to hundreds of characters; a table of some width must not, and one for a file must not lose
    /// any of them.
    #[test]
    fn long_names_are_cut_in_the_middle() {
        let name = format!(
            "bytes::Buffer<{}>::reserve",
            "(u64, alloc::string::String), ".repeat(20)
        );
        let path = format!("src/{}/decode.rs", "very/".repeat(30));
        let snapshot = one_site(&name, &path);
        let whole = snapshot.top(By::Site).to_string();
        assert!(whole.contains(&name) && whole.contains(&path), "{whole}");
        let text = snapshot.top(By::Site).width(WIDTH).to_string();
        lines_fit(&text);
        assert!(
            text.contains("bytes::Buffer<…>::reserve (bytes 1.10.1)"),
            "{text}"
        );
        assert!(
            text.contains("\u{2190} chat::") && text.contains("decode.rs:9)"),
            "{text}"
        );
    }

    /// The function's own name is what is looked for; brackets that close nothing must do no harm.
    #[test]
    fn generic_arguments_go_first() {
        for (name, expected) in [
            ("a::Cell::new<b::C<d>, e>", "a::Cell::new<…>"),
            ("<a::B<c> as d::E>::f<g>", "<a::B<…> as d::E>::f<…>"),
            ("a::f<fn(u8) -> b>::g", "a::f<…>::g"),
            ("a->b>", "a->b>"),
            ("a<b", "a<…"),
        ] {
            assert_eq!(without_details(name), expected);
        }
    }

    /// What switches sampling off or makes it exact must be said.
    #[test]
    fn header_says_what_the_interval_means() {
        let with = |interval, largest| {
            let builder = Builder::new().info(|info| {
                info.interval_bytes = interval;
                info.largest_interval_bytes = largest;
            });
            builder.build().top(By::Site).to_string()
        };
        assert!(with(1, 1).contains("every allocation counted"));
        assert!(with(1, 1).contains("all numbers are exact"));
        assert!(with(0, 0).contains("nothing was sampled"));
        assert!(with(65_536, 65_536).contains("less than 192 KiB"));
    }

    /// Without a sample there is no number to give: "0 B ± 1.9 MiB" would be an invention, and so would a
    /// bound.
    #[test]
    fn header_has_no_numbers_where_nothing_was_sampled() {
        let builder = Builder::new().info(|info| {
            info.interval_bytes = 0;
            info.largest_interval_bytes = 0;
        });
        let table = builder.build().top(By::Site).to_string();
        for invented in ["every", "less than", "95 %; ", "±", "0 B"] {
            assert!(!table.contains(invented), "{invented}: {table}");
        }
    }

    /// What is known of the time since the interval became smaller is not made vague by what was
    /// before, and nothing is claimed of that.
    #[test]
    fn header_tells_the_bound_of_what_is_live() {
        let builder = Builder::new().info(|info| {
            info.interval_bytes = 4_096;
            info.live_interval_bytes = 4_096;
        });
        let table = builder.build().top(By::Site).to_string();
        let bound = "less than 12 KiB, of what was allocated since the interval became smaller";
        assert!(table.contains(bound), "{table}");
    }

    /// Nothing is exact, and nothing bounded, if it was allocated while nobody looked.
    #[test]
    fn header_says_that_sampling_was_off() {
        for interval in [0, 1, 65_536] {
            let builder = Builder::new().info(|info| {
                info.interval_bytes = interval;
                info.largest_interval_bytes = interval.max(1);
                info.was_off = true;
            });
            let table = builder.build().top(By::Site).to_string();
            assert!(table.contains("in no number"), "{table}");
            assert!(
                !table.contains("exact") && !table.contains("less than"),
                "{table}"
            );
        }
    }
}
