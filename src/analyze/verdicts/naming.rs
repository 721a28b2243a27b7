//! Whom a verdict names.

use std::borrow::Cow;

use serde::Serialize;

use crate::analyze::{Caller, source, visible};
use crate::snapshot::{Frame, Origin, Site, Snapshot};
use crate::symbols::{allocated_type, spawned_task};

/// One function of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GrowthFrame {
    /// Function name with generic arguments.
    pub function: String,
    /// Source file and line.
    pub location: Option<String>,
    /// Whose code it is; none for code without Rust names.
    #[serde(rename = "crate")]
    pub krate: Option<String>,
}

/// Whom one site is blamed on.
pub(super) struct Name<'a> {
    pub(super) function: Cow<'a, str>,
    pub(super) location: Option<String>,
    pub(super) krate: Cow<'a, str>,
    /// Function and location: what stacks of one call site share.
    pub(super) call_site: String,
    /// All frames, innermost first.
    frames: Vec<&'a Frame>,
    /// Where `function` is among them.
    place: usize,
}

impl<'a> Name<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, site: &'a Site) -> Self {
        let caller = Caller::blamed(snapshot, site);
        let function = caller.function();
        let location = caller.call_site.and_then(|step| source(step.frame));
        let frames: Vec<&Frame> = site
            .stack
            .iter()
            .flat_map(|location| visible(snapshot.frames(*location)))
            .collect();
        let blamed = caller.call_site.map(|step| step.frame);
        let place = frames
            .iter()
            .position(|frame| blamed.is_some_and(|blamed| std::ptr::eq(*frame, blamed)));
        Name {
            call_site: format!("{function} {}", location.as_deref().unwrap_or_default()),
            krate: caller.krate().0,
            function,
            location,
            frames,
            place: place.unwrap_or(0),
        }
    }
}

impl Name<'_> {
    pub(super) fn allocated_type(&self) -> Option<String> {
        allocated_type(self.frames.iter().copied())
    }

    pub(super) fn task(&self) -> Option<String> {
        spawned_task(self.frames.iter().copied())
    }

    /// The own function from which the one to blame was called: what several functions share that each
    /// leave a part of one thing. The function to blame itself where there is none.
    pub(super) fn caller(&self) -> &str {
        let caller = self.caller_place();
        caller.map_or(&self.function, |place| &self.frames[place].function)
    }

    pub(super) fn caller_frame(&self) -> Option<GrowthFrame> {
        Some(GrowthFrame::of(self.frames[self.caller_place()?]))
    }

    fn caller_place(&self) -> Option<usize> {
        let outer = self.frames.iter().enumerate().skip(self.place + 1);
        let other = |frame: &Frame| *frame.function != *self.function;
        let own = |frame: &Frame| matches!(frame.origin, Origin::Own { .. });
        let mut outer = outer.filter(|(_, frame)| own(frame) && other(frame));
        outer.next().map(|(place, _)| place)
    }

    /// The innermost function in the user's own code.
    pub(super) fn own(&self) -> Option<GrowthFrame> {
        let own = |frame: &&&Frame| matches!(frame.origin, Origin::Own { .. });
        self.frames
            .iter()
            .find(own)
            .map(|frame| GrowthFrame::of(frame))
    }

    /// The dependency's function that the one to blame called: what it holds its memory in, mostly.
    pub(super) fn through(&self) -> Option<String> {
        let called = self.frames.get(..self.place)?;
        let entry = called.iter().rev().find_map(|frame| match &frame.origin {
            Origin::Dependency { name, version } => Some((frame, name, version)),
            _ => None,
        });
        let (frame, name, version) = entry?;
        Some(format!(
            "{} ({})",
            frame.function,
            format!("{name} {version}").trim_end()
        ))
    }
}

/// The frames that all have in common, from the function to blame outwards, or from its caller; the
/// whole stack of one.
pub(super) fn common<'a>(names: &[&Name<'a>], from_caller: bool) -> Vec<&'a Frame> {
    let from = |name: &Name<'_>| match name.caller_place() {
        Some(caller) if from_caller => caller,
        _ => name.place,
    };
    let [first, others @ ..] = names else {
        return Vec::new();
    };
    let start = if others.is_empty() { 0 } else { from(first) };
    let mut shared = &first.frames[start..];
    for other in others {
        let theirs = &other.frames[from(other)..];
        let same = shared
            .iter()
            .zip(theirs)
            .take_while(|(a, b)| a.function == b.function);
        shared = &shared[..same.count()];
    }
    shared.to_vec()
}

impl GrowthFrame {
    pub(super) fn of(frame: &Frame) -> Self {
        GrowthFrame {
            function: frame.function.to_string(),
            location: source(frame),
            krate: match &frame.origin {
                Origin::Own { krate } if krate.is_empty() => None,
                Origin::Own { krate } => Some(krate.to_string()),
                Origin::Dependency { name, .. } => Some(name.to_string()),
                Origin::Std => Some("std".to_owned()),
                Origin::Allocator => Some("heapwatch".to_owned()),
                Origin::Foreign => None,
            },
        }
    }
}
