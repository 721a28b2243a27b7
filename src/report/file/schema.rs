//! The file as `serde` sees it. A field that a reader does not know is passed over, so new ones may
//! be added; what changes the meaning of those that are there is a new version.

use serde::{Deserialize, Deserializer, Serialize};

use super::growth::Growth;
use crate::snapshot::serial::{Hex, bounded, within};
use crate::snapshot::{Frame, Info, Module, Totals};

pub(super) const FORMAT: &str = "heapwatch-snapshot";
pub(super) const VERSION: u64 = 1;

const MAX_MODULES: usize = 1 << 16;
const MAX_SITES: usize = 1 << 18;
const MAX_LOCATIONS: usize = 1 << 20;
const MAX_FRAMES: usize = 1 << 20;
const MAX_DEPTH: usize = 1 << 12;

/// Frames of all locations together: an index of two bytes becomes a [`Frame`].
const MAX_ALL_FRAMES: usize = 1 << 22;

/// Locations in all stacks together.
const MAX_ALL_STACKS: usize = 1 << 24;

/// Read first, so that a newer file is named as what it is.
#[derive(Deserialize)]
pub(super) struct Preamble {
    pub(super) format: String,
    pub(super) version: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct File {
    pub(super) format: String,
    pub(super) version: u64,
    pub(super) info: Info,
    #[serde(deserialize_with = "bounded::<_, _, MAX_MODULES>")]
    pub(super) modules: Vec<Module>,
    /// Each distinct frame once.
    #[serde(deserialize_with = "bounded::<_, _, MAX_FRAMES>")]
    pub(super) frames: Vec<Frame>,
    #[serde(deserialize_with = "locations")]
    pub(super) locations: Vec<Location>,
    #[serde(deserialize_with = "sites")]
    pub(super) sites: Vec<Site>,
    /// What names lack, and how to get it, a sentence for each module that lacks some.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded::<_, _, 100>"
    )]
    pub(super) missing_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) growth: Option<Growth>,
}

fn locations<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Location>, D::Error> {
    let frames = |location: &Location| location.frames.len();
    within(from, MAX_LOCATIONS, MAX_ALL_FRAMES, frames)
}

fn sites<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Site>, D::Error> {
    let locations = |site: &Site| site.stack.len();
    within(from, MAX_SITES, MAX_ALL_STACKS, locations)
}

#[derive(Serialize, Deserialize)]
pub(super) struct Location {
    /// Index into `modules`.
    pub(super) module: Option<u32>,
    /// The return address less the module's bias; the address itself outside of all modules.
    pub(super) offset: u64,
    /// Indices into `frames`, innermost first.
    #[serde(deserialize_with = "bounded::<_, _, MAX_DEPTH>")]
    pub(super) frames: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Site {
    #[serde(with = "Hex")]
    pub(super) id: u64,
    /// Indices into `locations`, innermost first.
    #[serde(deserialize_with = "bounded::<_, _, MAX_DEPTH>")]
    pub(super) stack: Vec<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) truncated: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) overflow: bool,
    pub(super) live: Totals,
    pub(super) allocated: Totals,
    pub(super) freed: Totals,
    pub(super) samples: u64,
    /// Without the zeros at the end.
    #[serde(deserialize_with = "bounded::<_, _, 64>")]
    pub(super) lifetimes: Vec<u32>,
    /// Without the zeros at the end.
    #[serde(deserialize_with = "bounded::<_, _, 64>")]
    pub(super) ages: Vec<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde passes")]
fn is_false(value: &bool) -> bool {
    !value
}
