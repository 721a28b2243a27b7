//! Whom a stack belongs to: its call site, its own frame, its crate.

use std::borrow::Cow;

use crate::snapshot::{Frame, Module, Origin, Site, Snapshot};
use crate::symbols::{allocated_type, blamed_frame, call_site, own_frame, spawned_task};

/// Stands for all stacks beyond the table's bound.
const OVERFLOW: &str = "[sites beyond the table]";

/// Stands for samples whose stack could not be walked.
const NO_STACK: &str = "[stack not captured]";

/// One frame of a site's stack and where it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'s> {
    /// Index into the site's stack.
    pub(crate) depth: usize,
    /// Index into the frames of that location, innermost first.
    pub(crate) inline: usize,
    pub(crate) frame: &'s Frame,
}

/// All frames of a site with inlined ones, innermost first.
pub(crate) fn stack<'s>(
    snapshot: &'s Snapshot,
    site: &'s Site,
) -> impl Iterator<Item = Step<'s>> + Clone {
    site.stack
        .iter()
        .enumerate()
        .flat_map(|(depth, &location)| {
            let frames = snapshot.frames(location).iter().enumerate();
            frames.map(move |(inline, frame)| Step {
                depth,
                inline,
                frame,
            })
        })
}

/// The type that a site allocates for, where its stack tells it.
pub(crate) fn type_of(snapshot: &Snapshot, site: &Site) -> Option<String> {
    allocated_type(stack(snapshot, site).map(|step| step.frame))
}

/// What was spawned, where a site's objects are asynchronous tasks.
pub(crate) fn task_of(snapshot: &Snapshot, site: &Site) -> Option<String> {
    spawned_task(stack(snapshot, site).map(|step| step.frame))
}

/// Whom a site belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'s> {
    /// The call site; none where the stack has no names.
    pub(crate) call_site: Option<Step<'s>>,
    /// The innermost frame in the user's own code, if it is not the call site itself.
    pub(crate) own: Option<Step<'s>>,
    snapshot: &'s Snapshot,
    site: &'s Site,
}

impl<'s> Caller<'s> {
    pub(crate) fn of(snapshot: &'s Snapshot, site: &'s Site) -> Self {
        let frames = stack(snapshot, site).map(|step| step.frame);
        Self::at(snapshot, site, call_site(frames))
    }

    /// Whom growth is blamed on: the call site, beyond what merely holds or runs things for others.
    pub(crate) fn blamed(snapshot: &'s Snapshot, site: &'s Site) -> Self {
        let frames = stack(snapshot, site).map(|step| step.frame);
        Self::at(snapshot, site, blamed_frame(frames))
    }

    fn at(snapshot: &'s Snapshot, site: &'s Site, call_site: Option<usize>) -> Self {
        let frames = || stack(snapshot, site);
        let own = own_frame(frames().map(|step| step.frame)).filter(|own| Some(*own) != call_site);
        Caller {
            call_site: call_site.and_then(|index| frames().nth(index)),
            own: own.and_then(|index| frames().nth(index)),
            snapshot,
            site,
        }
    }

    /// The call site's function, or what stands for it.
    pub(crate) fn function(&self) -> Cow<'s, str> {
        match self.call_site {
            Some(step) => Cow::Borrowed(&step.frame.function),
            None => pseudo_function(self.site).map_or_else(|| self.address(), Cow::Borrowed),
        }
    }

    /// The call site's crate and, for a dependency, its version.
    pub(crate) fn krate(&self) -> (Cow<'s, str>, Option<&'s str>) {
        let Some(step) = self.call_site else {
            return (self.function(), None);
        };
        match &step.frame.origin {
            Origin::Dependency { name, version } => (Cow::Borrowed(&**name), Some(version)),
            Origin::Own { krate } if !krate.is_empty() => (Cow::Borrowed(&**krate), None),
            Origin::Std => ("std".into(), None),
            Origin::Allocator => ("heapwatch".into(), None),
            Origin::Own { .. } | Origin::Foreign => {
                let module = self.module(step.depth);
                (module.map_or("[unknown]", file_name).into(), None)
            }
        }
    }

    /// Module and offset of the innermost address, for a stack without any name.
    fn address(&self) -> Cow<'s, str> {
        let location = self.site.stack.first().copied();
        let Some(location) = location.and_then(|l| self.snapshot.locations.get(l as usize)) else {
            return NO_STACK.into();
        };
        match self.module(0) {
            Some(module) => {
                let offset = location.address.wrapping_sub(module.bias);
                format!("{}+{offset:#x}", file_name(module)).into()
            }
            None => format!("{:#x}", location.address).into(),
        }
    }

    fn module(&self, depth: usize) -> Option<&'s Module> {
        let location = *self.site.stack.get(depth)? as usize;
        let module = self.snapshot.locations.get(location)?.module?;
        self.snapshot.modules.get(module as usize)
    }
}

/// The frames that people read: all but the allocator's own.
pub(crate) fn visible(frames: &[Frame]) -> impl Iterator<Item = &Frame> {
    frames
        .iter()
        .filter(|frame| frame.origin != Origin::Allocator)
}

/// The name of a site that has no stack of its own.
pub(crate) fn pseudo_function(site: &Site) -> Option<&'static str> {
    if site.overflow {
        Some(OVERFLOW)
    } else if site.stack.is_empty() {
        Some(NO_STACK)
    } else {
        None
    }
}

/// `src/chat.rs:88`, as far as it is known.
pub(crate) fn source(frame: &Frame) -> Option<String> {
    let file = frame.file.as_ref()?;
    Some(match frame.line {
        // Without the room that formatting leaves: each site has one or two.
        Some(line) => [file, ":", &line.to_string()].concat(),
        None => file.to_string(),
    })
}

fn file_name(module: &Module) -> &str {
    let name = module.path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() { "[unknown]" } else { name }
}
