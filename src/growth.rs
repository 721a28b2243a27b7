//! Which call sites leak, which merely grow, cycle or have levelled off, and what speaks for it.
//!
//! [`watch`](crate::watch) or [`serve`](crate::serve) starts the history; [`growth`] asks what it
//! says. What each verdict rests on, and what it cannot know, stands in `docs/growth.md`.

use std::sync::{Arc, Mutex, PoisonError};

pub use crate::analyze::{Growth, GrowthFrame, Limit, Memory, Pattern, Report, Verdict};

use crate::Error;
#[cfg(feature = "server")]
use crate::analyze::Overview;
use crate::history;
use crate::snapshot::{self, PerProcess, Snapshot, evidence};

/// What was said last, and when.
struct Latest<T> {
    said: Arc<T>,
    tick: u32,
}

/// Reports and overviews are kept apart: a scrape does not wait while a report is made.
type Kept<T> = PerProcess<Mutex<Option<Latest<T>>>>;

static REPORT: Kept<Report> = PerProcess::new();
#[cfg(feature = "server")]
static OVERVIEW: Kept<Overview> = PerProcess::new();

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
    snapshot::muted(|| current().map(|report| Report::clone(&report)))
}

/// The report of this tick.
pub(crate) fn current() -> Result<Arc<Report>, Error> {
    latest_if(
        &REPORT,
        |tick| tick == evidence::tick_now(),
        |snapshot, _| snapshot.growth(),
    )
}

/// The verdicts of this tick or of some ticks ago in short, for metrics: who scrapes often must not
/// cost much.
#[cfg(feature = "server")]
pub(crate) fn recent() -> Result<Arc<Overview>, Error> {
    let serves = |tick: u32| tick.abs_diff(evidence::tick_now()) < SERVES_TICKS;
    latest_if(&OVERVIEW, serves, Snapshot::growth_overview)
}

/// What was said last if its tick will do, or else what `say` says now, who is told what was.
fn latest_if<T: Send + Sync>(
    kept: &'static Kept<T>,
    will_do: impl FnOnce(u32) -> bool,
    say: impl Fn(&Snapshot, Option<&T>) -> Option<T>,
) -> Result<Arc<T>, Error> {
    snapshot::check_installed()?;
    if !history::is_running() {
        return Err(Error::NotWatched);
    }
    let make = |before: Option<&T>| {
        let tick = evidence::tick_now();
        let said = Arc::new(say(&snapshot::snapshot()?, before).ok_or(Error::NotWatched)?);
        Ok::<_, Error>(Latest { said, tick })
    };
    snapshot::muted(|| {
        let Some(kept) = kept.get_or_init(Mutex::default) else {
            return Ok(make(None)?.said);
        };
        // Those who ask meanwhile wait for the same answer instead of making their own.
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = match kept.take() {
            Some(latest) if will_do(latest.tick) => latest,
            before => make(before.as_ref().map(|latest| &*latest.said))?,
        };
        Ok(Arc::clone(&kept.insert(latest).said))
    })
}
