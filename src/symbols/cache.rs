//! Frames that were found before, bounded.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lack::Lack;
use crate::snapshot::Frame;

/// Addresses kept, and what their text may take.
const MAX_ADDRESSES: usize = 65_536;
const MAX_BYTES: usize = 16 << 20;

/// Files of which is kept what they lack; more are only there where plugins come and go.
const MAX_FILES: usize = 1024;

/// Where in which file: independent of where a process loaded it.
pub(super) type Key = (Arc<str>, u64);

/// Frames by place, bounded in number and bytes.
#[derive(Default)]
pub(super) struct Cache(Mutex<Generations>);

/// Two generations: what is looked up moves to the young one; when that is half of the bound, the
/// old one is dropped and the young one takes its place. So whatever was used lately stays, without
/// a list to keep in order.
#[derive(Default)]
struct Generations {
    young: HashMap<Key, Arc<[Frame]>>,
    old: HashMap<Key, Arc<[Frame]>>,
    young_bytes: usize,
    /// Where the young one's texts are: shared ones count once.
    texts: HashSet<usize>,
    /// What files lack of which frames were found, however long ago.
    lacks: HashMap<Arc<str>, Lack>,
}

impl Cache {
    /// Looks many places up at once.
    pub(super) fn get(&self, keys: &[Key]) -> Vec<Option<Arc<[Frame]>>> {
        let mut generations = self.lock();
        keys.iter().map(|key| generations.get(key)).collect()
    }

    /// Keeps what was found.
    pub(super) fn insert(&self, found: impl IntoIterator<Item = (Key, Arc<[Frame]>)>) {
        let mut generations = self.lock();
        for (key, frames) in found {
            generations.insert(key, frames);
        }
    }

    /// Keeps what a file lacks.
    pub(super) fn note(&self, file: &Arc<str>, lack: Option<Lack>) {
        let lacks = &mut self.lock().lacks;
        if lacks.len() >= MAX_FILES {
            lacks.clear();
        }
        match lack {
            Some(lack) => lacks.insert(file.clone(), lack),
            None => lacks.remove(file),
        };
    }

    pub(super) fn lack(&self, file: &str) -> Option<Lack> {
        self.lock().lacks.get(file).copied()
    }

    /// Keeps the lock meanwhile.
    #[cfg(test)]
    pub(super) fn hold(&self, work: impl FnOnce()) {
        let _generations = self.lock();
        work();
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // A panic leaves maps that are whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&mut self, key: &Key) -> Option<Arc<[Frame]>> {
        if let Some(frames) = self.young.get(key) {
            return Some(frames.clone());
        }
        let (key, frames) = self.old.remove_entry(key)?;
        self.insert(key, frames.clone());
        Some(frames)
    }

    fn insert(&mut self, key: Key, frames: Arc<[Frame]>) {
        if self.young.len() >= MAX_ADDRESSES / 2 || self.young_bytes >= MAX_BYTES / 2 {
            self.old = mem::take(&mut self.young);
            self.texts.clear();
            self.young_bytes = 0;
        }
        self.young_bytes += size_of_val(&*frames);
        for text in frames.iter().flat_map(texts) {
            if self.texts.insert(text.as_ptr() as usize) {
                self.young_bytes += text.len();
            }
        }
        self.young.insert(key, frames);
    }
}

fn texts(frame: &Frame) -> impl Iterator<Item = &Arc<str>> {
    [Some(&frame.function), frame.file.as_ref()]
        .into_iter()
        .flatten()
}
