//! Containers by the functions that allocate for them: one entry each.

use super::Kind;

/// A container that is not one of std's collections.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Functions below this path are about it.
    pub(super) path: &'static str,
    /// What its users call it.
    pub(super) name: &'static str,
    /// How many arguments say something, from the first.
    pub(super) arguments: usize,
}

const fn known(path: &'static str, name: &'static str, arguments: usize) -> Known {
    Known {
        path,
        name,
        arguments,
    }
}

/// Longer paths first.
static KNOWN: [Known; 28] = [
    known("alloc::ffi::c_str", "CString", 0),
    known("async_channel", "async_channel::channel", 1),
    known("bumpalo", "Bump", 0),
    known("bytes::bytes_mut", "BytesMut", 0),
    known("bytes::bytes", "Bytes", 0),
    known("crossbeam_channel", "crossbeam::channel", 1),
    known("crossbeam_queue::array_queue", "ArrayQueue", 1),
    known("crossbeam_queue::seg_queue", "SegQueue", 1),
    known("dashmap::set", "DashSet", 1),
    known("dashmap", "DashMap", 2),
    known("flume", "flume::channel", 1),
    known("futures_channel::mpsc", "futures::mpsc::channel", 1),
    known("futures_channel::oneshot", "futures::oneshot::channel", 1),
    known(
        "futures_util::stream::futures_unordered",
        "FuturesUnordered",
        1,
    ),
    known("indexmap::set", "IndexSet", 1),
    known("indexmap", "IndexMap", 2),
    known("lru", "LruCache", 2),
    known("slab", "Slab", 1),
    known("smallvec", "SmallVec", 1),
    known("std::ffi::os_str", "OsString", 0),
    known("std::path", "PathBuf", 0),
    known("std::sync::mpmc", "std::mpsc::channel", 1),
    known("std::sync::mpsc", "std::mpsc::channel", 1),
    known("tokio::runtime::task", "tokio::task", 1),
    known("tokio::sync::broadcast", "tokio::broadcast::channel", 1),
    known("tokio::sync::mpsc", "tokio::mpsc::channel", 1),
    known("tokio::sync::oneshot", "tokio::oneshot::channel", 1),
    known("tokio::sync::watch", "tokio::watch::channel", 1),
];

/// The outer of each two is made of the inner.
pub(super) const MADE_OF: [(&str, &str); 4] = [
    ("Bytes", "BytesMut"),
    ("DashSet", "DashMap"),
    ("IndexSet", "IndexMap"),
    ("PathBuf", "OsString"),
];

/// std's own. Longer paths first.
const MODULES: [(&str, Kind); 20] = [
    ("alloc::collections::binary_heap", Kind::BinaryHeap),
    ("alloc::collections::btree::set", Kind::BTreeSet),
    ("alloc::collections::btree", Kind::BTreeMap),
    ("alloc::collections::linked_list", Kind::LinkedList),
    ("alloc::collections::vec_deque", Kind::VecDeque),
    ("alloc::raw_vec", Kind::RawVec),
    ("alloc::boxed::iter", Kind::BoxedSlice),
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

/// The container that functions of a type, or of a module, are about.
pub(super) fn kind_of(ty: &str) -> Option<Kind> {
    if ty.starts_with('[') {
        return Some(Kind::Vec);
    }
    if ty == "str" {
        return Some(Kind::String);
    }
    let std = MODULES.iter().find(|(path, _)| is_below(ty, path));
    let other = || KNOWN.iter().find(|known| is_below(ty, known.path));
    std.map(|(_, kind)| *kind)
        .or_else(|| other().map(Kind::Known))
}

pub(super) fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Crates whose types are known by their last name alone.
pub(super) const WELL_KNOWN: [&str; 11] = [
    "alloc::",
    "arrayvec::",
    "bumpalo::",
    "bytes::",
    "core::",
    "dashmap::",
    "indexmap::",
    "lru::",
    "slab::",
    "smallvec::",
    "std::",
];
