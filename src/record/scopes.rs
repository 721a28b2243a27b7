//! Scopes: every allocation of some threads between two moments, for assertions in tests.
//!
//! A thread in a scope samples at interval 1 whatever the interval of the process is. Its samples
//! are ordinary ones, of weight 1; beside the other tables, the one here keeps which blocks belong
//! to which scope, so that a free on any thread is counted off the right one. While no scope is
//! open, all of this is one load per sample taken or freed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use hashbrown::HashTable;

use crate::config::MAX_SELF_BYTES;

use super::budget;
use super::fork::PerProcess;
use super::inherit::{self, Before};
use super::live::LiveSample;
use super::loss::Loss;
use super::own::{Own, OwnVec};
use super::sampler::mix;
use super::sites::SiteId;
use super::sync::lock;
use super::thread::{self, Membership, ScopeId};

/// What a scope's threads allocated at a site and nobody freed yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) site: SiteId,
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
}

/// A live block of a scope. The birth tells it from one that came to its address before.
struct Block {
    address: usize,
    birth_ns: u64,
    scope: ScopeId,
}

struct Open {
    id: ScopeId,
    levels: HashTable<Level, Own>,
    /// Allocations that could not be recorded, and why the last of them could not.
    lost: u64,
    why: Option<Loss>,
}

struct Table {
    open: OwnVec<Open>,
    blocks: HashTable<Block, Own>,
}

static SCOPES: PerProcess<Mutex<Table>> = PerProcess::new();

/// Scopes that are open, or being closed.
static OPEN: AtomicU32 = AtomicU32::new(0);

fn any() -> bool {
    // Relaxed: a thread in a scope opened it, or was created by one that is in it, and a thread
    // that frees a scope's block got it from such a one: all of them see the scope counted.
    OPEN.load(Ordering::Relaxed) != 0
}

/// The table, if there is anything in it.
fn table() -> Option<MutexGuard<'static, Table>> {
    if !any() {
        return None;
    }
    SCOPES.get().map(lock)
}

/// How a scope was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) id: ScopeId,
    /// What to restore at the end; `None` if threads created meanwhile are not in the scope.
    pub(crate) before: Option<Before>,
}

/// Opens a scope with this thread in it. `None` if the thread is in one already, or without memory
/// for it. Muted.
pub(crate) fn open() -> Option<Opened> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if current().is_some() {
        return None;
    }
    let scopes = SCOPES.get_or_init(|| {
        Mutex::new(Table {
            open: OwnVec::new_in(Own::Scopes),
            blocks: HashTable::new_in(Own::Scopes),
        })
    })?;
    // Relaxed: only distinct numbers are wanted.
    let id = ScopeId(NEXT.fetch_add(1, Ordering::Relaxed));
    let mut table = lock(scopes);
    table.open.try_reserve(1).ok()?;
    table.open.push(Open {
        id,
        levels: HashTable::new_in(Own::Scopes),
        lost: 0,
        why: None,
    });
    drop(table);
    OPEN.fetch_add(1, Ordering::Relaxed);
    thread::join(Membership::In(id));
    thread::redraw(super::interval_here());
    let before = inherit::give(id.0 % inherit::NUMBERS);
    Some(Opened { id, before })
}

/// Closes a scope on the thread that opened it. Threads that are still in it leave it with their
/// next allocation. Muted.
pub(crate) fn close(opened: &Opened) {
    if let Some(before) = opened.before {
        inherit::take_back(before);
    }
    thread::join(Membership::None);
    thread::redraw(super::interval_here());
    if let Some(scopes) = SCOPES.get() {
        let mut table = lock(scopes);
        table.open.retain(|open| open.id != opened.id);
        table.blocks.retain(|block| block.scope != opened.id);
        if table.open.is_empty() {
            table.blocks = HashTable::new_in(Own::Scopes);
        }
    }
    OPEN.fetch_sub(1, Ordering::Relaxed);
}

/// The open scope that this thread is in. The first call on a thread finds out whether it was
/// created in one.
pub(crate) fn current() -> Option<ScopeId> {
    let membership = thread::membership();
    if membership == Membership::None {
        return None;
    }
    let open = table().and_then(|table| {
        let mut open = table.open.iter();
        let found = match membership {
            Membership::In(id) => open.find(|open| open.id == id),
            _ => {
                let number = inherit::inherited()?;
                open.find(|open| open.id.0 % inherit::NUMBERS == number)
            }
        };
        found.map(|open| open.id)
    });
    thread::join(open.map_or(Membership::None, Membership::In));
    open
}

/// Counts a sample that this thread took to its scope, if it is in one. Muted.
pub(crate) fn allocated(sample: &LiveSample) {
    let Membership::In(id) = thread::membership() else {
        return;
    };
    let Some(scopes) = SCOPES.get() else { return };
    let mut table = lock(scopes);
    let Table { open, blocks } = &mut *table;
    let Some(open) = open.iter_mut().find(|open| open.id == id) else {
        return;
    };
    let room = budget::table_bytes() < MAX_SELF_BYTES
        && blocks
            .try_reserve(1, |block| mix(block.address as u64))
            .is_ok()
        && open.levels.try_reserve(1, hash_of_level).is_ok();
    if !room {
        open.lost += 1;
        open.why = Some(Loss::NoMemory);
        return;
    }
    blocks.insert_unique(
        mix(sample.address as u64),
        Block {
            address: sample.address,
            birth_ns: sample.birth_ns,
            scope: id,
        },
        |block| mix(block.address as u64),
    );
    let level = open.level(sample.site);
    level.bytes += sample.size as u64;
    level.objects += 1;
}

/// Counts a freed sample off the scope that it belongs to, on whatever thread. Muted.
pub(crate) fn freed(sample: &LiveSample) {
    let Some(mut table) = table() else { return };
    let Table { open, blocks } = &mut *table;
    // By its birth, too: by now another block may live at the address.
    let found = blocks.find_entry(mix(sample.address as u64), |block| {
        block.address == sample.address && block.birth_ns == sample.birth_ns
    });
    let Ok(found) = found else { return };
    let (block, _) = found.remove();
    if let Some(open) = open.iter_mut().find(|open| open.id == block.scope) {
        let hash = sample.site.hash();
        if let Some(level) = open
            .levels
            .find_mut(hash, |level| level.site == sample.site)
        {
            level.bytes = level.bytes.saturating_sub(sample.size as u64);
            level.objects = level.objects.saturating_sub(1);
        }
    }
}

/// Counts an allocation of this thread that could not be recorded. Muted.
pub(crate) fn lost(why: Loss) {
    let Membership::In(id) = thread::membership() else {
        return;
    };
    let Some(mut table) = table() else { return };
    if let Some(open) = table.open.iter_mut().find(|open| open.id == id) {
        open.lost += 1;
        open.why = Some(why);
    }
}

/// A scope's levels by site, in no order; those that came back to nothing included.
pub(crate) fn levels(id: ScopeId) -> Vec<Level> {
    let mut copy = Vec::new();
    loop {
        let Some(table) = table() else { return copy };
        let Some(open) = table.open.iter().find(|open| open.id == id) else {
            return copy;
        };
        let len = open.levels.len();
        if len <= copy.capacity() {
            copy.extend(open.levels.iter().copied());
            return copy;
        }
        // Not under the lock.
        drop(table);
        copy.reserve(len + 64);
    }
}

/// How many of a scope's allocations could not be recorded, and why.
pub(crate) fn losses(id: ScopeId) -> Option<(u64, Loss)> {
    let table = table()?;
    let open = table.open.iter().find(|open| open.id == id)?;
    open.why.map(|why| (open.lost, why))
}

impl Open {
    /// The level of a site. Room for one more was reserved if it may be new.
    fn level(&mut self, site: SiteId) -> &mut Level {
        let nothing = Level {
            site,
            bytes: 0,
            objects: 0,
        };
        self.levels
            .entry(
                hash_of_level(&nothing),
                |level| level.site == site,
                hash_of_level,
            )
            .or_insert(nothing)
            .into_mut()
    }
}

fn hash_of_level(level: &Level) -> u64 {
    level.site.hash()
}
