//! The type behind an allocation's bytes, from its stack.
//!
//! Generic arguments are where the names hold them (see `names`): in the type of a method
//! (`alloc::vec::Vec<chat::Session>::push`, v0 mangling), behind a method's name
//! (`alloc::vec::Vec::push<chat::Session>`), or behind an inlined function's name, whose type is
//! missing and whose module tells it (`alloc::vec::push<chat::Session>`). In all three the first
//! arguments are the container's. Legacy symbols without line tables have none, and there is no
//! answer.

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
    Arc,
    Rc,
    HashMap,
    HashSet,
    BTreeMap,
    BTreeSet,
}

/// Modules, and the container that their functions are about. Longer paths first.
const MODULES: [(&str, Kind); 19] = [
    ("alloc::collections::binary_heap", Kind::BinaryHeap),
    ("alloc::collections::btree::set", Kind::BTreeSet),
    ("alloc::collections::btree", Kind::BTreeMap),
    ("alloc::collections::linked_list", Kind::LinkedList),
    ("alloc::collections::vec_deque", Kind::VecDeque),
    ("alloc::raw_vec", Kind::RawVec),
    ("alloc::boxed", Kind::Box),
    ("alloc::slice", Kind::Vec),
    ("alloc::string", Kind::String),
    ("alloc::fmt", Kind::String),
    ("alloc::str", Kind::String),
    ("alloc::sync", Kind::Arc),
    ("alloc::rc", Kind::Rc),
    ("alloc::vec", Kind::Vec),
    ("hashbrown::raw", Kind::RawTable),
    ("hashbrown::map", Kind::HashMap),
    ("hashbrown::set", Kind::HashSet),
    ("std::collections::hash::map", Kind::HashMap),
    ("std::collections::hash::set", Kind::HashSet),
];

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
    for frame in frames {
        match frame.origin {
            Origin::Std => {}
            Origin::Allocator => continue,
            _ => break,
        }
        let Some(outer) = Container::of(&frame.function) else {
            continue;
        };
        let next = match found.take() {
            None => outer,
            Some(inner) => match inner.within(outer) {
                Ok(both) => both,
                Err(inner) => return Some(inner.print()),
            },
        };
        found = Some(next);
    }
    found.map(|found| found.print())
}

impl Container {
    /// The container that a function of std is about.
    fn of(function: &str) -> Option<Container> {
        let (ty, method) = split_last(function);
        let ty = match ty.strip_prefix('<') {
            Some(rest) => split_as(rest).map_or(rest.trim_end_matches('>'), |(own, _)| own),
            None => ty,
        };
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
        if list.is_empty() || list.iter().all(|argument| is_placeholder(argument)) {
            list = told(method);
        }
        Container::new(kind, list)
    }

    /// A container with the arguments that its kind has, if they are there.
    fn new(kind: Kind, mut arguments: Vec<String>) -> Option<Container> {
        let (kind, count) = match kind {
            Kind::String => (kind, 0),
            Kind::HashMap | Kind::BTreeMap => (kind, 2),
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

    fn print(&self) -> String {
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

fn kind_of(ty: &str) -> Option<Kind> {
    if ty.starts_with('[') {
        return Some(Kind::Vec);
    }
    if ty == "str" {
        return Some(Kind::String);
    }
    let belongs = |module: &str| {
        ty.strip_prefix(module)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    MODULES
        .iter()
        .find(|(module, _)| belongs(module))
        .map(|(_, kind)| *kind)
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

/// Types with std's paths left out: `alloc::string::String` → `String`.
fn short(types: &str) -> String {
    let mut out = String::with_capacity(types.len());
    let mut rest = types;
    let in_path = |c: char| c.is_alphanumeric() || "_:{}#".contains(c);
    while !rest.is_empty() {
        let end = rest.find(|c| !in_path(c)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        let std = ["alloc::", "core::", "std::"]
            .iter()
            .any(|krate| path.starts_with(krate));
        out.push_str(match path.rsplit_once("::") {
            Some((_, last)) if std && !path.contains('{') => last,
            _ => path,
        });
        let next = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out
}
