//! The asynchronous task that an allocation is.

use super::names::{arguments, base, split_last};
use super::site::call_site;
use crate::snapshot::{Frame, Origin};

/// Modules whose allocations are tasks, and a task's memory where its type is named.
const RUNTIMES: [(&str, &str); 5] = [
    (
        "tokio::runtime::task::core::",
        "tokio::runtime::task::core::Cell<",
    ),
    (
        "tokio::runtime::task::list::",
        "tokio::runtime::task::core::Cell<",
    ),
    (
        "tokio::runtime::task::raw::",
        "tokio::runtime::task::core::Cell<",
    ),
    (
        "tokio::runtime::task::new_task",
        "tokio::runtime::task::core::Cell<",
    ),
    ("async_task::raw::", "async_task::raw::RawTask<"),
];

/// Futures around futures, which say nothing of what was spawned.
const WRAPPERS: [&str; 7] = [
    "alloc::boxed::Box",
    "core::panic::unwind_safe::AssertUnwindSafe",
    "core::pin::Pin",
    "tokio::runtime::blocking::task::BlockingTask",
    "tokio::time::timeout::Timeout",
    "tracing::instrument::Instrumented",
    "tracing_futures::Instrumented",
];

/// What was spawned, such as `chat::client::run`, if the allocation is an asynchronous task;
/// `spawned in …` where the names do not hold it. The frames are those of a whole stack, innermost
/// first.
pub(crate) fn spawned_task<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Option<String> {
    let frames: Vec<&Frame> = frames.into_iter().collect();
    let site = call_site(frames.iter().copied())?;
    let (_, cell) = RUNTIMES
        .iter()
        .find(|(module, _)| frames[site].function.starts_with(module))?;
    frames[..=site]
        .iter()
        .find_map(|frame| future_in(&frame.function, cell))
        .and_then(task_name)
        .or_else(|| {
            let spawner = frames[site..].iter().find(|frame| spawns(frame))?;
            Some(format!("spawned in {}", spawner.function))
        })
}

/// The future that a function allocates a task's memory for.
fn future_in<'f>(function: &'f str, cell: &str) -> Option<&'f str> {
    if let Some(at) = function.find(cell) {
        return arguments(&function[at..]).next();
    }
    let (ty, method) = split_last(function);
    let new = cell.trim_end_matches('<');
    let module = split_last(new).0;
    // Inlined functions have their module before them, and not the type.
    if (ty == new || ty == module) && matches!(base(method), "new" | "allocate") {
        return arguments(method).next();
    }
    None
}

/// `chat::client::run::{async_fn_env#0}` → `chat::client::run`; other futures as they are.
fn task_name(future: &str) -> Option<String> {
    let (parent, last) = split_last(future);
    let path = &future[..future.len() - last.len() + base(last).len()];
    if WRAPPERS.contains(&path) {
        return task_name(arguments(last).next()?);
    }
    // A boxed future of unknown type, or a parameter.
    if future.contains("dyn ") || parent.is_empty() {
        return None;
    }
    if last.starts_with("{async_fn") {
        return Some(parent.into());
    }
    Some(future.replace("_env#", "#"))
}

/// Whether a frame is the user's, or at least outside the runtime.
fn spawns(frame: &Frame) -> bool {
    match &frame.origin {
        Origin::Own { .. } => true,
        Origin::Dependency { name, .. } => !matches!(&**name, "tokio" | "async-task"),
        _ => false,
    }
}
