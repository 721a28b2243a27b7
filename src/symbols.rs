//! Addresses → frames that people can read.
//!
//! Nothing is parsed before someone asks for names. Then the locations that are not in the cache
//! are looked up, one module after the other; what was mapped and parsed for a module is gone
//! before the next. Runs outside malloc, muted, and takes no lock that another process-wide user
//! could hold, so that a forked child can do it, too.

mod cache;
#[cfg(feature = "symbols")]
mod complete;
#[cfg(feature = "symbols")]
mod dwarf;
mod lack;
#[cfg_attr(not(feature = "symbols"), path = "symbols/unread.rs")]
mod module;
mod names;
#[cfg(feature = "symbols")]
mod object;
mod offsets;
mod origin;
mod paths;
mod site;
mod tasks;
#[cfg(all(test, feature = "symbols"))]
mod tests;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::snapshot::{Frame, Location, Module, Names, Origin, PerProcess, Snapshot, muted};
use cache::{Cache, Key};
use lack::Lack;
pub(crate) use module::code;
pub use names::escaped;
pub(crate) use names::{MAX_NAME, base, cut, split_last};
pub(crate) use origin::origin_of;
pub(crate) use paths::unversioned;
pub(crate) use site::{blamed_frame, call_site, is_runtime, own_frame};
pub(crate) use tasks::spawned_task;
pub(crate) use types::allocated_type;

/// The part of a module that is executed, in whole pages as the kernel maps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    /// First address in this process.
    pub(crate) start: u64,
    /// One past the last address.
    pub(crate) end: u64,
    /// Where in the file it begins.
    pub(crate) file_offset: u64,
}

/// Frames of some addresses.
struct Resolved {
    frames: Vec<Vec<Frame>>,
    /// Whether these are the names for good: not if a file could not be had at the moment.
    lasting: bool,
    /// What the file does not hold.
    lack: Option<Lack>,
}

static CACHE: PerProcess<Cache> = PerProcess::new();

impl Snapshot {
    /// Frames at a location, innermost first; several where functions were inlined.
    ///
    /// The first call finds the names of all locations of the snapshot, which may take a second
    /// on a large binary; they are kept.
    pub fn frames(&self, location: u32) -> &[Frame] {
        let frames = self.named().frames.get(location as usize);
        frames.map_or(&[], |frames| frames)
    }

    /// Whether the names are the best that can be had: whoever keeps them otherwise would keep addresses where names
    /// are, because file descriptors or memory were short for a moment.
    #[cfg(feature = "server")]
    pub(crate) fn names_last(&self) -> bool {
        self.named().lasting
    }

    /// What names lack, and how to get it, a sentence for each file.
    pub(crate) fn missing_names(&self) -> &[String] {
        &self.named().missing
    }

    fn named(&self) -> &Names {
        self.names
            .get_or_init(|| muted(|| resolve(&self.modules, &self.locations)))
    }
}

/// Finds the frames of each location, innermost first. There is always at least one.
pub(crate) fn resolve(modules: &[Module], locations: &[Location]) -> Names {
    match CACHE.get_or_init(Cache::default) {
        Some(cache) => resolve_with(cache, modules, locations),
        None => resolve_with(&Cache::default(), modules, locations),
    }
}

fn resolve_with(cache: &Cache, modules: &[Module], locations: &[Location]) -> Names {
    let mut lasting = true;
    let mut missing = Vec::new();
    let names: Vec<Arc<str>> = modules.iter().map(file_name).collect();
    let mut frames: Vec<Arc<[Frame]>> = Vec::with_capacity(locations.len());
    // By module and then by place in it: the indices of the locations there.
    let mut wanted: BTreeMap<usize, BTreeMap<u64, Vec<usize>>> = BTreeMap::new();
    for (index, location) in locations.iter().enumerate() {
        frames.push(Arc::from([]));
        match location.module.map(|module| module as usize) {
            Some(module) if module < modules.len() => {
                let place = called_from(location).wrapping_sub(modules[module].bias);
                let places = wanted.entry(module).or_default();
                places.entry(place).or_default().push(index);
            }
            _ => frames[index] = Arc::from([address_frame(location.address)]),
        }
    }
    for (module, places) in wanted {
        let keys: Vec<Key> = places
            .keys()
            .map(|place| (names[module].clone(), *place))
            .collect();
        let (found, for_good) = find(cache, &modules[module], &keys);
        lasting &= for_good;
        missing.extend(
            cache
                .lack(&names[module])
                .map(|lack| lack.cure(&modules[module].path)),
        );
        for (indices, found) in places.values().zip(found) {
            for index in indices {
                frames[*index] = found.clone();
            }
        }
    }
    // Some of it is said of all files.
    missing.dedup();
    Names {
        frames,
        lasting,
        missing,
    }
}

/// Frames at places of one module, from the cache or from its file; and whether another time would find no more.
fn find(cache: &Cache, module: &Module, keys: &[Key]) -> (Vec<Arc<[Frame]>>, bool) {
    let mut lasting = true;
    let mut found = cache.get(keys);
    let missing = |found: &[Option<_>]| -> Vec<usize> {
        (0..found.len()).filter(|i| found[*i].is_none()).collect()
    };
    let missing = missing(&found);
    if !missing.is_empty() {
        let places: Vec<u64> = missing.iter().map(|i| keys[*i].1).collect();
        let resolved = module::resolve(module, &places);
        for (index, frames) in missing.iter().zip(resolved.frames) {
            found[*index] = Some(frames.into());
        }
        if let Some((file, _)) = keys.first() {
            cache.note(file, resolved.lack);
        }
        lasting = resolved.lasting;
        if lasting {
            let new = missing
                .iter()
                .filter_map(|i| Some((keys[*i].clone(), found[*i].clone()?)));
            cache.insert(new);
        }
    }
    let frames = found.into_iter().map(Option::unwrap_or_default);
    (frames.collect(), lasting)
}

/// What names a module's file in the cache.
fn file_name(module: &Module) -> Arc<str> {
    match &module.build_id {
        Some(id) => id.as_str().into(),
        // Without a build id the same path may be another file another time; where it is mapped
        // tells the two apart as far as one process can see both.
        None => format!("{}@{:x}", module.path, module.bias).into(),
    }
}

/// An address in the calling instruction: the return address may already belong to the next line,
/// or the next function.
fn called_from(location: &Location) -> u64 {
    location.address.wrapping_sub(1)
}

/// Code outside every module: generated at run time, or the kernel's.
fn address_frame(address: u64) -> Frame {
    Frame {
        function: format!("{address:#x}").into(),
        file: None,
        line: None,
        origin: Origin::Foreign,
        inlined: false,
    }
}
