//! All that the example asks of heapwatch.

use std::net::SocketAddr;
use std::time::Duration;

use heapwatch::growth::Verdict;
use heapwatch::report::By;
use heapwatch::{Config, Error, Server, Snapshot, growth};

/// Verdicts take about a hundred points of the history: a run of 20 s has them at this tick.
const TICK: Duration = Duration::from_millis(100);

pub(crate) struct Endpoint(Server);

impl Endpoint {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.0.local_addr())
    }
}

pub(crate) fn set_interval(bytes: u64) -> Result<(), Error> {
    heapwatch::set_interval(bytes)
}

pub(crate) fn serve(addr: SocketAddr) -> Result<Endpoint, Error> {
    Config::new().addr(addr).tick(TICK).serve().map(Endpoint)
}

/// Rows of the diff: those that matter come first.
const CHANGES: usize = 8;

/// The table that `/heap/top?by=function` answers: stacks that end in one function are one row.
pub(crate) fn top() -> Result<String, Error> {
    Ok(heapwatch::snapshot()?.top(By::Function).to_string())
}

/// What `/heap/diff?by=function` answers of a snapshot kept earlier and one of this moment.
pub(crate) fn diff(earlier: &Snapshot) -> Result<String, Error> {
    let now = heapwatch::snapshot()?;
    Ok(earlier
        .diff(&now)
        .by(By::Function)
        .limit(CHANGES)
        .to_string())
}

/// What `/heap/growth` answers, and what it comes to.
pub(crate) fn verdicts() -> Result<String, Error> {
    let report = growth::report()?;
    let (leaking, growing) = (
        report.count(Verdict::Leaking),
        report.count(Verdict::Growing),
    );
    let sum = match (leaking, growing) {
        (0, 0) => "no call site leaks or grows".to_owned(),
        (leaking, 0) => format!("{leaking} leaking"),
        (leaking, growing) => format!("{leaking} leaking, {growing} growing"),
    };
    Ok(format!("{report}\nverdict: {sum}\n"))
}
