//! Verdicts: what is said of a site, and the numbers behind it.

use serde::Serialize;

/// A rate of growth in bytes per second.
pub(crate) use crate::analyze::Estimate as Rate;

use super::{Container, Course, Tail, Trend};

/// What a user reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Objects are made steadily and do not die.
    Leaking,
    /// Live bytes grow; [`Pattern`] says how.
    Growing,
    /// Live bytes swing and return.
    Cyclic,
    /// Grew once, flat since.
    Plateaued,
    /// None of the others.
    Stable,
    /// Watched too briefly, or too few samples.
    TooEarly,
}

impl Verdict {
    /// All of them, worst first.
    pub const ALL: [Verdict; 6] = [
        Verdict::Leaking,
        Verdict::Growing,
        Verdict::Cyclic,
        Verdict::Plateaued,
        Verdict::Stable,
        Verdict::TooEarly,
    ];

    /// Whether someone should look at it: leaking or growing.
    #[must_use]
    pub const fn alarms(self) -> bool {
        matches!(self, Self::Leaking | Self::Growing)
    }

    /// The name in reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leaking => "leaking",
            Self::Growing => "growing",
            Self::Cyclic => "cyclic",
            Self::Plateaued => "plateaued",
            Self::Stable => "stable",
            Self::TooEarly => "too_early",
        }
    }
}

/// The finer reason of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Growth in step with the birth rate: lifetimes have not changed.
    WithLoad,
    /// Objects die, but later and later: a consumer slower than its producer.
    Backlog,
    /// One object, or a few, replaced by ever larger ones.
    Container,
    /// Down to a tenth of its peak, or less.
    Freed,
    /// Many call sites counted as one because the site table was full.
    Mixed,
}

impl Pattern {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WithLoad => "with_load",
            Self::Backlog => "backlog",
            Self::Container => "container",
            Self::Freed => "freed",
            Self::Mixed => "mixed",
        }
    }
}

/// The numbers behind a verdict.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// Old objects that do not die.
    Tail(Tail),
    /// Growth of the mean.
    Trend(Trend),
    /// An object that gets larger.
    Container(Container),
    /// Neither: what the history looks like.
    Course(Course),
    /// Not judged.
    Nothing,
}

/// A verdict with its evidence.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    /// What a user reads first.
    pub(crate) verdict: Verdict,
    /// The finer reason.
    pub(crate) pattern: Option<Pattern>,
    /// Growth in bytes per second.
    pub(crate) rate: Rate,
    /// Between 0 and 1, where the rule that decided has a probability to state.
    pub(crate) confidence: Option<f64>,
    /// Probability of evidence as strong as this from a harmless site; 1 unless the verdict alarms.
    pub(crate) p_value: f64,
    /// The numbers.
    pub(crate) finding: Finding,
    /// Estimated live objects.
    pub(crate) live_objects: f64,
    /// Estimated live bytes.
    pub(crate) live_bytes: f64,
    /// Median life of what was freed.
    pub(crate) typical_life_seconds: Option<f64>,
    /// How long the site's history is.
    pub(crate) watched_seconds: f64,
    /// Whether false-discovery control withdrew an alarm.
    pub(crate) withdrawn: bool,
}

impl Judgement {
    /// For sorting, worst first in descending order: alarms by confidence × rate, then what is calm by
    /// kind; equal ones by bytes. A container counts half, since its elements may be named too.
    #[must_use]
    pub(crate) fn severity(&self) -> (u8, f64, f64) {
        let kind = match self.verdict {
            Verdict::Leaking | Verdict::Growing => 4,
            Verdict::Cyclic => 3,
            Verdict::Plateaued => 2,
            Verdict::Stable => 1,
            Verdict::TooEarly => 0,
        };
        let weight = match self.pattern {
            _ if !self.alarms() => 0.0,
            Some(Pattern::Container) => 0.5,
            _ => self.confidence.unwrap_or(1.0),
        };
        (kind, weight * self.rate.estimate, self.live_bytes)
    }

    /// Whether someone should look at it.
    #[must_use]
    pub(crate) fn alarms(&self) -> bool {
        self.verdict.alarms()
    }
}
