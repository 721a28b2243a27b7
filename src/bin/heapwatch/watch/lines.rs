//! The rows of the table: what a snapshot has, and what changed since the mark.

use std::cmp::Ordering;
use std::collections::HashMap;

use heapwatch::Snapshot;
use heapwatch::growth::Growth;
use heapwatch::report::{By, Change, Estimate, Row, Sort};
use heapwatch::snapshot::Frame;

/// Longer names lose their generic arguments.
const LONG_NAME: usize = 60;

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Tells rows apart, also from one snapshot to the next.
    pub(super) key: String,
    pub(super) name: String,
    /// Source file and line.
    pub(super) location: Option<String>,
    /// The innermost function in the user's own code, where it is another, with its place.
    pub(super) own: Option<String>,
    /// What the filter finds too, though it is not shown: the type and the task, where the stack
    /// tells them.
    kinds: Vec<String>,
    pub(super) live: Estimate,
    pub(super) objects: Estimate,
    pub(super) allocated: Estimate,
    /// Since the mark, where there is one.
    pub(super) change: Option<Moved>,
    /// Where it is said to leak or to grow.
    pub(super) verdict: Option<&'static str>,
    /// Innermost first; empty unless the row is one site.
    pub(super) frames: Vec<String>,
}

/// A change of live bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub(super) bytes: Estimate,
    /// Whether it is more than sampling explains.
    pub(super) significant: bool,
}

/// What rows are ordered by, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Live,
    Change,
    Objects,
    Allocated,
    Name,
}

impl Order {
    const ALL: [Order; 5] = [
        Order::Live,
        Order::Change,
        Order::Objects,
        Order::Allocated,
        Order::Name,
    ];

    pub(super) fn next(self) -> Order {
        let place = Order::ALL.iter().position(|order| *order == self);
        let next = place.map_or(0, |place| (place + 1) % Order::ALL.len());
        Order::ALL.get(next).copied().unwrap_or(self)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Order::Live => "live bytes",
            Order::Change => "change since the mark",
            Order::Objects => "live objects",
            Order::Allocated => "allocated bytes",
            Order::Name => "name",
        }
    }

    fn compare(self, a: &Line, b: &Line) -> Ordering {
        let most = |of: fn(&Line) -> f64| of(b).total_cmp(&of(a));
        let order = match self {
            Order::Live => most(|line| line.live.estimate),
            Order::Objects => most(|line| line.objects.estimate),
            Order::Allocated => most(|line| line.allocated.estimate),
            // What is no more than noise comes after what is not.
            Order::Change => most(|line| f64::from(line.moves()))
                .then_with(|| most(|line| line.change.map_or(0.0, |change| change.bytes.estimate))),
            Order::Name => a.name.cmp(&b.name),
        };
        order.then_with(|| a.key.cmp(&b.key))
    }
}

impl Line {
    /// 1 where it grew, −1 where it shrank, 0 where nobody can tell.
    fn moves(&self) -> i8 {
        match self.change {
            Some(change) if change.significant && change.bytes.estimate > 0.0 => 1,
            Some(change) if change.significant => -1,
            _ => 0,
        }
    }

    /// Whether any of its names has this in it; capital letters or not.
    fn has(&self, lowercase: &str) -> bool {
        let names = [Some(&self.name), self.location.as_ref(), self.own.as_ref()];
        let names = names.into_iter().flatten();
        let mut all = names.chain(&self.kinds).chain(&self.frames);
        all.any(|name| name.to_lowercase().contains(lowercase))
    }
}

/// All rows of a snapshot, in no order that counts.
pub(super) fn lines(
    snapshot: &Snapshot,
    mark: Option<&Snapshot>,
    by: By,
    alarms: &[Growth],
) -> Vec<Line> {
    let diff = mark.map(|mark| mark.diff(snapshot).by(by).limit(usize::MAX));
    let changes: HashMap<String, Moved> = diff
        .iter()
        .flat_map(|diff| diff.rows())
        .map(|change| (key_of_change(change, by), moved(change)))
        .collect();
    // By what was allocated, so that what is no longer there has a row too.
    let top = snapshot.top(by).sort(Sort::Allocated).limit(usize::MAX);
    let rows = top.rows().into_iter();
    rows.map(|row| line(&row, by, mark.is_some(), &changes, alarms))
        .filter(|line| line.live.estimate > 0.0 || line.moves() != 0)
        .collect()
}

/// Puts the rows in order, and says which of them have all words of the filter.
pub(super) fn arrange(lines: &mut [Line], order: Order, filter: &str) -> Vec<usize> {
    lines.sort_by(|a, b| order.compare(a, b));
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    let found = |(_, line): &(usize, &Line)| words.iter().all(|word| line.has(word));
    let shown = lines.iter().enumerate().filter(found);
    shown.map(|(place, _)| place).collect()
}

fn line(
    row: &Row<'_>,
    by: By,
    marked: bool,
    changes: &HashMap<String, Moved>,
    alarms: &[Growth],
) -> Line {
    let (ty, task) = (row.allocated_type.as_deref(), row.task.as_deref());
    let key = match row.id {
        Some(id) => format!("{id:016x}"),
        None => kind(by, ty, task)
            .map(str::to_owned)
            .unwrap_or_else(|| key(row.function.as_deref(), &row.krate, row.version)),
    };
    let nothing = Moved {
        bytes: Estimate::exact(0.0),
        significant: false,
    };
    let change = marked.then(|| changes.get(&key).copied().unwrap_or(nothing));
    let krate = match row.version {
        Some(version) => format!("{} {version}", row.krate),
        None => row.krate.clone(),
    };
    Line {
        change,
        verdict: verdict(row, by, alarms),
        name: kind(by, ty, task)
            .or(row.function.as_deref())
            .map_or(krate, short),
        kinds: [ty, task]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect(),
        location: row.location.clone(),
        own: row
            .own_function
            .map(|own| place(&short(own), row.own_location.as_deref())),
        live: row.amounts.live_bytes,
        objects: row.amounts.live_objects,
        allocated: row.amounts.allocated_bytes,
        frames: row.frames.iter().map(|frame| frame_text(frame)).collect(),
        key,
    }
}

fn frame_text(frame: &Frame) -> String {
    let function = short(&frame.function);
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{function}  {file}:{line}"),
        (Some(file), None) => format!("{function}  {file}"),
        _ => function,
    }
}

/// A name that fits: of a long one the generic arguments go, but not the `<T as Trait>` in front.
fn short(name: &str) -> String {
    if name.chars().count() <= LONG_NAME {
        return name.to_owned();
    }
    let mut short = String::new();
    let mut depth = 0_usize;
    let mut before = ' ';
    for letter in name.chars() {
        let arguments = letter == '<' && (before.is_alphanumeric() || before == '_');
        if letter == '<' && (depth > 0 || arguments) {
            depth += 1;
            if depth == 1 {
                short.push_str("<…");
            }
        } else if letter == '>' && depth > 0 && before != '-' {
            depth -= 1;
        }
        if depth == 0 {
            short.push(letter);
        }
        before = letter;
    }
    short
}

fn place(function: &str, location: Option<&str>) -> String {
    match location {
        Some(location) => format!("{function} ({location})"),
        None => function.to_owned(),
    }
}

/// What names a row by type or task.
fn kind<'r>(by: By, ty: Option<&'r str>, task: Option<&'r str>) -> Option<&'r str> {
    match by {
        By::Type => Some(ty.unwrap_or("[type not known]")),
        By::Task => Some(task.unwrap_or("[no task]")),
        _ => None,
    }
}

fn key_of_change(change: &Change<'_>, by: By) -> String {
    let (ty, task) = (change.allocated_type.as_deref(), change.task.as_deref());
    match change.id {
        Some(id) => format!("{id:016x}"),
        None => kind(by, ty, task).map(str::to_owned).unwrap_or_else(|| {
            let function = change.function.as_deref();
            key(function, &change.krate, change.version)
        }),
    }
}

fn key(function: Option<&str>, krate: &str, version: Option<&str>) -> String {
    let (function, version) = (function.unwrap_or_default(), version.unwrap_or_default());
    format!("{function} {krate} {version}")
}

fn moved(change: &Change<'_>) -> Moved {
    Moved {
        bytes: change.live_bytes,
        significant: change.significant.unwrap_or(false),
    }
}

/// The alarm about the row's site, function, type or task.
fn verdict(row: &Row<'_>, by: By, alarms: &[Growth]) -> Option<&'static str> {
    let found = alarms.iter().find(|growth| match by {
        By::Site => row.id == Some(growth.site),
        By::Type => row.allocated_type.is_some() && row.allocated_type == growth.allocated_type,
        By::Task => row.task.is_some() && row.task == growth.task,
        _ => row.function.as_ref() == Some(&growth.function),
    });
    found.map(|growth| growth.verdict.name())
}

#[cfg(test)]
mod tests {
    use super::short;

    /// The place behind a name must not be pushed off the screen by types.
    #[test]
    fn long_names_lose_their_generic_arguments() {
        let long = "<futures_util::future::map::Map as core::future::Future>::poll<core::pin::Pin<alloc::boxed::Box<dyn Fn() -> u8>>>";
        assert_eq!(
            short(long),
            "<futures_util::future::map::Map as core::future::Future>::poll<…>"
        );
        let two = "tokio::task::spawn::Spawner<alloc::vec::Vec<u64>, u8>::spawn_the_task<leaky_chat::load>";
        assert_eq!(
            short(two),
            "tokio::task::spawn::Spawner<…>::spawn_the_task<…>"
        );
        assert_eq!(short("chat::Room<u8>::join"), "chat::Room<u8>::join");
    }
}
