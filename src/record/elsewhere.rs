//! Stands in for `record` on systems other than 64-bit Linux with glibc, where nothing is sampled: every
//! allocation passes through at no cost, and every request for a report gets an error that says so.
//!
//! The parts that only compute are the same as elsewhere.
#![allow(dead_code, reason = "shared with where allocations are sampled")]

pub(crate) mod deaths;
pub(crate) mod loss;
mod sample;
pub(crate) mod sampler;
mod site;
mod site_id;
pub(crate) mod sum;

use std::alloc::Layout;
use std::ptr;

use crate::Error;
use live::LiveSample;
use unwind::Registers;

/// Why nothing is counted.
pub(crate) fn absent() -> Error {
    Error::NotSupported
}

pub(crate) fn draw(_: &Registers) -> Option<u32> {
    None
}

pub(crate) fn interval_here() -> u32 {
    0
}

pub(crate) fn allocate(_: &Registers, _: Layout, _zeroed: bool, _interval: u32) -> *mut u8 {
    ptr::null_mut()
}

pub(crate) fn allocated(_: &Registers, _address: usize, _size: usize, _interval: u32) {}

pub(crate) fn count_refused() {}

pub(crate) fn take(_address: usize) -> Option<LiveSample> {
    None
}

pub(crate) fn settle(_address: usize) {}

pub(crate) fn freed(_: &LiveSample) {}

pub(crate) fn put_back(_: LiveSample) {}

pub(crate) fn self_bytes() -> usize {
    0
}

pub(crate) fn maintain() {}

pub(crate) mod clock {
    pub(crate) fn now_ns() -> u64 {
        0
    }
}

pub(crate) mod fork {
    use std::sync::OnceLock;

    pub(crate) fn began_ns() -> u64 {
        0
    }

    /// A lazily made value.
    pub(crate) struct PerProcess<T: Sync + 'static>(OnceLock<T>);

    impl<T: Send + Sync + 'static> PerProcess<T> {
        pub(crate) const fn new() -> Self {
            PerProcess(OnceLock::new())
        }

        pub(crate) fn get(&'static self) -> Option<&'static T> {
            self.0.get()
        }

        pub(crate) fn get_or_init(&'static self, make: impl FnOnce() -> T) -> Option<&'static T> {
            Some(self.0.get_or_init(make))
        }
    }
}

pub(crate) mod live {
    pub(crate) use super::sample::LiveSample;

    #[inline(always)]
    pub(crate) fn may_have(_address: usize) -> bool {
        false
    }

    pub(crate) fn read() -> Option<Vec<LiveSample>> {
        Some(Vec::new())
    }
}

pub(crate) mod modules {
    use std::ops::Range;

    #[derive(Debug)]
    pub(crate) struct Module {
        pub(crate) path: &'static [u8],
        pub(crate) build_id: &'static [u8],
        pub(crate) range: Range<usize>,
        pub(crate) bias: usize,
    }

    pub(crate) fn loaded_and_gone() -> Option<Vec<Module>> {
        None
    }

    pub(crate) fn copy_refused() -> bool {
        false
    }

    pub(crate) fn is_frozen() -> bool {
        false
    }
}

pub(crate) mod region {
    use std::convert::Infallible;

    /// No block has anything to be looked up.
    pub(crate) const MAX_SMALL: usize = usize::MAX;

    /// There is none.
    pub(crate) type Place = Infallible;

    #[inline(always)]
    pub(crate) fn may_contain(_: *mut u8) -> bool {
        false
    }

    pub(crate) fn contains(_: *mut u8) -> bool {
        false
    }

    pub(crate) fn find(_: *mut u8) -> Option<Place> {
        None
    }

    #[inline(always)]
    pub(crate) fn is_large(_size: usize, _align: usize) -> bool {
        false
    }

    pub(crate) fn fits(_: *mut u8, _: std::alloc::Layout, _new_size: usize) -> bool {
        false
    }

    pub(crate) fn free(place: Place) {
        match place {}
    }
}

pub(crate) mod scopes {
    use super::loss::Loss;
    use super::sites::SiteId;

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Level {
        pub(crate) site: SiteId,
        pub(crate) bytes: u64,
        pub(crate) objects: u64,
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct ScopeId;

    #[derive(Debug)]
    pub(crate) struct Opened {
        pub(crate) id: ScopeId,
        pub(crate) before: Option<u32>,
    }

    pub(crate) fn open() -> Option<Opened> {
        None
    }

    pub(crate) fn close(_: &Opened) {}

    pub(crate) fn lost(_: Loss) {}

    pub(crate) fn levels(_: ScopeId) -> Vec<Level> {
        Vec::new()
    }

    pub(crate) fn losses(_: ScopeId) -> Option<(u64, Loss)> {
        None
    }
}

pub(crate) mod settings {
    use crate::config::DEFAULT_TICK_NS;

    pub(crate) fn interval() -> u32 {
        0
    }

    pub(crate) fn largest_interval() -> u32 {
        0
    }

    pub(crate) fn set_interval(_interval: u32) {}

    pub(crate) fn was_off() -> bool {
        false
    }

    pub(crate) fn doublings() -> u64 {
        0
    }

    pub(crate) fn is_doubled() -> bool {
        false
    }

    pub(crate) fn environment_is_bad() -> bool {
        false
    }

    pub(crate) fn tick_is_bad() -> bool {
        false
    }

    pub(crate) fn tick_ns() -> u64 {
        DEFAULT_TICK_NS
    }

    pub(crate) fn set_tick_ns(_tick_ns: u64) {}

    pub(crate) fn tick_of(_ns: u64) -> u32 {
        0
    }
}

pub(crate) mod sites {
    use super::deaths::Deaths;
    pub use super::site::AGE_BUCKETS;
    pub(crate) use super::site::{Site, age_bucket};
    pub(crate) use super::site_id::{OVERFLOW, SiteId};

    pub(crate) struct Reading {
        pub(crate) sites: Vec<(SiteId, Site)>,
    }

    pub(crate) fn read() -> Option<Reading> {
        Some(Reading { sites: Vec::new() })
    }

    pub(crate) fn deaths(_: SiteId) -> Option<(Option<Deaths>, u32)> {
        None
    }

    pub(crate) fn forget_deaths(_now: u32) {}
}

pub(crate) mod stack {
    use super::unwind::Registers;

    pub(crate) struct Captured<'a> {
        pub(crate) frames: &'a [usize],
    }

    pub(crate) fn with_captured<T>(_: &Registers, work: impl FnOnce(Captured<'_>) -> T) -> T {
        work(Captured { frames: &[] })
    }
}

pub(crate) mod thread {
    /// Always goes on.
    #[inline(always)]
    pub(crate) fn count_down(_size: usize) -> bool {
        true
    }

    pub(crate) fn is_due() -> bool {
        false
    }

    pub(crate) fn redraw(_interval: u32) {}

    pub(crate) fn counts_allocations() -> bool {
        false
    }

    pub(crate) struct Muted;

    impl Muted {
        pub(crate) fn new() -> Muted {
            Muted
        }
    }
}

pub(crate) mod unwind {
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Registers;

    impl Registers {
        pub(crate) fn here() -> Registers {
            Registers
        }
    }
}
