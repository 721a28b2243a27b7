//! An owned, immutable copy of everything that was counted up to one moment: the only reader of
//! `record`.
//!
//! A [`Snapshot`] is a table of sites. Each [`Site`] is one distinct stack with its counters;
//! stacks refer to [`Location`]s, which are return addresses interned for the whole snapshot, and
//! those to [`Module`]s. Names are found once, on first use, and kept with the snapshot.

pub(crate) mod evidence;
mod facts;
mod hash;
pub(crate) mod history;
pub(crate) mod scope;
pub(crate) mod serial;
pub(crate) mod series;
mod take;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod watched;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::Error;
pub(crate) use crate::record::fork::PerProcess;
pub use crate::record::sites::AGE_BUCKETS;
use crate::record::{self, thread};

pub use facts::{Facts, JemallocFacts};
use serial::{Hex, bounded};
#[cfg(feature = "server")]
pub(crate) use take::loss_reasons;
use watched::Watched;

/// An owned copy of all counters at one moment. See the [module's documentation](self).
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) info: Info,
    pub(crate) modules: Vec<Module>,
    pub(crate) locations: Vec<Location>,
    pub(crate) sites: Vec<Site>,
    /// What verdicts on growth rest on; none if nobody watched, and in another tool's profile.
    pub(crate) watched: Option<Box<Watched>>,
    pub(crate) names: OnceLock<Names>,
}

/// Frames of each location, innermost (most deeply inlined) first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Names {
    pub(crate) frames: Vec<Arc<[Frame]>>,
    /// No later look would find more: nothing was lacking to read the files.
    pub(crate) lasting: bool,
    /// What the files do not hold, and how to get it, a sentence for each file.
    pub(crate) missing: Vec<String>,
}

impl Names {
    /// Names that are known beforehand.
    pub(crate) fn known(frames: Vec<Arc<[Frame]>>) -> OnceLock<Names> {
        OnceLock::from(Names {
            frames,
            lasting: true,
            missing: Vec::new(),
        })
    }
}

/// Two snapshots are equal if all that was recorded is; names follow from it and are not compared.
impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.info == other.info
            && self.modules == other.modules
            && self.locations == other.locations
            && self.sites == other.sites
            && self.watched == other.watched
    }
}

/// What is true of a whole snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// When the snapshot was taken.
    pub taken: SystemTime,
    /// Seconds from the first allocation of the process to this snapshot.
    pub watched_seconds: f64,
    /// Mean bytes between two samples at this moment: 0 is off, 1 is every allocation.
    pub interval_bytes: u64,
    /// The largest interval that was in force at any time; what is unseen is below three times it,
    /// unless sampling was off.
    pub largest_interval_bytes: u64,
    /// The largest interval that bounds what is live: that of this moment, or one that a live sample was
    /// taken at. What is live and unseen is below three times it, but for what was allocated before
    /// the interval became smaller. 0 if nothing is sampled.
    #[serde(default)]
    pub live_interval_bytes: u64,
    /// Whether sampling was off for a while: what was allocated then is in no number.
    #[serde(default)]
    pub was_off: bool,
    /// Samples taken since the start.
    pub samples: u64,
    /// Samples that could not be kept, by reason; empty when nothing was lost.
    #[serde(deserialize_with = "bounded::<_, _, 100>")]
    pub dropped: Vec<Dropped>,
    /// Things that limit what this snapshot can say, one sentence each; empty on a healthy process.
    #[serde(deserialize_with = "bounded::<_, _, 100>")]
    pub notes: Vec<String>,
    /// Bytes that heapwatch's own tables take.
    pub self_bytes: u64,
    /// Process id.
    pub pid: u32,
    /// Random number that names this process's profile; equal in two snapshots of one process, and
    /// 0 if that is not known.
    #[serde(with = "Hex")]
    pub profile_id: u64,
    /// Whether the error of the counters is known. It is not in a profile that another tool wrote.
    pub error_bars: bool,
    /// What the process and its machine looked like.
    pub process: Facts,
}

/// Samples lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Short snake_case reason, as in the metric `heapwatch_samples_dropped_total{reason}`.
    pub reason: Cow<'static, str>,
    /// How many samples.
    pub samples: u64,
}

/// One loaded object: the executable or a shared library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Path of the file, empty if unknown.
    pub path: String,
    /// GNU build id in hex, if the object has one.
    pub build_id: Option<String>,
    /// First address of its mapping in this process.
    pub start: u64,
    /// One past its last address.
    pub end: u64,
    /// What to subtract from an address to get the address that the object file states.
    pub bias: u64,
}

/// A return address, interned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The return address in this process: it points behind the call.
    pub address: u64,
    /// Index into the snapshot's modules, if the address lies in a known one.
    pub module: Option<u32>,
}

/// One distinct stack and what was counted for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Stable across restarts of the same binary: a hash of build ids and offsets. Shown in hex. Code
    /// that was unloaded and loaded again elsewhere is one site, with the addresses of one of the two.
    pub id: u64,
    /// Indices into the snapshot's locations, innermost first, allocator frames removed. Empty for
    /// the overflow site and where no stack could be captured.
    pub stack: Box<[u32]>,
    /// Whether outer frames were cut at the depth limit, or unwinding ended early.
    pub truncated: bool,
    /// Whether this is the one site that stands for all stacks beyond the table's bound.
    pub overflow: bool,
    /// Allocated and not yet freed.
    pub live: Totals,
    /// Allocated since the start.
    pub allocated: Totals,
    /// Freed since the start.
    pub freed: Totals,
    /// Samples taken since the start.
    pub samples: u64,
    /// Lifetimes of freed samples: bucket `i` counts those freed after less than 2^(i+10)
    /// nanoseconds and not in an earlier bucket; the last takes the rest.
    pub lifetimes: [u32; AGE_BUCKETS],
    /// Ages of live samples, in the buckets of `lifetimes`.
    pub ages: [u32; AGE_BUCKETS],
}

/// Sums over samples, scaled to what they stand for.
///
/// A sample of `s` bytes that was picked with probability `p` stands for `w = 1/p` objects and
/// `s·w` bytes. The sums are unbiased; their variances are `Σ w²(1−p)` and `Σ (s·w)²(1−p)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Objects.
    pub objects: f64,
    /// Bytes.
    pub bytes: f64,
    /// Variance of `objects`.
    pub objects_variance: f64,
    /// Variance of `bytes`.
    pub bytes_variance: f64,
}

/// A function in a stack, as a person reads it. Equal texts are shared between frames.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Function name with generic arguments, without hash; `module+0xoffset` without symbols.
    pub function: Arc<str>,
    /// Source file, shortened to what is the same on every machine where that is possible.
    pub file: Option<Arc<str>>,
    /// Line in the source file.
    pub line: Option<u32>,
    /// Whose code it is.
    pub origin: Origin,
    /// Whether the function was inlined into the next outer frame.
    pub inlined: bool,
}

/// Whose code a frame is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The user's own code; the crate's name where the function's name tells it.
    Own {
        /// Crate name, empty if unknown.
        #[serde(rename = "crate")]
        krate: Arc<str>,
    },
    /// A dependency: from a registry, a git repository or a vendor folder.
    Dependency {
        /// Package name.
        name: Arc<str>,
        /// Package version, or git revision; empty if unknown.
        version: Arc<str>,
    },
    /// core, alloc, std, and collection code that stands for them (hashbrown).
    Std,
    /// The allocator: heapwatch itself and the shims that lead to it.
    Allocator,
    /// Code without Rust names: C libraries, libc, start-up code.
    Foreign,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.objects_variance += other.objects_variance;
        self.bytes_variance += other.bytes_variance;
    }
}

impl Info {
    /// Whether nothing was ever sampled, so that no number says anything: sampling was refused, or is off.
    pub(crate) fn nothing_sampled(&self) -> bool {
        self.error_bars && self.largest_interval_bytes == 0
    }

    /// The interval that bounds what is live; files of old do not hold it.
    pub(crate) fn live_interval(&self) -> u64 {
        match self.live_interval_bytes {
            0 => self.largest_interval_bytes,
            interval => interval,
        }
    }

    /// One of its figures; none where another tool's profile does not hold it, which leaves it 0.
    pub(crate) fn known<T: PartialEq + Default>(&self, figure: T) -> Option<T> {
        (self.error_bars || figure != T::default()).then_some(figure)
    }
}

impl Snapshot {
    /// What is true of the whole snapshot.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The sites, in no particular order; ids are unique.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The objects that the locations lie in.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The interned return addresses.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Sum of all sites' live counters.
    pub fn live(&self) -> Totals {
        self.sum(|site| site.live)
    }

    /// Sum of all sites' cumulative allocated counters.
    pub fn allocated(&self) -> Totals {
        self.sum(|site| site.allocated)
    }

    /// Sum of all sites' cumulative freed counters.
    pub fn freed(&self) -> Totals {
        self.sum(|site| site.freed)
    }

    fn sum(&self, of: impl Fn(&Site) -> Totals) -> Totals {
        let mut total = Totals::default();
        for site in &self.sites {
            total += of(site);
        }
        total
    }
}

/// Takes a snapshot of this process.
///
/// It may be taken on any thread at any time; several at once and under full load. Other threads
/// wait for it at most while one shard of a table is copied. Names are not looked up yet: that
/// happens when a report first asks for them.
///
/// # Errors
///
/// [`Error::NotInstalled`] if heapwatch is not the global allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
///
/// fn main() -> Result<(), heapwatch::Error> {
///     let snapshot = heapwatch::snapshot()?;
///     println!("{:.0} bytes are live, about", snapshot.live().bytes);
///     Ok(())
/// }
/// ```
pub fn snapshot() -> Result<Snapshot, Error> {
    take(Extent::Growth)
}

/// How much a snapshot tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Counters: what profiles, comparisons, flame graphs and metrics are made of.
    Counters,
    /// Also what verdicts on growth rest on, where growth is watched. It costs as much again.
    Growth,
}

/// Takes a snapshot of this process that tells as much as is needed.
pub(crate) fn take(extent: Extent) -> Result<Snapshot, Error> {
    check_installed()?;
    Ok(muted(|| take::take(extent))?.0)
}

/// Whether heapwatch is this program's global allocator.
pub(crate) fn check_installed() -> Result<(), Error> {
    if thread::counts_allocations() {
        Ok(())
    } else {
        Err(record::absent())
    }
}

/// Runs something whose allocations are neither counted nor sampled: heapwatch's own work.
pub(crate) fn muted<T>(work: impl FnOnce() -> T) -> T {
    let _muted = thread::Muted::new();
    work()
}
