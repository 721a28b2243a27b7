//! What a failed assertion says.

use std::collections::HashMap;
use std::fmt::Write;

use crate::analyze::{Caller, source};
use crate::report::number;
use crate::snapshot::evidence::SiteKey;
use crate::snapshot::scope::{Scope, with_keys};
use crate::snapshot::{Origin, Site, Snapshot};

use super::laps::{Laps, Windows};

/// Call sites that a message names.
const ROWS: usize = 10;

/// Why the assertion fails; `None` if it holds.
pub(super) fn failure(counted: &Scope, laps: &Laps<SiteKey>) -> Option<String> {
    if let Some((lost, why)) = counted.losses() {
        return Some(format!(
            "nothing exact can be said: {lost} allocations could not be recorded ({why}); ask for \
             fewer iterations, or let each allocate less"
        ));
    }
    let growing = laps.growing();
    let total = laps.total_growing();
    if growing.is_empty() && total.is_none() {
        return None;
    }
    let names = Names::new();
    let is_capture = |key: &SiteKey| names.of(*key).is_some_and(is_output_capture);
    let captures = growing.iter().any(|(key, _)| is_capture(key));
    let mut rows = rows(
        &names,
        growing.into_iter().filter(|(key, _)| !is_capture(key)),
    );
    // All together grow, but none does alone: a container that is grown now here, now there. With
    // captured output among them, that alone may be why.
    if rows.is_empty() && !captures && total.is_some() {
        let more = laps.all().filter(|(_, windows)| windows.per_lap().0 > 0.0);
        rows = self::rows(&names, more);
    }
    if rows.is_empty() {
        return None;
    }
    Some(text(&rows, laps.count(), counted.counts_new_threads()))
}

/// Sites of one caller.
struct Row {
    label: String,
    bytes_per_lap: f64,
    objects_per_lap: f64,
    live_bytes: u64,
    live_objects: u64,
    /// The most in the first of the three windows, the least in the last.
    gap: (u64, u64),
    ends: [usize; 3],
}

impl Row {
    fn add(&mut self, windows: &Windows) {
        let (bytes, objects) = windows.per_lap();
        self.bytes_per_lap += bytes;
        self.objects_per_lap += objects;
        self.live_bytes += windows.level().bytes;
        self.live_objects += windows.level().objects;
        self.gap.0 += windows.gap().0;
        self.gap.1 += windows.gap().1;
    }
}

/// By caller, most bytes first.
fn rows(names: &Names, sites: impl Iterator<Item = (SiteKey, Windows)>) -> Vec<Row> {
    let mut rows: HashMap<String, Row> = HashMap::new();
    for (key, windows) in sites {
        let label = names.label(key);
        let row = rows.entry(label).or_insert_with_key(|label| Row {
            label: label.clone(),
            bytes_per_lap: 0.0,
            objects_per_lap: 0.0,
            live_bytes: 0,
            live_objects: 0,
            gap: (0, 0),
            ends: windows.ends,
        });
        row.add(&windows);
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort_by(|a, b| {
        b.bytes_per_lap
            .total_cmp(&a.bytes_per_lap)
            .then_with(|| a.label.cmp(&b.label))
    });
    rows
}

fn text(rows: &[Row], laps: usize, counts_new_threads: bool) -> String {
    let bytes = rows.iter().map(|row| row.bytes_per_lap).sum::<f64>();
    let mut text = format!(
        "memory still grows after {laps} iterations, by {} an iteration\n",
        rate(bytes)
    );
    for row in rows.iter().take(ROWS) {
        // Writing to a string does not fail.
        let _ = write_row(&mut text, row);
    }
    if rows.len() > ROWS {
        let _ = writeln!(text, "\n… and {} more call sites", rows.len() - ROWS);
    }
    text.push_str(
        "\nIf this is a cache that is still filling, fill it before, or ask for more iterations.",
    );
    if !counts_new_threads {
        text.push_str(" Threads that were created meanwhile are not counted on this system.");
    }
    text
}

fn write_row(text: &mut String, row: &Row) -> std::fmt::Result {
    writeln!(
        text,
        "\n{} in {} an iteration: {}",
        rate(row.bytes_per_lap),
        objects(row.objects_per_lap),
        row.label,
    )?;
    let size = |bytes| number::exact_bytes(bytes as f64);
    let (most, least) = row.gap;
    if least > most {
        let [first, middle, last] = row.ends;
        writeln!(
            text,
            "    at most {} in iterations {} to {first}, at least {} in iterations {middle} to {last}",
            size(most),
            first / 2,
            size(least),
        )?;
    }
    writeln!(
        text,
        "    {} in {} are live now",
        size(row.live_bytes),
        objects(row.live_objects as f64),
    )
}

/// `64 B`, or with a fraction where there is hardly a byte in an iteration.
fn rate(bytes: f64) -> String {
    if bytes < 100.0 && bytes.fract() != 0.0 {
        format!("{} B", short(bytes))
    } else {
        number::exact_bytes(bytes)
    }
}

fn objects(count: f64) -> String {
    match count {
        1.0 => "1 object".to_owned(),
        _ => format!("{} objects", short(count)),
    }
}

/// At most two decimals.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The names of sites; none without memory for them.
struct Names(Option<(Snapshot, HashMap<SiteKey, usize>)>);

impl Names {
    fn new() -> Self {
        Names(with_keys().ok())
    }

    fn of(&self, key: SiteKey) -> Option<(&Snapshot, &Site)> {
        let (snapshot, places) = self.0.as_ref()?;
        let place = places.get(&key)?;
        Some((snapshot, snapshot.sites.get(*place)?))
    }

    /// `bytes::BytesMut::reserve (bytes 1.10.1) ← chat::decode (src/chat.rs:88)`.
    fn label(&self, key: SiteKey) -> String {
        let Some((snapshot, site)) = self.of(key) else {
            return "[unknown]".to_owned();
        };
        let caller = Caller::of(snapshot, site);
        let mut label = caller.function().into_owned();
        let place = match caller.krate() {
            (krate, Some(version)) => Some(format!("{krate} {version}")),
            (_, None) => caller.call_site.and_then(|step| source(step.frame)),
        };
        if let Some(place) = place {
            label += &format!(" ({place})");
        }
        if let Some(own) = caller.own {
            label += &format!(" ← {}", own.frame.function);
            if let Some(place) = source(own.frame) {
                label += &format!(" ({place})");
            }
        }
        label
    }
}

/// Whether std itself allocated it while printing: the buffer in which the test harness keeps the
/// output, which grows with every line.
fn is_output_capture((snapshot, site): (&Snapshot, &Site)) -> bool {
    let frames = site.stack.iter().flat_map(|place| snapshot.frames(*place));
    frames
        .take_while(|frame| matches!(frame.origin, Origin::Std | Origin::Allocator))
        .any(|frame| frame.function.starts_with("std::io::stdio::"))
}
