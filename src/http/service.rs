//! What happens between a request and its answer: waiting, and work in one of two [lanes](Lane):
//! reports, which may take seconds on a large program, and metrics, so that a scrape does not wait
//! behind a report.

use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::header;
use hyper::{Response, StatusCode};
use tokio::time::{Duration, Instant, sleep, timeout};

use super::answers;
use super::connections::Slot;
use super::guard::Policy;
use super::history::{self, HistoryQuery};
use super::lane::Lane;
use super::reply::Reply;
use super::routes::{Answer, MAX_BODY, ProfileQuery, Request, route};
use super::snapshot_routes::SnapshotsQuery;
use super::store::Store;
use crate::Error;
use crate::metrics::{Collector, Exposition, Source, render};
use crate::snapshot::{Extent, Snapshot};

/// How long the parts of a request may take, and the end of the endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For request line and headers, and between two requests.
    pub(super) head: Duration,
    /// For the body, and again for the answer beyond the seconds that it was told to take.
    pub(super) request: Duration,
    /// For the client to read the answer.
    pub(super) read: Duration,
    /// For work that has begun, when the endpoint ends.
    pub(super) shutdown: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            head: Duration::from_secs(10),
            request: Duration::from_secs(10),
            read: Duration::from_secs(30),
            shutdown: Duration::from_secs(2),
        }
    }
}

/// Answers requests.
pub(super) struct Service {
    policy: Policy,
    patience: Patience,
    source: Source,
    collector: Arc<Collector>,
    reports: Lane,
    scrapes: Lane,
    profiles: Gate,
    store: Arc<Store>,
}

impl Service {
    /// A service whose workers are ready.
    pub(super) fn start(
        policy: Policy,
        patience: Patience,
        source: Source,
    ) -> Result<Service, Error> {
        Ok(Service {
            policy,
            patience,
            collector: Arc::new(Collector::over(Arc::clone(&source))),
            source,
            reports: Lane::start()?,
            scrapes: Lane::start()?,
            profiles: Gate::default(),
            store: Arc::default(),
        })
    }

    /// Answers a request that came in at this machine's address `local`, on `slot` if the connection
    /// is the endpoint's own.
    pub(super) async fn answer<B: Body<Data = Bytes>>(
        &self,
        request: hyper::Request<B>,
        slot: Option<&Slot>,
        local: std::net::IpAddr,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let reply = match timeout(self.patience.request, read_body(body)).await {
            Ok(Ok(body_bytes)) => {
                let request = Request {
                    method: &head.method,
                    uri: &head.uri,
                    headers: &head.headers,
                    body_bytes,
                    local,
                };
                self.perform(route(&request, &self.policy), slot).await
            }
            Ok(Err(_)) => close(Reply::error(
                StatusCode::BAD_REQUEST,
                "the body is malformed",
            )),
            Err(_) => close(Reply::error(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time",
            )),
        };
        if let Some(slot) = slot {
            slot.idle(self.patience.read);
        }
        reply.into()
    }

    /// Returns when the work that has begun is finished, and the workers have ended, or when that
    /// had the time that it may have.
    pub(super) fn end(self) {
        let end = Instant::now() + self.patience.shutdown;
        for lane in [self.reports, self.scrapes] {
            lane.end(end.saturating_duration_since(Instant::now()));
        }
    }

    async fn perform(&self, answer: Answer, slot: Option<&Slot>) -> Reply {
        let (seconds, work) = match answer {
            Answer::Reply(reply) => return reply,
            Answer::Profile(query) => (query.seconds.unwrap_or(0), answer),
            Answer::Metrics(_)
            | Answer::Top(_)
            | Answer::Growth(_)
            | Answer::History(_)
            | Answer::Interval(_)
            | Answer::Snapshots(_)
            | Answer::Diff(_)
            | Answer::Flamegraph(_) => (0, answer),
        };
        let keeps = matches!(work, Answer::Snapshots(SnapshotsQuery::Take(_)));
        let patience = self.patience.request + Duration::from_secs(seconds.into());
        if let Some(slot) = slot {
            slot.busy(patience + self.patience.read);
        }
        match timeout(patience, self.work(work)).await {
            Ok(Ok(reply) | Err(reply)) => reply,
            Err(_) => {
                let line = if keeps {
                    "taking the snapshot took too long; if it had begun it is kept all the same, and \
                     then listed by GET /heap/snapshots"
                } else {
                    "the answer took too long; other work may be in its way"
                };
                Reply::error(StatusCode::SERVICE_UNAVAILABLE, line).retry_after(5)
            }
        }
    }

    async fn work(&self, answer: Answer) -> Result<Reply, Reply> {
        match answer {
            Answer::Reply(reply) => Ok(reply),
            Answer::Metrics(form) => self.metrics(form).await,
            Answer::Top(query) => {
                let source = Arc::clone(&self.source);
                let top = move || Ok(answers::top(&take(&source, query.extent())?, query));
                self.reports.run(top).await
            }
            Answer::Growth(format) => self.reports.run(move || answers::growth(format)).await,
            Answer::History(query) => {
                let source = Arc::clone(&self.source);
                let work = move || history::answer(query, || take(&source, Extent::Growth));
                // Figures take no snapshot: they are not to wait behind a report.
                if matches!(query, HistoryQuery::Figures { .. }) {
                    return work();
                }
                self.reports.run(work).await
            }
            Answer::Interval(bytes) => Ok(history::set_interval(bytes)),
            Answer::Profile(query) => self.profile(query).await,
            Answer::Snapshots(query) => {
                let (source, store) = (Arc::clone(&self.source), Arc::clone(&self.store));
                let work = move || store.answer(query, || take(&source, Extent::Growth));
                self.reports.run(work).await
            }
            Answer::Diff(query) => {
                let (source, store) = (Arc::clone(&self.source), Arc::clone(&self.store));
                let diff = move || {
                    let now = || take(&source, Extent::Counters);
                    let earlier = store.snapshot(&query.from, now)?;
                    let later = store.snapshot(&query.to, now)?;
                    answers::diff(&earlier, &later, &query)
                };
                self.reports.run(diff).await
            }
            Answer::Flamegraph(query) => {
                let (source, store) = (Arc::clone(&self.source), Arc::clone(&self.store));
                let draw = move || {
                    let now = || take(&source, Extent::Counters);
                    let earlier = query.diff_from.as_ref();
                    let earlier = earlier.map(|name| store.snapshot(name, now));
                    answers::flamegraph(earlier.transpose()?.as_ref(), &now()?, &query)
                };
                self.reports.run(draw).await
            }
        }
    }

    async fn metrics(&self, form: Exposition) -> Result<Reply, Reply> {
        let collector = Arc::clone(&self.collector);
        let text = move || {
            render(&collector, form)
                .map_err(|_| Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "encoding failed"))
        };
        let text = self.scrapes.run(text).await?;
        Ok(Reply::ok(form.content_type(), text))
    }

    /// One at a time, from the first snapshot to the last byte made.
    async fn profile(&self, query: ProfileQuery) -> Result<Reply, Reply> {
        let wait = Duration::from_secs(query.seconds.unwrap_or(0).into());
        let turn = self.profiles.enter(wait)?;
        let before = match query.seconds {
            None => None,
            Some(_) => {
                let source = Arc::clone(&self.source);
                let before = self
                    .reports
                    .run(move || take(&source, Extent::Counters))
                    .await?;
                sleep(wait).await;
                Some(before)
            }
        };
        let source = Arc::clone(&self.source);
        let profile = move || {
            // The next one may begin when the work is over, also if nobody waits for it any more.
            let _turn = turn;
            let now = take(&source, Extent::Counters)?;
            Ok(answers::profile(before.as_ref(), &now, query))
        };
        self.reports.run(profile).await
    }
}

fn take(source: &Source, extent: Extent) -> Result<Snapshot, Reply> {
    source(extent).map_err(|error: Error| answers::failure(&error))
}

/// Lets one profile through at a time.
#[derive(Debug, Clone, Default)]
struct Gate {
    /// When the one that is being made should be ready.
    ready: Arc<Mutex<Option<Instant>>>,
}

/// One profile's turn; dropping it lets the next one in.
#[derive(Debug)]
struct Turn(Gate);

impl Gate {
    fn enter(&self, wait: Duration) -> Result<Turn, Reply> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = *ready {
            let left = ready.saturating_duration_since(Instant::now());
            let line = "another profile is being made; there is one at a time";
            return Err(
                Reply::error(StatusCode::SERVICE_UNAVAILABLE, line).retry_after(left.as_secs() + 1)
            );
        }
        *ready = Some(Instant::now() + wait);
        Ok(Turn(self.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.0.ready.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Reads a body to its end or beyond the limit; returns how many bytes that were.
async fn read_body<B: Body<Data = Bytes>>(body: B) -> Result<usize, B::Error> {
    let mut body = std::pin::pin!(body);
    let stated = body.size_hint().lower();
    if stated > MAX_BODY as u64 {
        return Ok(usize::try_from(stated).unwrap_or(usize::MAX));
    }
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
        if bytes > MAX_BODY {
            break;
        }
    }
    Ok(bytes)
}

/// What is left of the request cannot be told from the next one.
fn close(reply: Reply) -> Reply {
    reply.with(header::CONNECTION, "close")
}
