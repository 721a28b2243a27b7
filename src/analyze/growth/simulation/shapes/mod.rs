//! Shapes of memory over time: what a healthy or a leaking site does.
//!
//! All but the hard ones are meant to be decidable within the run: caches are full by 0.3 of it, typical
//! lives are well below 0.4 of it, and a leak leaves about the samples that its name says. Rates are in expected samples per tick.

mod fresh;
mod held_out;
mod last;
mod parts;
mod tuned;

pub(crate) use fresh::FRESH;
pub(crate) use held_out::HELD_OUT;
pub(crate) use last::LAST;
pub(crate) use tuned::TUNED;

use super::process::{INTERVAL, SMALL, World};
use parts::*;

const FOREVER: f64 = f64::INFINITY;

/// What a shape is, and so what its verdict may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Innocent,
    Leak,
    /// A leak of few samples among objects that live nearly as long as it was watched: scored apart,
    /// because what was seen of it does not decide.
    HardLeak,
}

pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) build: fn(&mut World),
}

const fn innocent(name: &'static str, build: fn(&mut World)) -> Shape {
    Shape {
        name,
        kind: Kind::Innocent,
        build,
    }
}

const fn leak(name: &'static str, build: fn(&mut World)) -> Shape {
    Shape {
        name,
        kind: Kind::Leak,
        build,
    }
}

const fn hard(name: &'static str, build: fn(&mut World)) -> Shape {
    Shape {
        name,
        kind: Kind::HardLeak,
        build,
    }
}
