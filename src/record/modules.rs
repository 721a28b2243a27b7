//! Loaded objects: their addresses, unwind tables and build ids, kept beforehand so that no
//! capture ever asks the loader for its lock.
//!
//! The tables of objects that are there at start-up are read in place, as those are never unloaded;
//! the tables of later ones are copied, once however often they are loaded, so that unloading them
//! under a capture's feet is harmless.
//!
//! A table is copied when its object is discovered, inside malloc. To read it in place until the next
//! maintenance would not do: the list is everybody's, so another thread might look up an address of
//! that object, a wrong guess even, while the discoverer returns from it and it is unloaded, and
//! would read what is no longer mapped. The copying is bounded, and happens once per object.

use std::sync::atomic::{AtomicU64, Ordering};

use super::fork::{self, Held, Turn};
use super::gone;
use super::loader::{self, find_object, loaded, loader_counts};
use super::module_list::{free_replaced, overlap, publish};
use super::own::{Own, OwnVec};
use super::unwind;

pub(crate) use super::gone::{loaded_and_gone, unloaded};
pub(crate) use super::loader::copy_refused;
pub(crate) use super::module_list::{ListReader, Module, is_frozen};

/// The loader's counts of loads and unloads when the list was last compared with its own.
static LOADER_COUNTS: AtomicU64 = AtomicU64::new(0);

/// Reads the loader's list for the first time. Inside malloc, but on the first allocation of the
/// process, when no other thread can hold the loader's lock and wait for this one.
pub(crate) fn load() {
    loader::prepare();
    if let Some((modules, counts)) = loaded(None)
        && publish(modules)
    {
        LOADER_COUNTS.store(counts, Ordering::Relaxed);
    }
}

/// Compares with the loader's list and takes over what changed. Never inside malloc: it takes the
/// loader's lock. For the same reason never in a forked child: if another thread of the parent's
/// held that lock, it stays locked in the child for good. There only [`discover`] adds to the list.
pub(crate) fn refresh() {
    unwind::maintain();
    if fork::generation() > 0 {
        return;
    }
    let Some(_replacing) = start_replacing() else {
        return;
    };
    let reading = ListReader::start();
    let Some(list) = reading.current() else {
        return;
    };
    if loader_counts() == LOADER_COUNTS.load(Ordering::Relaxed) {
        return;
    }
    let Some((modules, counts)) = loaded(Some(&list.modules)) else {
        return;
    };
    gone::note(&list.modules, &modules);
    if publish(modules) {
        LOADER_COUNTS.store(counts, Ordering::Relaxed);
    }
}

/// Makes a module known that was loaded since, from an address in it which is on this thread's
/// stack, so that it cannot be unloaded meanwhile. Inside malloc; takes no lock.
///
/// Returns whether the current list has it.
pub(crate) fn discover(address: usize) -> bool {
    let Some(_replacing) = start_replacing() else {
        return false;
    };
    let reading = ListReader::start();
    // Not before: what another thread has published meanwhile must not be lost.
    let Some(list) = reading.current() else {
        return false;
    };
    if list.find(address).is_some() {
        return true;
    }
    let Some(found) = find_object(address, &list.modules) else {
        return false;
    };
    let mut modules = OwnVec::new_in(Own::Modules);
    if modules.try_reserve_exact(list.modules.len() + 1).is_err() {
        return false;
    }
    let others = list.modules.iter();
    modules.extend(
        others
            .filter(|module| !overlap(&module.range, &found.range))
            .cloned(),
    );
    modules.push(found);
    publish(modules)
}

/// Frees what was replaced and is no longer read.
pub(crate) fn maintain() {
    if let Some(_replacing) = REPLACING.start() {
        free_replaced();
    }
}

/// Whoever has it may replace the list.
static REPLACING: Turn = Turn::new();

/// The right to replace the list, while it is replaced at all.
fn start_replacing() -> Option<Held<'static>> {
    (!is_frozen()).then(|| REPLACING.start()).flatten()
}
