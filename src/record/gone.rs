//! Objects that were unloaded, for the names in old stacks.
//!
//! Not in the lists that captures read, which tell what is at an address now.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fork::PerProcess;
use super::module_list::{ListReader, Module, overlap, sort};
use super::own::{Own, OwnVec};
use super::sync::lock;

/// No two overlap. Never locked inside malloc, or by a thread that has the loader's lock.
static GONE: PerProcess<Mutex<OwnVec<Module>>> = PerProcess::new();

/// How many objects are known to have been unloaded.
static UNLOADED: AtomicUsize = AtomicUsize::new(0);

/// How many objects are known to have been unloaded since the program began.
pub(crate) fn unloaded() -> usize {
    // Relaxed: a number that stands for itself.
    UNLOADED.load(Ordering::Relaxed)
}

/// Adds the objects of the old list that are no longer present, and forgets those whose addresses
/// another object has taken. Without memory an object is not added, and old stacks lack its names.
pub(super) fn note(old: &[Module], present: &[Module]) {
    let Some(gone) = GONE.get_or_init(|| Mutex::new(OwnVec::new_in(Own::Modules))) else {
        return;
    };
    let mut gone = lock(gone);
    gone.retain(|module| !has_overlap(old, module) && !has_overlap(present, module));
    for module in old.iter().filter(|module| !has_overlap(present, module)) {
        UNLOADED.fetch_add(1, Ordering::Relaxed);
        if gone.try_reserve(1).is_ok() {
            gone.push(module.clone());
        }
    }
}

/// What is loaded, and what is gone and has not been replaced, in the order of their addresses. `None` without
/// memory.
pub(crate) fn loaded_and_gone() -> Option<OwnVec<Module>> {
    let reading = ListReader::start();
    let loaded = reading.current();
    let loaded = loaded.map_or(&[][..], |list| &list.modules[..]);
    let gone = GONE.get().map(lock);
    let gone = gone.as_deref().map_or(&[][..], |gone| &gone[..]);
    let mut all = OwnVec::new_in(Own::Modules);
    all.try_reserve_exact(gone.len() + loaded.len()).ok()?;
    // What is loaded may have become known since.
    let others = gone.iter().filter(|module| !has_overlap(loaded, module));
    all.extend(others.chain(loaded).cloned());
    sort(&mut all);
    Some(all)
}

fn has_overlap(modules: &[Module], with: &Module) -> bool {
    modules
        .iter()
        .any(|module| overlap(&module.range, &with.range))
}
