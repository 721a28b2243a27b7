//! Which call sites leak, which merely grow, cycle or have levelled off, and what speaks for it.
//!
//! [`watch`](crate::watch) or [`serve`](crate::serve) starts the history; [`growth`] asks what it
//! says. What each verdict rests on, and what it cannot know, stands in `docs/growth.md`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::analyze::{Growth, GrowthFrame, Limit, Memory, Pattern, Report, Verdict};

use crate::Error;
use crate::history;
use crate::snapshot::{self, PerProcess, evidence};

/// The latest report, and when it was made.
struct Latest {
    report: Arc<Report>,
    tick: u32,
}

/// The latest report, and the right to make the next one. Two locks: a scrape that is content with
/// the former must not wait for the latter, which takes long.
#[derive(Default)]
struct Reports {
    latest: Mutex<Option<Latest>>,
    making: Mutex<()>,
}

static REPORTS: PerProcess<Reports> = PerProcess::new();

/// Ticks for which a report serves those who ask again and again: a minute at the usual tick.
#[cfg(feature = "server")]
const SERVES_TICKS: u32 = 12;

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
    latest_if(|latest| latest.tick == evidence::tick_now())
}

/// The report of this tick or of some ticks ago, for metrics: who scrapes often must not cost much.
#[cfg(feature = "server")]
pub(crate) fn recent() -> Result<Arc<Report>, Error> {
    latest_if(|latest| latest.tick.abs_diff(evidence::tick_now()) < SERVES_TICKS)
}

/// The latest report if it will do, or else a new one.
fn latest_if(will_do: impl Fn(&Latest) -> bool) -> Result<Arc<Report>, Error> {
    snapshot::check_installed()?;
    if !history::is_running() {
        return Err(Error::NotWatched);
    }
    snapshot::muted(|| {
        let Some(reports) = REPORTS.get_or_init(Reports::default) else {
            return Ok(make()?.report);
        };
        if let Some(report) = reports.latest_if(&will_do) {
            return Ok(report);
        }
        // Those who ask meanwhile wait for the same report instead of making their own.
        let _making = lock(&reports.making);
        if let Some(report) = reports.latest_if(&will_do) {
            return Ok(report);
        }
        let latest = make()?;
        let report = Arc::clone(&latest.report);
        *lock(&reports.latest) = Some(latest);
        Ok(report)
    })
}

impl Reports {
    fn latest_if(&self, will_do: impl Fn(&Latest) -> bool) -> Option<Arc<Report>> {
        let latest = lock(&self.latest);
        let latest = latest.as_ref().filter(|latest| will_do(latest));
        latest.map(|latest| Arc::clone(&latest.report))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make() -> Result<Latest, Error> {
    let tick = evidence::tick_now();
    let report = Arc::new(judge()?);
    Ok(Latest { report, tick })
}

fn judge() -> Result<Report, Error> {
    snapshot::snapshot()?.growth().ok_or(Error::NotWatched)
}
