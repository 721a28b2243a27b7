//! The endpoint's pages as routes of the application's own server.
//!
//! Requests are answered on a thread of heapwatch's own, as those of the endpoint are, so that no
//! report keeps the application's runtime from anything else.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::guard::Policy;
use super::own_runtime::OwnRuntime;
use super::reply::Reply;
use super::server::watch_growth;
use super::service::{Patience, Service};
use crate::config::Config;
use crate::metrics::Source;
use crate::{Error, own_thread, snapshot};

/// The answer in a child of `fork`, which has none of its parent's threads.
const FORKED: &str = "this process was forked from the one that called heapwatch::router(), and has \
                      none of its threads; call it in this process too";

/// The pages of [`serve`](crate::serve) for a server of your own, with the token of
/// `HEAPWATCH_TOKEN`; watches growth from now on.
///
/// Nest it as a service, which also works where your routes have a state:
///
/// ```no_run
/// use axum::{Router, routing::get};
///
/// #[global_allocator]
/// static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
///
/// #[derive(Clone)]
/// struct Rooms;
///
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let app = Router::new()
///         .route("/rooms", get(|_: axum::extract::State<Rooms>| async { "lobby" }))
///         .with_state(Rooms)
///         .nest_service("/internal/heapwatch", heapwatch::router()?);
///     let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
///     axum::serve(listener, app).await?; // see http://127.0.0.1:8080/internal/heapwatch/
///     Ok(())
/// }
/// ```
///
/// All bounds of the endpoint hold: one profile at a time, 8 KiB of request line and headers, 1 KiB
/// of body, 10 s for an answer. Bounds of connections are your server's.
///
/// **Who reaches your listener reaches these pages**, which tell what your program does, and may change the
/// interval, and with it what sampling costs. On a
/// listener that other machines can reach, set a token ([`Config::token`], `HEAPWATCH_TOKEN`), or put
/// your own authentication before them. Without a token, the `Host` of a request must be localhost,
/// an address, or a name given to [`Config::allow_host`], so that no foreign web page can read them
/// through a name of its own. Requests that change something are taken from these pages only, from
/// those of a host given to [`Config::allow_host`], as behind a proxy that rewrites `Host`, or from
/// what is no browser.
///
/// Nested by [`Router::nest`], the prefix must end in `/`. A request without the last `/` is
/// redirected to the prefix with it, because the pages' links are relative.
///
/// # Errors
///
/// [`Error::NotInstalled`] if heapwatch is not the global allocator, [`Error::Config`] if
/// `HEAPWATCH_INTERVAL`, `HEAPWATCH_TICK` or `HEAPWATCH_TOKEN` has an unusable value, [`Error::Io`] if no
/// thread can be started.
pub fn router() -> Result<Router, Error> {
    Config::new().router()
}

impl Config {
    /// The pages for a server of your own with these settings; the address is not used.
    ///
    /// # Errors
    ///
    /// As those of [`router`](crate::router()), and [`Error::Config`] if a setting is unusable.
    pub fn router(self) -> Result<Router, Error> {
        snapshot::check_installed()?;
        snapshot::muted(|| {
            let config = self.checked(|name| std::env::var_os(name))?;
            let answers = start(&config, Arc::new(crate::snapshot::take))?;
            watch_growth(&config)?;
            Ok(answers.into_router())
        })
    }
}

/// What answers, for as long as a router that asks it is there.
struct Answers {
    /// Taken only where this is dropped.
    threads: Option<Threads>,
    /// The process that the threads are in.
    pid: u32,
}

struct Threads {
    service: Arc<Service>,
    handle: Handle,
    /// Ends the runtime's thread when it is dropped.
    _alive: oneshot::Sender<()>,
}

fn start(config: &Config, source: Source) -> Result<Answers, Error> {
    let service = Service::start(Policy::behind(config), Patience::default(), source)?;
    let runtime = OwnRuntime::new()?;
    let (alive, gone) = oneshot::channel();
    let threads = Threads {
        service: Arc::new(service),
        handle: runtime.handle().clone(),
        _alive: alive,
    };
    own_thread::start(c"heapwatch", move || {
        // An error says that the sender is gone, which is what is waited for.
        let _ = runtime.block_on(gone);
    })?;
    Ok(Answers {
        threads: Some(threads),
        pid: std::process::id(),
    })
}

impl Answers {
    fn into_router(self) -> Router {
        let answers = Arc::new(self);
        Router::new().fallback(move |request: Request| {
            let answers = Arc::clone(&answers);
            async move { answers.answer(request).await }
        })
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.pid
    }

    async fn answer(&self, request: Request) -> Response {
        if let Some(folder) = missing_slash(&request) {
            let location = [(header::LOCATION, folder)];
            return (StatusCode::PERMANENT_REDIRECT, location).into_response();
        }
        let Some(threads) = self.threads.as_ref().filter(|_| !self.is_forked()) else {
            let reply = Reply::error(StatusCode::SERVICE_UNAVAILABLE, FORKED);
            return Response::from(reply).map(Body::new);
        };
        let service = Arc::clone(&threads.service);
        let answer = async move {
            let local = IpAddr::from(Ipv4Addr::LOCALHOST);
            service.answer(request, None, local).await
        };
        let mut answering = Answering(snapshot::muted(|| threads.handle.spawn(answer)));
        match (&mut answering.0).await {
            Ok(response) => response.map(Body::new),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if self.is_forked() {
            // What ends the threads wakes them, which are the parent's, and may wait for a lock that
            // one of them held at the fork.
            std::mem::forget(self.threads.take());
        }
    }
}

/// A client that goes away must not keep its turn.
struct Answering<T>(JoinHandle<T>);

impl<T> Drop for Answering<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `./heapwatch/` for a request of `/internal/heapwatch`, below which relative links would go astray.
fn missing_slash(request: &Request) -> Option<String> {
    let OriginalUri(original) = request.extensions().get()?;
    let path = original.path();
    let nested = request.uri().path() == "/" && !path.ends_with('/');
    let last = path.rsplit('/').next()?;
    // `./` in front: what begins with a scheme would lead elsewhere.
    nested.then(|| format!("./{last}/"))
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
