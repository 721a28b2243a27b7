//! Reports as JSON: snake_case fields, sizes in `_bytes`, times in `_seconds`, estimates as
//! `{"estimate", "low", "high"}`.

use std::time::UNIX_EPOCH;

use serde::Serialize;

use crate::analyze::{Amounts, By, Estimate, FrameBudget, Row, Sort, Top, source};
use crate::snapshot::{Dropped, Frame, Info, Origin, muted};

impl Top<'_> {
    /// The table as one JSON object, with a line break at its end.
    ///
    /// Rows by site have their frames until all together take 8 MiB; `rows_without_frames` says how
    /// many, from there on, have none for that reason.
    ///
    /// ```no_run
    /// use heapwatch::report::By;
    ///
    /// std::fs::write("top.json", heapwatch::snapshot()?.top(By::Crate).to_json())?;
    /// # Ok::<(), heapwatch::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        muted(|| self.json())
    }

    fn json(&self) -> String {
        let rows = self.rows();
        let mut frames = FrameBudget::default();
        let table = Table {
            by: self.by(),
            sort: self.order(),
            snapshot: Header::of(self.info()).with_notes(self.missing_names()),
            total: self.total(),
            rows: rows.iter().map(|row| Line::of(row, &mut frames)).collect(),
            rows_without_frames: frames.cut,
            hidden_rows: self.hidden(),
            other: self.other(),
        };
        // Plain structs of numbers and strings do not fail to serialise.
        let mut text = serde_json::to_string_pretty(&table).unwrap_or_default();
        text.push('\n');
        text
    }
}

#[derive(Serialize)]
struct Table<'a> {
    by: By,
    sort: Sort,
    #[serde(flatten)]
    snapshot: Header<'a>,
    total: Amounts,
    rows: Vec<Line<'a>>,
    rows_without_frames: usize,
    hidden_rows: usize,
    other: Amounts,
}

/// What is true of a whole snapshot; null where another tool's profile does not hold it.
#[derive(Serialize)]
pub(crate) struct Header<'a> {
    /// Seconds since 1970.
    taken_seconds: Option<f64>,
    watched_seconds: Option<f64>,
    pid: Option<u32>,
    /// At this moment: 0 is off.
    interval_bytes: Option<u64>,
    /// Whether sampling was off for a while: what was allocated then is in no number.
    was_off: bool,
    /// Whether the intervals mean anything: not for a profile that another tool wrote.
    error_bars: bool,
    /// What a call site can hold without having been met by a sample; unknown if none was taken, and
    /// if sampling was off.
    unseen_bytes: Option<u64>,
    samples: Option<u64>,
    dropped: &'a [Dropped],
    notes: Vec<&'a str>,
    self_bytes: Option<u64>,
}

impl<'a> Header<'a> {
    pub(crate) fn of(info: &'a Info) -> Self {
        let taken = info.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        Header {
            taken_seconds: info.known(taken.as_millis() as f64 / 1e3),
            watched_seconds: info.known(info.watched_seconds),
            pid: info.known(info.pid),
            interval_bytes: info.known(info.interval_bytes),
            was_off: info.was_off,
            error_bars: info.error_bars,
            unseen_bytes: match info.live_interval() {
                _ if info.was_off => None,
                0 => None,
                1 => Some(0),
                interval => Some(interval.saturating_mul(3)),
            },
            samples: info.known(info.samples),
            dropped: &info.dropped,
            notes: info.notes.iter().map(String::as_str).collect(),
            self_bytes: info.known(info.self_bytes),
        }
    }

    fn with_notes(mut self, more: &'a [String]) -> Self {
        self.notes.extend(more.iter().map(String::as_str));
        self
    }
}

impl FrameBudget {
    pub(crate) fn take<'a>(&mut self, frames: &[&'a Frame]) -> Vec<JsonFrame<'a>> {
        if !self.admits(frames) {
            return Vec::new();
        }
        frames.iter().map(|frame| JsonFrame::of(frame)).collect()
    }
}

/// A [`Row`].
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    id: Option<String>,
    #[serde(rename = "type")]
    allocated_type: Option<&'a str>,
    task: Option<&'a str>,
    function: Option<&'a str>,
    location: Option<&'a str>,
    own_function: Option<&'a str>,
    own_location: Option<&'a str>,
    #[serde(rename = "crate")]
    krate: &'a str,
    version: Option<&'a str>,
    #[serde(flatten)]
    amounts: &'a Amounts,
    growth_bytes_per_second: Option<&'a Estimate>,
    truncated: bool,
    frames: Vec<JsonFrame<'a>>,
}

impl<'a> Line<'a> {
    pub(crate) fn of(row: &'a Row<'_>, frames: &mut FrameBudget) -> Self {
        Line {
            id: row.id.map(|id| format!("{id:016x}")),
            allocated_type: row.allocated_type.as_deref(),
            task: row.task.as_deref(),
            function: row.function.as_deref(),
            location: row.location.as_deref(),
            own_function: row.own_function,
            own_location: row.own_location.as_deref(),
            krate: &row.krate,
            version: row.version,
            amounts: &row.amounts,
            growth_bytes_per_second: row.growth_bytes_per_second.as_ref(),
            truncated: row.truncated,
            frames: frames.take(&row.frames),
        }
    }
}

/// A [`Frame`].
#[derive(Serialize)]
pub(crate) struct JsonFrame<'a> {
    function: &'a str,
    location: Option<String>,
    #[serde(rename = "crate")]
    krate: Option<&'a str>,
    inlined: bool,
}

impl<'a> JsonFrame<'a> {
    pub(crate) fn of(frame: &'a Frame) -> Self {
        JsonFrame {
            function: &frame.function,
            location: source(frame),
            krate: match &frame.origin {
                Origin::Own { krate } if krate.is_empty() => None,
                Origin::Own { krate } => Some(krate),
                Origin::Dependency { name, .. } => Some(name),
                Origin::Std => Some("std"),
                Origin::Allocator => Some("heapwatch"),
                Origin::Foreign => None,
            },
            inlined: frame.inlined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::golden;
    use crate::snapshot::testing::{Builder, frame, own, sample};

    /// Scripts read these fields: a change to them is a change to the public surface.
    #[test]
    fn table_is_as_agreed() {
        let snapshot = sample();
        golden::check("top_site.json", &snapshot.top(By::Site).limit(3).to_json());
        golden::check(
            "top_crate.json",
            &snapshot.top(By::Crate).limit(2).to_json(),
        );
    }

    /// Nothing bounds what was allocated while nobody looked: a reader must be told why there is no
    /// bound, in every answer that has one.
    #[test]
    fn what_has_no_bound_says_that_sampling_was_off() {
        let parsed = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let told = |header: &serde_json::Value| {
            let bound = header["unseen_bytes"].as_u64();
            (header["was_off"].as_bool(), bound)
        };
        let always_on = crate::analyze::watched_sample();
        let mut snapshot = always_on.clone();
        snapshot.info.was_off = true;
        assert_eq!(
            told(&parsed(always_on.top(By::Site).to_json())),
            (Some(false), Some(3 * snapshot.info.largest_interval_bytes))
        );
        let gap = (Some(true), None);
        assert_eq!(told(&parsed(snapshot.top(By::Site).to_json())), gap);
        assert_eq!(told(&parsed(snapshot.growth().unwrap().to_json())), gap);
        let diff = parsed(always_on.diff(&snapshot).to_json());
        assert_eq!(told(&diff["from"]).0, Some(false));
        assert_eq!(told(&diff["to"]), gap);
    }

    /// A reader adds rows up: integers must give the total exactly.
    #[test]
    fn rows_and_other_add_up_in_the_text_itself() {
        let text = sample().top(By::Function).limit(3).to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for field in [
            "live_bytes",
            "live_objects",
            "allocated_bytes",
            "freed_objects",
        ] {
            let of = |amounts: &serde_json::Value| amounts[field]["estimate"].as_i64().unwrap();
            let rows: i64 = value["rows"].as_array().unwrap().iter().map(of).sum();
            assert_eq!(rows + of(&value["other"]), of(&value["total"]), "{field}");
        }
    }

    /// Every frame of every row made this answer 176 MB, more than a browser or a script takes.
    #[test]
    fn ten_thousand_rows_are_bounded_and_say_what_is_cut() {
        let mut builder = Builder::new();
        let place = |n: u64| {
            let name = format!("chat::handlers::handle_{n}<alloc::vec::Vec<u8>, chat::Session>");
            frame(&name, "src/handlers.rs", 10, own("chat"))
        };
        let stack: Vec<u32> = (0..40)
            .map(|n| builder.location(n + 1, &[place(n)]))
            .collect();
        for site in 0..10_000 {
            builder.site(site, &stack, &[1e6 + site as f64], 0);
        }
        let snapshot = builder.build();
        let top = snapshot.top(By::Site).limit(10_000).to_json();
        let empty = Builder::new().build();
        let diff = empty.diff(&snapshot).limit(10_000).to_json();
        for text in [top, diff] {
            println!("{} bytes", text.len());
            assert!(text.len() < 24 << 20, "{} bytes", text.len());
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let rows = value["rows"].as_array().unwrap();
            let frames = |row: &serde_json::Value| row["frames"].as_array().unwrap().len();
            let whole = 10_000 - value["rows_without_frames"].as_u64().unwrap() as usize;
            assert!((100..10_000).contains(&whole), "{whole}");
            assert!(rows[..whole].iter().all(|row| frames(row) == 40));
            assert!(rows[whole..].iter().all(|row| frames(row) == 0));
        }
    }

    /// An empty process must still give valid JSON: no NaN, no infinity.
    #[test]
    fn empty_snapshot_is_valid() {
        let text = Builder::new().build().top(By::Site).to_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["rows"].as_array().map(Vec::len), Some(0));
        assert_eq!(value["total"]["live_bytes"]["estimate"], 0);
    }
}
