//! Snapshots made by hand, names included, for the tests of what reads them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use crate::record::sampler::{Countdown, Rng, mix};
use crate::record::sum::Sum;

use super::take;
use super::{
    AGE_BUCKETS, Dropped, Facts, Frame, Info, Location, Module, Names, Origin, Site, Snapshot,
    Totals,
};

pub(crate) const INTERVAL: u64 = 512 * 1024;

/// Puts a snapshot together; `build` gives it.
#[derive(Debug)]
pub(crate) struct Builder {
    snapshot: Snapshot,
    names: Vec<Arc<[Frame]>>,
}

impl Builder {
    /// No sites yet, one module: the program `chat`.
    pub(crate) fn new() -> Self {
        let snapshot = Snapshot {
            info: Info {
                taken: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
                watched_seconds: 750.0,
                interval_bytes: INTERVAL,
                largest_interval_bytes: INTERVAL,
                live_interval_bytes: 0,
                was_off: false,
                samples: 0,
                dropped: Vec::new(),
                notes: Vec::new(),
                self_bytes: 1 << 20,
                pid: 4242,
                profile_id: 0x1234,
                error_bars: true,
                process: Facts::default(),
            },
            modules: Vec::new(),
            locations: Vec::new(),
            sites: Vec::new(),
            watched: None,
            names: OnceLock::new(),
        };
        let builder = Builder {
            snapshot,
            names: Vec::new(),
        };
        builder.module("/srv/chat", 0x5000_0000, 0x5010_0000, Some("c0ffee"))
    }

    pub(crate) fn module(
        mut self,
        path: &str,
        start: u64,
        end: u64,
        build_id: Option<&str>,
    ) -> Self {
        self.snapshot.modules.push(Module {
            path: path.to_owned(),
            build_id: build_id.map(str::to_owned),
            start,
            end,
            bias: start,
        });
        self
    }

    pub(crate) fn info(mut self, change: impl FnOnce(&mut Info)) -> Self {
        change(&mut self.snapshot.info);
        self
    }

    /// Interns a return address with its frames, innermost first.
    pub(crate) fn location(&mut self, address: u64, frames: &[Frame]) -> u32 {
        let modules = &self.snapshot.modules;
        let module = modules
            .iter()
            .position(|module| (module.start..module.end).contains(&address));
        self.snapshot.locations.push(Location {
            address,
            module: module.map(|index| index as u32),
        });
        self.names.push(Arc::from(frames));
        (self.names.len() - 1) as u32
    }

    /// Adds a site whose samples had these sizes, of which the first `freed` are gone.
    pub(crate) fn site(
        &mut self,
        id: u64,
        stack: &[u32],
        sizes: &[f64],
        freed: usize,
    ) -> &mut Site {
        let interval = self.snapshot.info.interval_bytes;
        let live = totals(&sizes[freed..], interval);
        let freed = totals(&sizes[..freed], interval);
        let mut allocated = live;
        allocated += freed;
        self.snapshot.info.samples += sizes.len() as u64;
        self.snapshot.sites.push(Site {
            id,
            stack: stack.into(),
            truncated: false,
            overflow: false,
            live,
            allocated,
            freed,
            samples: sizes.len() as u64,
            lifetimes: [0; AGE_BUCKETS],
            ages: [0; AGE_BUCKETS],
        });
        self.snapshot.sites.last_mut().expect("just pushed")
    }

    pub(crate) fn build(self) -> Snapshot {
        let mut snapshot = self.snapshot;
        snapshot.names = Names::known(self.names);
        snapshot
    }
}

/// What samples of these sizes stand for.
pub(crate) fn totals(sizes: &[f64], interval: u64) -> Totals {
    let mut totals = Totals::default();
    for &size in sizes {
        let p = match interval {
            1 => 1.0,
            _ => 1.0 - (-size / interval as f64).exp(),
        };
        let weight = 1.0 / p;
        totals += Totals {
            objects: weight,
            bytes: size * weight,
            objects_variance: weight * weight * (1.0 - p),
            bytes_variance: (size * weight).powi(2) * (1.0 - p),
        };
    }
    totals
}

/// A frame that was called, not inlined.
pub(crate) fn frame(function: &str, source: &str, line: u32, origin: Origin) -> Frame {
    Frame {
        function: function.into(),
        file: (!source.is_empty()).then(|| source.into()),
        line: (line > 0).then_some(line),
        origin,
        inlined: false,
    }
}

/// A frame that was inlined into the next.
pub(crate) fn inlined(frame: Frame) -> Frame {
    Frame {
        inlined: true,
        ..frame
    }
}

pub(crate) fn own(krate: &str) -> Origin {
    Origin::Own {
        krate: krate.into(),
    }
}

pub(crate) fn dependency(name: &str, version: &str) -> Origin {
    Origin::Dependency {
        name: name.into(),
        version: version.into(),
    }
}

/// A chat service: a session leak, buffers of a dependency on behalf of two own functions, churn,
/// a C library, a stack that was not captured, and the overflow site.
pub(crate) fn sample() -> Snapshot {
    let mut b = Builder::new()
        .module("/usr/lib/libsqlite3.so.0", 0x7000_0000, 0x7004_0000, None)
        .info(|info| {
            info.dropped = vec![Dropped {
                reason: "region_full".into(),
                samples: 12,
            }];
            info.notes = vec!["The stacks of 3 samples were cut at 128 frames.".to_owned()];
        });
    let rehash = "hashbrown::raw::RawTable<(u64, chat::Session)>::reserve_rehash";
    let register = b.location(
        0x5000_1005,
        &[
            inlined(frame("__rust_alloc", "src/main.rs", 3, Origin::Allocator)),
            inlined(frame(
                "alloc::alloc::alloc",
                "alloc/src/alloc.rs",
                94,
                Origin::Std,
            )),
            inlined(frame(rehash, "hashbrown/src/raw/mod.rs", 1021, Origin::Std)),
            frame("chat::register", "src/chat.rs", 41, own("chat")),
        ],
    );
    let main = b.location(
        0x5000_2005,
        &[frame("chat::main", "src/main.rs", 12, own("chat"))],
    );
    let grow = b.location(
        0x5000_3005,
        &[frame(
            "alloc::raw_vec::finish_grow",
            "alloc/src/raw_vec.rs",
            777,
            Origin::Std,
        )],
    );
    let reserve = b.location(
        0x5000_3105,
        &[frame(
            "bytes::BytesMut::reserve",
            "src/bytes_mut.rs",
            600,
            dependency("bytes", "1.10.1"),
        )],
    );
    let decode = b.location(
        0x5000_4005,
        &[frame("chat::decode", "src/chat.rs", 88, own("chat"))],
    );
    let encode = b.location(
        0x5000_4105,
        &[frame("chat::encode", "src/chat.rs", 131, own("chat"))],
    );
    let sqlite = b.location(
        0x7000_1005,
        &[frame("libsqlite3.so.0+0x1005", "", 0, Origin::Foreign)],
    );
    let runtime = b.location(
        0x5000_5005,
        &[frame(
            "std::thread::current::init",
            "std/src/thread/current.rs",
            230,
            Origin::Std,
        )],
    );

    b.site(0x1111, &[register, main], &[200.0; 40], 0);
    b.site(0x2222, &[grow, reserve, decode, main], &[4_096.0; 30], 14)
        .truncated = true;
    b.site(0x3333, &[grow, reserve, encode, main], &[100_000.0; 9], 6);
    b.site(0x4444, &[encode, main], &[64.0; 20], 20);
    b.site(0x5555, &[sqlite, main], &[1_500_000.0; 2], 0);
    b.site(0x6666, &[runtime], &[48.0], 0);
    b.site(0x7777, &[], &[48.0; 2], 1);
    b.site(0x8888, &[], &[300.0; 3], 0).overflow = true;
    b.build()
}

/// The service of [`sample`], and after it leaked sessions and freed buffers.
pub(crate) fn grown() -> (Snapshot, Snapshot) {
    let before = sample();
    let mut after = sample();
    let site = |id| after.sites.iter().position(|site| site.id == id).unwrap();
    let (leak, freed, noise) = (site(0x1111), site(0x2222), site(0x6666));
    let more = totals(&[200.0; 30], INTERVAL);
    after.sites[leak].live += more;
    after.sites[leak].allocated += more;
    after.sites[leak].ages[30] = 70;
    let gone = after.sites[freed].live;
    after.sites[freed].freed += gone;
    after.sites[freed].live = Totals::default();
    let one = totals(&[48.0], INTERVAL);
    after.sites[noise].live += one;
    after.sites[noise].allocated += one;
    (before, after)
}

/// One site under the real sampler and counters.
#[derive(Debug)]
pub(crate) struct Simulated {
    rng: Rng,
    countdown: Countdown,
    allocated: Sum,
    freed: Sum,
}

/// An object of a [`Simulated`] site: what its sample stands for, if it was sampled.
pub(crate) type Object = Option<Sum>;

impl Simulated {
    pub(crate) fn new(seed: u64) -> Self {
        Simulated {
            rng: Rng(mix(seed)),
            countdown: Countdown::START,
            allocated: Sum::default(),
            freed: Sum::default(),
        }
    }

    pub(crate) fn allocate(&mut self, size: usize) -> Object {
        self.countdown.left -= size as i64;
        if self.countdown.left >= 0 {
            return None;
        }
        let interval = self.countdown.expire(INTERVAL as u32, &mut self.rng)?;
        let sum = Sum::of(size, interval);
        self.allocated.add(&sum);
        Some(sum)
    }

    pub(crate) fn free(&mut self, object: &Object) {
        if let Some(sum) = object {
            self.freed.add(sum);
        }
    }

    /// A snapshot of this site alone.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut builder = Builder::new();
        let site = builder.site(1, &[], &[], 0);
        site.allocated = take::totals(&self.allocated);
        site.freed = take::totals(&self.freed);
        site.live = take::totals(&self.allocated.without(&self.freed));
        builder.build()
    }
}
