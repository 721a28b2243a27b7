//! Which frame of a stack a person wants to read.
//!
//! Both functions take all frames of a stack, innermost first, and answer with an index into them.

use crate::snapshot::{Frame, Origin};

/// What starts programs and threads: in every stack, and never the answer.
const RUNTIME: [&str; 12] = [
    "___clone3",
    "__clone",
    "__clone3",
    "__libc_start_call_main",
    "__libc_start_main",
    "__libc_start_main_impl",
    "_start",
    "__clone_internal",
    "clone",
    "clone3",
    "main",
    "start_thread",
];

/// The innermost frame that is not allocator, std or collection code. Where there is none, the
/// innermost of the crate std itself, else of core, alloc or hashbrown, else what starts programs, else
/// the allocator. `None` only for no frames.
pub(crate) fn call_site<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Option<usize> {
    let mut best: Option<(u8, usize)> = None;
    for (index, frame) in frames.into_iter().enumerate() {
        let rank = match &frame.origin {
            Origin::Own { .. } | Origin::Dependency { .. } => return Some(index),
            Origin::Foreign if !is_runtime(frame) => return Some(index),
            Origin::Std if frame.function.starts_with("std::") => 0,
            Origin::Std => 1,
            Origin::Foreign => 2,
            Origin::Allocator => 3,
        };
        if best.is_none_or(|(lowest, _)| rank < lowest) {
            best = Some((rank, index));
        }
    }
    best.map(|(_, index)| index)
}

/// The innermost frame in the user's own code, if there is one.
pub(crate) fn own_frame<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Option<usize> {
    frames
        .into_iter()
        .position(|frame| matches!(frame.origin, Origin::Own { .. }))
}

/// Whether a frame is what starts programs and threads.
pub(crate) fn is_runtime(frame: &Frame) -> bool {
    if frame.origin != Origin::Foreign {
        return false;
    }
    let name = frame.function.split('@').next().unwrap_or_default();
    // A part of a function that the compiler set apart. Not `main.keep`: that is a function of Go's.
    let name = match name.split_once('.') {
        Some((whole, _)) if whole.starts_with('_') => whole,
        _ => name,
    };
    // glibc's name for its own calls.
    RUNTIME.contains(&name.strip_prefix("__GI_").unwrap_or(name))
}

/// Dependencies that hold or share what others own.
const CONTAINERS: [&str; 14] = [
    "arc-swap",
    "arrayvec",
    "crossbeam-epoch",
    "crossbeam-queue",
    "crossbeam-utils",
    "dashmap",
    "futures-util",
    "indexmap",
    "once_cell",
    "sharded-slab",
    "slab",
    "smallvec",
    "thread_local",
    "triomphe",
];

/// The inner workings of a runtime, through which every task and channel allocates.
const INNARDS: [&str; 7] = [
    "tokio::runtime::handle::",
    "tokio::runtime::scheduler::",
    "tokio::runtime::task::",
    "tokio::sync::mpsc::block::",
    "tokio::sync::mpsc::list::",
    "async_task::raw::",
    "futures_util::",
];

/// The innermost frame that growth can be blamed on: neither allocator, std nor collection code, nor
/// the inner workings of a runtime. Where there is none, the call site.
pub(crate) fn blamed_frame<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Option<usize> {
    let frames: Vec<&Frame> = frames.into_iter().collect();
    let blamed = frames.iter().position(|frame| match &frame.origin {
        Origin::Own { .. } => true,
        Origin::Dependency { name, .. } => !is_plumbing(name, &frame.function),
        Origin::Foreign => !is_runtime(frame),
        Origin::Std | Origin::Allocator => false,
    });
    blamed.or_else(|| call_site(frames.iter().copied()))
}

fn is_plumbing(krate: &str, function: &str) -> bool {
    // A method of a trait begins with `<`.
    let function = function.trim_start_matches('<');
    CONTAINERS.iter().any(|name| is_same_crate(name, krate))
        || INNARDS.iter().any(|path| function.starts_with(path))
}

/// Packages are written with hyphens or underscores. Without making texts: each frame of each stack
/// is asked.
fn is_same_crate(a: &str, b: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'));
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(same)
}
