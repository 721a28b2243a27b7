//! What some threads allocate between two moments, exactly: for assertions in tests.

use std::collections::HashMap;
use std::marker::PhantomData;

use crate::Error;
use crate::record::scopes::{self, Opened};

use super::evidence::{self, SiteKey};
use super::{Extent, Snapshot, check_installed, muted, take};

/// While this lives, every allocation of the thread that opened it is counted, and of the threads
/// that are created by a counted one meanwhile.
#[derive(Debug)]
pub(crate) struct Scope {
    opened: Opened,
    // A thread leaves the scope that it opened.
    _not_send: PhantomData<*const ()>,
}

/// Allocated in a scope and not yet freed, at one site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) site: SiteKey,
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
}

impl Scope {
    /// `None` if this thread is in a scope already.
    pub(crate) fn open() -> Result<Option<Scope>, Error> {
        check_installed()?;
        Ok(muted(scopes::open).map(|opened| Scope {
            opened,
            _not_send: PhantomData,
        }))
    }

    /// Whether threads that are created meanwhile are counted, too.
    pub(crate) fn counts_new_threads(&self) -> bool {
        self.opened.before.is_some()
    }

    /// All sites at which the scope ever allocated, in no order.
    pub(crate) fn levels(&self) -> Vec<Level> {
        let level = |level: scopes::Level| Level {
            site: SiteKey(level.site),
            bytes: level.bytes,
            objects: level.objects,
        };
        scopes::levels(self.opened.id)
            .into_iter()
            .map(level)
            .collect()
    }

    /// How many allocations could not be recorded, and for what reason the last of them.
    pub(crate) fn losses(&self) -> Option<(u64, &'static str)> {
        scopes::losses(self.opened.id).map(|(lost, why)| (lost, why.name()))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        muted(|| scopes::close(&self.opened));
    }
}

/// A snapshot, and where in it what each key names is.
pub(crate) fn with_keys() -> Result<(Snapshot, HashMap<SiteKey, usize>), Error> {
    let (snapshot, places) = take::take(Extent::Counters)?;
    Ok((snapshot, evidence::keys(places).collect()))
}
