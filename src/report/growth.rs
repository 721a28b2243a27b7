//! Verdicts on growth, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::json::Header;
use super::number;
use crate::analyze::{Estimate, Growth, Limit, Memory, Report, Verdict};
use crate::snapshot::muted;

/// Calm call sites that are shown, those with most bytes first.
const CALM: usize = 10;

const PER_TIME: [(f64, &str); 3] = [(1.0, "/s"), (60.0, "/min"), (3_600.0, "/h")];

impl Report {
    /// The report as one JSON object, with a line break at its end. `verdicts_without_frames` says how
    /// many of the last have none, because those of all would take more than 8 MiB.
    pub fn to_json(&self) -> String {
        muted(|| self.json())
    }

    fn json(&self) -> String {
        let table = Table {
            snapshot: Header::of(&self.info),
            history_seconds: self.watched_seconds,
            tick_seconds: self.tick_seconds,
            min_watch_seconds: self.min_watch_seconds,
            too_early_below_bytes_per_second: self.visible_bytes_per_second,
            sites_left_out: self.sites_left_out,
            memory: self.memory.as_ref(),
            verdicts: &self.verdicts,
            verdicts_without_frames: self.verdicts_without_frames,
        };
        // Plain structs of numbers and strings do not fail to serialise.
        let mut text = serde_json::to_string_pretty(&table).unwrap_or_default();
        text.push('\n');
        text
    }
}

#[derive(Serialize)]
struct Table<'a> {
    #[serde(flatten)]
    snapshot: Header<'a>,
    history_seconds: f64,
    tick_seconds: f64,
    min_watch_seconds: f64,
    too_early_below_bytes_per_second: Option<f64>,
    sites_left_out: usize,
    memory: Option<&'a Memory>,
    verdicts: &'a [Growth],
    verdicts_without_frames: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        muted(|| self.text(f))
    }
}

impl Report {
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "heap growth, worst first, {}",
            number::date(self.info.taken)
        )?;
        writeln!(
            f,
            "watched {} at a tick of {} s (pid {})",
            number::duration(self.watched_seconds),
            self.tick_seconds,
            self.info.pid,
        )?;
        writeln!(f, "{}", self.summary())?;
        if self.sites_left_out > 0 {
            writeln!(
                f,
                "note: {} sites are not watched, because there are too many",
                number::thousands(self.sites_left_out as u64)
            )?;
        }
        for note in &self.info.notes {
            writeln!(f, "note: {note}")?;
        }
        if let Some(memory) = &self.memory {
            writeln!(f, "{}", outlook(memory))?;
        }
        if let Some(rate) = self.visible_bytes_per_second {
            let rate = rate_text(&Estimate::exact(rate));
            writeln!(f, "too early to tell below {rate}")?;
        } else if self.info.interval_bytes == 0 {
            writeln!(f, "sampling is off: a leak that begins now would not show")?;
        } else if self.info.was_off {
            writeln!(
                f,
                "sampling was off for a while: what leaked then does not show"
            )?;
        }
        let (alarms, calm): (Vec<_>, Vec<_>) = self
            .verdicts
            .iter()
            .partition(|growth| growth.verdict.alarms());
        for growth in alarms {
            writeln!(f, "\n{growth}")?;
        }
        self.calm(f, calm)
    }
}

impl Report {
    fn summary(&self) -> String {
        let parts = Verdict::ALL.map(|verdict| {
            let count = self.count(verdict) as u64;
            let name = verdict.name().replace('_', " ");
            format!("{} {name}", number::thousands(count))
        });
        format!("call sites: {}", parts.join(", "))
    }

    fn calm(&self, f: &mut fmt::Formatter<'_>, mut calm: Vec<&Growth>) -> fmt::Result {
        calm.retain(|growth| growth.verdict != Verdict::TooEarly);
        calm.sort_by(|a, b| b.live_bytes.estimate.total_cmp(&a.live_bytes.estimate));
        if !calm.is_empty() {
            writeln!(f)?;
        }
        for growth in calm.into_iter().take(CALM) {
            writeln!(f, "{}: {}", head(growth), growth.evidence)?;
        }
        Ok(())
    }
}

impl fmt::Display for Growth {
    /// A few lines without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        muted(|| self.text(f))
    }
}

impl Growth {
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}, {} live in {} objects",
            head(self),
            self.rate_bytes_per_second.rate_text(),
            number::bytes_with_error(&self.live_bytes),
            number::count(&self.live_objects),
        )?;
        if let Some(own) = &self.own_function {
            write!(f, "\n  in {}", place(own, self.own_location.as_deref()))?;
        }
        if let Some(through) = &self.through {
            write!(f, "\n  through {through}")?;
        }
        if let Some(task) = &self.task {
            write!(f, "\n  tasks of {task}")?;
        } else if let Some(ty) = &self.allocated_type {
            write!(f, "\n  of type {ty}")?;
        }
        write!(f, "\n  {}", self.evidence)?;
        if self.sites > 1 {
            write!(f, "\n  at {} stacks together", self.sites)?;
        }
        if let Some(caution) = &self.caution {
            write!(f, "\n  {caution}")?;
        }
        Ok(())
    }
}

/// `leaking: chat::register (src/chat.rs:41)`
fn head(growth: &Growth) -> String {
    let place = place(&growth.function, growth.location.as_deref());
    format!("{}: {place}", growth.verdict.name().replace('_', " "))
}

fn place(function: &str, location: Option<&str>) -> String {
    match location {
        Some(location) => format!("{function} ({location})"),
        None => function.to_owned(),
    }
}

/// `3.1 MiB/min ± 0.4`: per second, minute or hour, so that it is a MiB at least where it can be.
pub(super) fn rate_text(rate: &Estimate) -> String {
    let large = |(seconds, _): &&(f64, &str)| rate.estimate.abs() * seconds >= 1_048_576.0;
    let [.., slowest] = &PER_TIME;
    let (seconds, unit) = PER_TIME.iter().find(large).unwrap_or(slowest);
    let scaled = Estimate {
        estimate: rate.estimate * seconds,
        low: rate.low * seconds,
        high: rate.high * seconds,
    };
    let text = number::bytes_with_error(&scaled);
    match text.split_once(" ± ") {
        Some((value, error)) => format!("{value}{unit} ± {error}"),
        None => text + unit,
    }
}

fn outlook(memory: &Memory) -> String {
    let resident = number::exact_bytes(memory.resident_bytes as f64);
    let exact = |bytes: Option<u64>| number::exact_bytes(bytes.unwrap_or_default() as f64);
    let (all, left) = (exact(memory.limit_bytes), exact(memory.left_bytes));
    let room = match memory.limit {
        None => return format!("memory: {resident} resident; no limit is known"),
        Some(Limit::Cgroup) => {
            format!("{resident} resident of {all} that its control group may have")
        }
        Some(Limit::Machine) => {
            format!("{resident} resident, {left} available of the machine's {all}")
        }
    };
    let end = match &memory.seconds_to_limit {
        None => "nothing is known to grow towards it".to_owned(),
        Some(time) => {
            let [at, low, high] = [time.estimate, time.low, time.high].map(number::rough_duration);
            let range = match time.high.is_finite() {
                true => format!("{low} to {high}"),
                false => format!("{low} at the soonest"),
            };
            format!("at this growth it is reached in {at} ({range})")
        }
    };
    format!("memory: {room}; {end}")
}

#[cfg(test)]
#[path = "growth_tests.rs"]
mod tests;
