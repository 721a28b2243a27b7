//! The endpoint's thread: it answers also when the application's own runtime hangs.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::connections::{Connections, Slot};
use super::guard::Policy;
use super::listen::listen;
use super::own_runtime::OwnRuntime;
use super::routes::MAX_HEAD;
use super::service::{Patience, Service};
use crate::Error;
use crate::config::Config;
use crate::metrics::Source;
use crate::own_thread;
use crate::snapshot::{self, evidence};

/// Connections that may be open at once.
const MAX_CONNECTIONS: usize = 64;

/// A running endpoint, which ends when this is dropped.
///
/// In a child that was forked the endpoint is not there, since only one thread is: dropping this
/// does nothing, and the parent's endpoint goes on.
#[must_use = "the endpoint ends when the Server is dropped; keep it in a variable, such as `_watch`"]
pub struct Server {
    local_addr: SocketAddr,
    /// None when it has ended.
    thread: Option<Thread>,
    /// The process that the thread is in.
    pid: u32,
}

struct Thread {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

/// Starts the endpoint on `host:port`, with its own threads: metrics, profiles, who holds memory, and
/// what grows, which is watched from then on.
///
/// Port 0 picks a free one. `HEAPWATCH_TOKEN` sets a token that clients must present; for more
/// settings see [`Config`].
///
/// ```no_run
/// #[global_allocator]
/// static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
///
/// fn main() -> Result<(), heapwatch::Error> {
///     let watch = heapwatch::serve("127.0.0.1:6790")?;
///     println!("see http://{}/", watch.local_addr());
///     // …
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// [`Error::NotInstalled`] if heapwatch is not the global allocator, [`Error::Bind`] if the address
/// is in use or cannot be had, [`Error::Config`] if it is no address, if other machines can reach
/// it and there is no token, or if `HEAPWATCH_INTERVAL`, `HEAPWATCH_TICK` or
/// `HEAPWATCH_TOKEN` has an unusable value, [`Error::Io`] if its threads cannot be started.
pub fn serve(addr: impl ToString) -> Result<Server, Error> {
    snapshot::muted(|| Config::new().addr(addr).serve())
}

impl Config {
    /// Starts the endpoint with these settings.
    ///
    /// # Errors
    ///
    /// As those of [`serve`](crate::serve), and [`Error::Config`] if a setting is unusable.
    pub fn serve(self) -> Result<Server, Error> {
        snapshot::check_installed()?;
        snapshot::muted(|| {
            let config = self.checked(|name| std::env::var_os(name))?;
            let server = start(
                &config,
                Arc::new(crate::snapshot::take),
                Patience::default(),
            )?;
            watch_growth(&config)?;
            Ok(server)
        })
    }
}

pub(super) fn watch_growth(config: &Config) -> Result<(), Error> {
    if let Some(tick) = config.tick {
        snapshot::muted(|| evidence::set_tick(tick.as_nanos() as u64));
    }
    if let Some(time) = config.min_watch {
        snapshot::history::set_min_watch(time);
    }
    crate::watch()
}

pub(super) fn start(config: &Config, source: Source, patience: Patience) -> Result<Server, Error> {
    let listener = listen(config)?;
    let local_addr = listener.local_addr()?;
    let runtime = OwnRuntime::new()?;
    let listener = {
        let _context = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let (stop, stopped) = oneshot::channel();
    let service = Arc::new(Service::start(Policy::new(config), patience, source)?);
    let endpoint = Endpoint {
        listener,
        service: Arc::clone(&service),
        patience,
        connections: Connections::default(),
    };
    let run = move || {
        runtime.block_on(endpoint.run(stopped));
        // The connections go with it, and with them all other references to the service.
        drop(runtime);
        if let Some(service) = Arc::into_inner(service) {
            service.end();
        }
    };
    let handle = own_thread::start(c"heapwatch", run)?;
    Ok(Server {
        local_addr,
        thread: Some(Thread { stop, handle }),
        pid: std::process::id(),
    })
}

impl Server {
    /// The address that it listens on, with the port that was picked where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Ends the endpoint: closes its connections and joins its threads. A report that is being made
    /// is waited for, 2 s at most.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(Thread { stop, handle }) = self.thread.take() else {
            return;
        };
        if std::process::id() != self.pid {
            // In a forked child: the thread cannot be joined, and what wakes it is the parent's.
            std::mem::forget((stop, handle));
            return;
        }
        // Fails only where the thread has ended already.
        let _ = stop.send(());
        let _ = handle.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

/// What the thread runs.
struct Endpoint {
    listener: TcpListener,
    service: Arc<Service>,
    patience: Patience,
    connections: Connections,
}

impl Endpoint {
    /// Takes connections until it is told to stop, or nobody can tell it any more.
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let mut tasks = JoinSet::new();
        for number in 0.. {
            let accepted = self.accept(&mut tasks);
            let Err(stream) = first_of(&mut stopped, accepted).await else {
                return;
            };
            let slot = self
                .connections
                .open(number, self.patience.head + self.patience.read);
            let task = drive(stream, slot, Arc::clone(&self.service), self.patience);
            self.connections.set_task(number, tasks.spawn(task));
        }
    }

    /// The next connection, when there is room for it.
    async fn accept(&self, tasks: &mut JoinSet<()>) -> TcpStream {
        loop {
            while tasks.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    while self.connections.len() >= MAX_CONNECTIONS {
                        if !self.connections.close_idlest() {
                            tasks.join_next().await;
                        }
                    }
                    return stream;
                }
                // Most likely too many open files: some may be closed in a while.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Answers the requests of one connection, until it ends or nothing happens on it for too long.
async fn drive(stream: TcpStream, slot: Slot, service: Arc<Service>, patience: Patience) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // Answers are whole; waiting to fill packets would only delay them.
    let _ = stream.set_nodelay(true);
    let slot = &slot;
    let service = &service;
    let answer = service_fn(|request| async move {
        Ok::<_, Infallible>(service.answer(request, Some(slot), local.ip()).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        // Heads up to twice the limit are read, so that most clients are told what is wrong.
        .max_buf_size(2 * MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    // An error is the client's: it went away, or sent what is not HTTP and was told so.
    let _ = first_of(connection, slot.expired()).await;
}

/// What the first of two ends with, or else the second: whichever ends first.
async fn first_of<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Result<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(end) => Poll::Ready(Ok(end)),
        Poll::Pending => second.as_mut().poll(context).map(Err),
    })
    .await
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
