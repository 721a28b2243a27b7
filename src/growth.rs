//! Which call sites leak, which merely grow, cycle or have levelled off, and what speaks for it.
//!
//! [`watch`](crate::watch) or [`serve`](crate::serve) starts the history; [`growth`] asks what it
//! says. What each verdict rests on, and what it cannot know, stands in `docs/growth.md`.

use std::sync::{Arc, Mutex, PoisonError};

pub use crate::analyze::{Growth, GrowthFrame, Limit, Memory, Pattern, Report, Verdict};

use crate::Error;
use crate::history;
use crate::snapshot::{self, PerProcess, evidence};

/// The report of a tick: requests within it are answered with the same.
#[derive(Default)]
struct Latest {
    tick: u32,
    report: Option<Arc<Report>>,
}

static LATEST: PerProcess<Mutex<Latest>> = PerProcess::new();

/// The verdicts on all call sites, worst first.
///
/// Within one tick the answer is the same, and all but the first one cheap.
///
/// # Errors
///
/// [`Error::NotInstalled`] if heapwatch is not the global allocator, [`Error::NotWatched`] if nobody
/// called [`watch`](crate::watch) or [`serve`](crate::serve) in this process.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// heapwatch::watch()?;
/// // … later, when there has been work to watch:
/// for growth in heapwatch::growth()? {
///     if growth.verdict.alarms() {
///         println!("{:?}: {}, {}", growth.verdict, growth.function, growth.evidence);
///     }
/// }
/// # Ok::<(), heapwatch::Error>(())
/// ```
pub fn growth() -> Result<Vec<Growth>, Error> {
    Ok(report()?.verdicts)
}

/// The verdicts, with what holds for all of them; to be printed, or written as JSON.
///
/// # Errors
///
/// As those of [`growth`].
pub fn report() -> Result<Report, Error> {
    current().map(|report| Report::clone(&report))
}

/// The report of this tick.
pub(crate) fn current() -> Result<Arc<Report>, Error> {
    snapshot::check_installed()?;
    if !history::is_running() {
        return Err(Error::NotWatched);
    }
    snapshot::muted(|| {
        let Some(latest) = LATEST.get_or_init(Mutex::default) else {
            return Ok(Arc::new(judge()?));
        };
        // Those who ask meanwhile wait for the same report instead of making their own.
        let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = evidence::tick_now();
        match &latest.report {
            Some(report) if latest.tick == tick => Ok(Arc::clone(report)),
            _ => {
                let report = Arc::new(judge()?);
                *latest = Latest {
                    tick,
                    report: Some(Arc::clone(&report)),
                };
                Ok(report)
            }
        }
    })
}

fn judge() -> Result<Report, Error> {
    snapshot::snapshot()?.growth().ok_or(Error::NotWatched)
}
