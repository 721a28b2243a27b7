//! What changed, as JSON.

use serde::Serialize;

use super::json::{Header, JsonFrame};
use crate::analyze::{By, Change, Diff, Estimate, FrameBudget, MatchedBy};
use crate::snapshot::muted;

impl Diff<'_> {
    /// The table as one JSON object, with a line break at its end. Rows have frames as in
    /// [`Top::to_json`](crate::report::Top::to_json).
    ///
    /// ```no_run
    /// let (before, after) = (heapwatch::snapshot()?, heapwatch::snapshot()?);
    /// std::fs::write("diff.json", before.diff(&after).to_json())?;
    /// # Ok::<(), heapwatch::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        muted(|| self.json())
    }

    fn json(&self) -> String {
        let mut frames = FrameBudget::default();
        let rows = self.rows().iter();
        let table = Table {
            by: self.group(),
            same_process: self.same_process(),
            error_bars: self.error_bars(),
            matched_share: (self.matched_share() * 1e4).floor() / 1e4,
            from: Header::of(self.earlier().info()),
            to: Header::of(self.later().info()),
            total: Amounts::of(self.total()),
            rows: rows.map(|row| Line::of(row, &mut frames)).collect(),
            rows_without_frames: frames.cut,
            hidden_rows: self.all_rows().len() - self.rows().len(),
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
    same_process: bool,
    error_bars: bool,
    matched_share: f64,
    from: Header<'a>,
    to: Header<'a>,
    total: Amounts<'a>,
    rows: Vec<Line<'a>>,
    rows_without_frames: usize,
    hidden_rows: usize,
}

#[derive(Serialize)]
struct Amounts<'a> {
    live_bytes_change: &'a Estimate,
    live_objects_change: &'a Estimate,
    before_bytes: &'a Estimate,
    after_bytes: &'a Estimate,
    allocated_bytes: &'a Option<Estimate>,
    allocated_objects: &'a Option<Estimate>,
    freed_bytes: &'a Option<Estimate>,
    freed_objects: &'a Option<Estimate>,
    median_age_seconds: Option<f64>,
}

impl<'a> Amounts<'a> {
    fn of(change: &'a Change<'_>) -> Self {
        Amounts {
            live_bytes_change: &change.live_bytes,
            live_objects_change: &change.live_objects,
            before_bytes: &change.before_bytes,
            after_bytes: &change.after_bytes,
            allocated_bytes: &change.allocated_bytes,
            allocated_objects: &change.allocated_objects,
            freed_bytes: &change.freed_bytes,
            freed_objects: &change.freed_objects,
            median_age_seconds: change.median_age_seconds,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
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
    significant: Option<bool>,
    new: bool,
    vanished: bool,
    matched_by: Option<MatchedBy>,
    before_stacks: usize,
    after_stacks: usize,
    #[serde(flatten)]
    amounts: Amounts<'a>,
    frames: Vec<JsonFrame<'a>>,
}

impl<'a> Line<'a> {
    fn of(change: &'a Change<'_>, frames: &mut FrameBudget) -> Self {
        Line {
            id: change.id.map(|id| format!("{id:016x}")),
            allocated_type: change.allocated_type.as_deref(),
            task: change.task.as_deref(),
            function: change.function.as_deref(),
            location: change.location.as_deref(),
            own_function: change.own_function,
            own_location: change.own_location.as_deref(),
            krate: &change.krate,
            version: change.version,
            significant: change.significant,
            new: change.new,
            vanished: change.vanished,
            matched_by: change.matched_by,
            before_stacks: change.before_stacks,
            after_stacks: change.after_stacks,
            amounts: Amounts::of(change),
            frames: frames.take(&change.frames),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::golden;
    use crate::snapshot::testing::grown;

    /// Programs read these fields: a change to them is a change to the public surface.
    #[test]
    fn table_is_as_agreed() {
        let (before, after) = grown();
        golden::check("diff.json", &before.diff(&after).limit(2).to_json());
    }
}
