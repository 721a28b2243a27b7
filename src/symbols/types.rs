//! The type behind an allocation's bytes, from its stack.
//!
//! Generic arguments are where the names hold them (see `names`): in the type of a method
//! (`alloc::vec::Vec<chat::Session>::push`, v0 mangling), behind a method's name
//! (`alloc::vec::Vec::push<chat::Session>`), or behind an inlined function's name, whose type is
//! missing and whose module tells it (`alloc::vec::push<chat::Session>`). In all three the first
//! arguments are the container's. Legacy symbols without line tables have none, and there is no
//! answer.

mod known;

use known::{Known, MADE_OF, WELL_KNOWN, is_below, kind_of};

use super::names::{arguments, base, is_placeholder, split_as, split_commas, split_last};
use crate::snapshot::{Frame, Origin};

/// A container, with as many arguments as say something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Container {
    kind: Kind,
    arguments: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The buffer of a `Vec`, `VecDeque`, `String`, …
    RawVec,
    /// The buffer of a `HashMap` or `HashSet`.
    RawTable,
    Vec,
    VecDeque,
    BinaryHeap,
    LinkedList,
    String,
    Box,
    /// A `Box<[T]>`, by the type of its elements.
    BoxedSlice,
    Arc,
    Rc,
    HashMap,
    HashSet,
    BTreeMap,
    BTreeSet,
    Known(&'static Known),
}

/// Types inside a `Box` that are a container's own.
const BOXED: [(&str, Kind); 7] = [
    (
        "alloc::collections::btree::node::InternalNode",
        Kind::BTreeMap,
    ),
    ("alloc::collections::btree::node::LeafNode", Kind::BTreeMap),
    ("alloc::collections::linked_list::Node", Kind::LinkedList),
    ("alloc::rc::RcBox", Kind::Rc),
    ("alloc::rc::RcInner", Kind::Rc),
    ("alloc::sync::ArcInner", Kind::Arc),
    ("core::mem::maybe_uninit::MaybeUninit", Kind::Box),
];

/// Methods of containers that call other code, which then allocates for itself.
const CALLING: [&str; 7] = [
    "call",
    "call_mut",
    "call_once",
    "drop",
    "drop_in_place",
    "into_iter",
    "poll",
];

/// The type behind the bytes, such as `HashMap<u64, chat::Session>`, if the stack tells it. The
/// frames are those of a whole stack, innermost first.
pub(crate) fn allocated_type<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Option<String> {
    let mut found: Option<Container> = None;
    // Whether a frame further out was about something else already.
    let mut apart = false;
    for frame in frames {
        let outer = match frame.origin {
            Origin::Std => Container::of(&frame.function),
            Origin::Allocator => continue,
            Origin::Dependency { .. } => {
                let known = Container::of(&frame.function).filter(Container::is_known);
                // Between the functions of a container there may be its closures and helpers.
                if known.is_none() && !is_known_path(&frame.function) {
                    break;
                }
                known
            }
            _ => break,
        };
        let Some(outer) = outer else {
            continue;
        };
        found = Some(match found.take() {
            None => outer,
            Some(inner) if inner.is_part_of(&outer, apart) => outer,
            Some(inner) if apart => inner,
            Some(inner) => inner.within(outer).unwrap_or_else(|inner| {
                apart = true;
                inner
            }),
        });
    }
    found.map(|found| found.print())
}

/// The type or module that a function belongs to, and the function.
fn owner(function: &str) -> (&str, &str) {
    let (ty, method) = split_last(function);
    let ty = match ty.strip_prefix('<') {
        Some(rest) => split_as(rest).map_or(rest.trim_end_matches('>'), |(own, _)| own),
        None => ty,
    };
    (ty, method)
}

fn is_known_path(function: &str) -> bool {
    matches!(kind_of(owner(function).0), Some(Kind::Known(_)))
}

impl Container {
    /// The container that a function is about.
    fn of(function: &str) -> Option<Container> {
        let (ty, method) = owner(function);
        if CALLING.contains(&base(method)) || method.starts_with('{') {
            return None;
        }
        let kind = kind_of(ty)?;
        let told = |segment: &str| -> Vec<String> {
            let list = arguments(segment).filter(|argument| !is_marker(argument));
            list.map(String::from).collect()
        };
        let mut list = match ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']')) {
            Some(element) => vec![element.to_string()],
            None => told(split_last(ty).1),
        };
        let is_parameter = |argument: &String| is_placeholder(argument.trim_matches(['[', ']']));
        if list.iter().all(is_parameter) {
            list = told(method);
        }
        // `From<&str>`, whose type is not in the name of what was inlined.
        if list.is_empty() && matches!(kind, Kind::Arc | Kind::Rc | Kind::Box) && method == "from" {
            list = vec!["str".to_string()];
        }
        Container::new(kind, list)
    }

    fn is_known(&self) -> bool {
        matches!(self.kind, Kind::Known(_))
    }

    /// Whether a container that is not one of std's collections allocated this for itself; where a frame
    /// between the two sets them `apart`, only if the elements are its own.
    fn is_part_of(&self, outer: &Container, apart: bool) -> bool {
        let Kind::Known(known) = outer.kind else {
            return false;
        };
        match self.kind {
            // A text is a user's.
            Kind::String => false,
            Kind::Known(inner) if inner.name == known.name => self.arguments.is_empty(),
            Kind::Known(inner) => MADE_OF.contains(&(known.name, inner.name)),
            _ => {
                let own = |argument: &String| argument.contains(&format!("{}::", known.path));
                !apart || self.arguments.iter().any(own)
            }
        }
    }

    /// A container with the arguments that its kind has, if they are there.
    fn new(kind: Kind, mut arguments: Vec<String>) -> Option<Container> {
        let (kind, count) = match kind {
            Kind::String => (kind, 0),
            Kind::HashMap | Kind::BTreeMap => (kind, 2),
            Kind::Known(known) => {
                arguments.truncate(known.arguments);
                if arguments.len() < known.arguments || arguments.iter().any(|a| is_placeholder(a))
                {
                    arguments.clear();
                }
                for argument in &mut arguments {
                    *argument = held(argument, known).to_string();
                }
                return Some(Container { kind, arguments });
            }
            Kind::RawTable => {
                let entry = arguments.first()?;
                // Anything else than a pair is another table's.
                let entry = entry.strip_prefix('(')?.strip_suffix(')')?;
                arguments = split_commas(entry).map(String::from).collect();
                (kind, 2)
            }
            _ => (kind, 1),
        };
        arguments.truncate(count);
        if arguments.len() < count {
            return None;
        }
        match (kind, arguments.get(1).map(String::as_str)) {
            (Kind::Box, _) => Some(unbox(arguments)),
            (Kind::BoxedSlice, _) => {
                let kind = Kind::Box;
                let arguments = vec![format!("[{}]", arguments[0])];
                Some(Container { kind, arguments })
            }
            (Kind::BTreeMap, Some("alloc::collections::btree::set_val::SetValZST")) => {
                Container::new(Kind::BTreeSet, arguments)
            }
            _ => Some(Container { kind, arguments }),
        }
    }

    /// The same bytes seen from a frame further out: a `String` is a `Vec<u8>` is a buffer. If the
    /// outer frame is about something else, the container is returned as the error.
    ///
    /// Of a buffer the outer frame knows better, also its elements: functions that compile to the
    /// same code are merged, and those of buffers often do.
    fn within(self, outer: Container) -> Result<Container, Container> {
        let same = self.arguments == outer.arguments;
        match (self.kind, outer.kind) {
            (inner, outer) if inner == outer && same => Ok(self),
            (Kind::Known(inner), Kind::Known(known)) if inner.name == known.name => Ok(self),
            // An `Arc<[u8]>` by its elements, and what it is in the end.
            (Kind::Arc | Kind::Rc, kind) if kind == self.kind && self.is_slice_of(&outer) => {
                Ok(self)
            }
            (Kind::Arc | Kind::Rc, kind)
                if kind == self.kind
                    && self.arguments == ["[u8]"]
                    && outer.arguments == ["str"] =>
            {
                Ok(outer)
            }
            (Kind::RawVec | Kind::Vec, Kind::Box) if outer.is_slice_of(&self) => Ok(outer),
            (Kind::RawVec, Kind::RawVec | Kind::Vec | Kind::VecDeque | Kind::String) => Ok(outer),
            (Kind::RawTable, Kind::RawTable | Kind::HashMap | Kind::HashSet) => Ok(outer),
            (Kind::Vec, Kind::String) if self.arguments == ["u8"] => Ok(outer),
            (Kind::Vec, Kind::BinaryHeap) if same => Ok(outer),
            (Kind::HashMap, Kind::HashSet) if self.arguments.starts_with(&outer.arguments) => {
                Ok(outer)
            }
            (Kind::BTreeMap, Kind::BTreeSet) => Ok(outer),
            _ => Err(self),
        }
    }

    fn is_slice_of(&self, elements: &Container) -> bool {
        let inside = |slice: &str| {
            let inside = slice.strip_prefix('[')?.strip_suffix(']')?;
            Some(inside == elements.arguments[0])
        };
        inside(&self.arguments[0]) == Some(true)
    }

    fn print(&self) -> String {
        if let Kind::Known(known) = self.kind {
            return match self.arguments.is_empty() {
                true => known.name.to_string(),
                false => format!("{}<{}>", known.name, short(&self.arguments.join(", "))),
            };
        }
        let mut arguments = &self.arguments[..];
        let name = match self.kind {
            Kind::RawVec => Kind::Vec,
            Kind::RawTable | Kind::HashMap if arguments[1] == "()" => {
                arguments = &arguments[..1];
                Kind::HashSet
            }
            Kind::RawTable => Kind::HashMap,
            kind => kind,
        };
        if arguments.is_empty() {
            return format!("{name:?}");
        }
        format!("{name:?}<{}>", short(&arguments.join(", ")))
    }
}

/// Arguments that say how a B-tree's node is held.
fn is_marker(argument: &str) -> bool {
    argument.starts_with("alloc::collections::btree::node::marker::")
}

/// What a `Box` of a container's own node or header is.
fn unbox(arguments: Vec<String>) -> Container {
    let inside = split_last(&arguments[0]).1;
    let path = &arguments[0][..arguments[0].len() - inside.len()];
    let path = format!("{path}{}", base(inside));
    let known = BOXED.iter().find(|(boxed, _)| *boxed == path);
    let list = super::names::arguments(inside).map(String::from).collect();
    known
        .and_then(|(_, kind)| Container::new(*kind, list))
        .unwrap_or(Container {
            kind: Kind::Box,
            arguments,
        })
}

/// What a part of a container holds: `slab::Entry<chat::Session>` → `chat::Session`.
fn held<'a>(argument: &'a str, known: &Known) -> &'a str {
    let (path, last) = split_last(argument);
    let inside = super::names::arguments(last).next();
    match inside {
        Some(inside) if is_below(path, known.path) => held(inside, known),
        _ => argument,
    }
}

/// Types with the paths of those left out that everybody knows: `alloc::string::String` → `String`;
/// and futures as they are written: `chat::run::{async_fn_env#0}` → `async fn chat::run`.
fn short(types: &str) -> String {
    let mut out = String::with_capacity(types.len());
    let mut rest = types;
    let in_path = |c: char| c.is_alphanumeric() || "_:{}#".contains(c);
    while !rest.is_empty() {
        let end = rest.find(|c| !in_path(c)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        let well_known = WELL_KNOWN.iter().any(|krate| path.starts_with(krate));
        match path.rsplit_once("::") {
            Some((_, last)) if well_known && !path.contains('{') => out.push_str(last),
            Some((parent, last)) if last.starts_with("{async_fn_env#") => {
                out.push_str("async fn ");
                out.push_str(parent);
            }
            _ => out.push_str(path),
        }
        let next = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out
}
