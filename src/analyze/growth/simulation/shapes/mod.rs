//! Shapes of memory over time: what a healthy or a leaking site does.
//!
//! They are meant to be decidable within the run: caches are full by 0.35 of it, typical lives are well
//! below 0.4 of it, and a leak leaves about the samples that its name says. Rates are in expected samples
//! per tick.

mod closing;
mod collections;
mod fresh;
mod held_out;
mod last;
mod parts;
mod reserve;
mod services;
mod tuned;

pub(crate) use closing::CLOSING;
pub(crate) use collections::COLLECTIONS;
pub(crate) use fresh::FRESH;
pub(crate) use held_out::HELD_OUT;
pub(crate) use last::LAST;
pub(crate) use reserve::RESERVE;
pub(crate) use services::SERVICES;
pub(crate) use tuned::TUNED;

use super::process::{INTERVAL, SMALL, World};
use crate::analyze::growth::Verdict;
use parts::*;

const FOREVER: f64 = f64::INFINITY;

/// What a shape is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Innocent,
    Leak,
    /// A leak of which not even an oracle finds 99 in a hundred at two false alarms in a thousand: shown
    /// apart too.
    HardLeak,
}

pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The verdicts that are right.
    pub(crate) expected: &'static [Verdict],
    pub(crate) build: fn(&mut World),
}

const ALARM: &[Verdict] = &[Verdict::Leaking, Verdict::Growing];

const CALM: &[Verdict] = &[
    Verdict::Cyclic,
    Verdict::Plateaued,
    Verdict::Stable,
    Verdict::TooEarly,
];

const fn innocent(name: &'static str, build: fn(&mut World)) -> Shape {
    innocent_as(name, CALM, build)
}

const fn leak(name: &'static str, build: fn(&mut World)) -> Shape {
    leak_as(name, ALARM, build)
}

const fn innocent_as(
    name: &'static str,
    expected: &'static [Verdict],
    build: fn(&mut World),
) -> Shape {
    Shape {
        name,
        kind: Kind::Innocent,
        expected,
        build,
    }
}

const fn leak_as(name: &'static str, expected: &'static [Verdict], build: fn(&mut World)) -> Shape {
    Shape {
        name,
        kind: Kind::Leak,
        expected,
        build,
    }
}

const fn hard(name: &'static str, build: fn(&mut World)) -> Shape {
    Shape {
        kind: Kind::HardLeak,
        ..leak(name, build)
    }
}
