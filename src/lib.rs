//! A global allocator that says which call sites of a running service hold its memory.
//!
//! Two lines make a service tell, over HTTP, where its memory is:
//!
//! ```no_run
//! #[global_allocator]
//! static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
//!
//! fn main() -> Result<(), heapwatch::Error> {
//!     let _watch = heapwatch::serve("127.0.0.1:6790")?; // its own thread
//!     // … the service …
//!     Ok(())
//! }
//! ```
//!
//! `http://127.0.0.1:6790/` is then a live page, and has tables of call sites, verdicts on their growth,
//! metrics for Prometheus and profiles for `go tool pprof`. Let release builds keep `debug = "line-tables-only"`; that is what
//! names call sites.
//!
//! # How it works
//!
//! [`Alloc`] passes every allocation to jemalloc, or to [another allocator](Alloc::over), and picks
//! some as samples: one in 512 KiB on average, the *interval*, so that an allocation of `s` bytes is
//! picked with probability `1 − e^(−s/interval)`. A sample keeps its stack until it is freed and
//! counts for as many allocations as it stands for. So sums are unbiased for any mix of sizes, and
//! each comes with a 95 % interval. [`set_interval`] and `HEAPWATCH_INTERVAL` change the interval;
//! 1 counts every allocation exactly, 0 is off.
//!
//! # Asking from inside
//!
//! [`snapshot`](fn@snapshot) copies all counters at one moment, and [`report`] makes of it what the
//! endpoint answers:
//!
//! ```
//! use heapwatch::report::By;
//!
//! #[global_allocator]
//! static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
//!
//! fn main() -> Result<(), heapwatch::Error> {
//!     heapwatch::set_interval(1)?;
//!     let sessions = vec![0_u8; 1 << 20];
//!     let snapshot = heapwatch::snapshot()?;
//!     assert!(snapshot.live().bytes >= sessions.len() as f64);
//!     println!("{}", snapshot.top(By::Function).limit(5));
//!     Ok(())
//! }
//! ```
//!
//! # What it does not see
//!
//! Memory that does not come from the program's global allocator: `malloc` of C libraries, `mmap`,
//! stacks of threads. It may miss call sites that hold less than three intervals: every report says how
//! much may be unseen.
//!
//! # Features
//!
//! `server`, on by default, adds the endpoint and its metrics. Without it there are the allocator,
//! snapshots and reports.
//! `symbols`, on by default, reads names and lines of call sites; without it they are modules and offsets.
//!
//! `axum` adds `router`, the same pages as routes for a server of your own; `flamegraph` flame graphs as
//! SVG; `cli` the command line, `heapwatch`.
#![deny(unsafe_code)]
// docs.rs says of each item which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod alloc;
mod analyze;
#[allow(
    dead_code,
    reason = "some of it is for `record` alone, which is not everywhere"
)]
mod config;
mod error;
pub mod growth;
mod history;
#[cfg(feature = "server")]
mod http;
mod jemalloc;
#[cfg(feature = "server")]
pub mod metrics;
mod own_thread;
mod process;
// The one place that says where allocations are sampled; elsewhere they pass through.
#[cfg_attr(
    any(
        heapwatch_pass_through,
        not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))
    ),
    path = "record/elsewhere.rs"
)]
mod record;
pub mod report;
pub mod snapshot;
#[cfg_attr(
    not(feature = "symbols"),
    allow(dead_code, reason = "what makes names of what files tell")
)]
mod symbols;
pub mod testing;

#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub use alloc::__bench;
pub use alloc::{Alloc, set_interval};
#[cfg(feature = "server")]
pub use config::Config;
pub use error::Error;
#[doc(inline)]
pub use growth::growth;
pub use history::watch;
#[cfg(feature = "axum")]
pub use http::router;
#[cfg(feature = "server")]
pub use http::{Server, serve};
#[doc(inline)]
pub use snapshot::{Snapshot, snapshot};
