//! The built-in load: WebSocket clients, half of which vanish, and visitors that send HTTP requests.
//! Bounded in rate and in number; a seed per client makes runs alike.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Bytes;
use fastrand::Rng;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::rooms::ROOM_NAMES;

const CLIENTS_A_SECOND: u32 = 50;
/// Two sockets each, one at either end, so that all fit below a limit of 1,024 files.
const MOST_CLIENTS: usize = 200;
const MESSAGES_A_CLIENT: usize = 6;
const MESSAGE_PAUSE: Duration = Duration::from_millis(200);
const CHAT_PATIENCE: Duration = Duration::from_secs(10);

const VISITORS: u64 = 4;
const REQUESTS_A_SECOND_EACH: u32 = 75;
const LINKS: f64 = 1500.0;

const CONNECT_TRIES: u32 = 5;
/// Without it a service that is out of files and clients that wait for it would hold each other up.
const PATIENCE: Duration = Duration::from_secs(3);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const SOCKET_BUFFER_BYTES: usize = 4 * 1024;

type Failure = Box<dyn Error + Send + Sync>;
type Socket = WebSocketStream<TcpStream>;

/// What the load has done so far. Relaxed throughout: these are counts to be read by people.
#[derive(Default)]
pub(crate) struct Tally {
    connected: AtomicU64,
    closed: AtomicU64,
    vanished: AtomicU64,
    requests: AtomicU64,
    /// Attempts to connect and requests that failed, and clients that the service lost.
    errors: AtomicU64,
}

impl Tally {
    /// One line, short enough for a terminal of 80 columns.
    pub(crate) fn summary(&self) -> String {
        let [connected, closed, vanished, requests, errors] = [
            &self.connected,
            &self.closed,
            &self.vanished,
            &self.requests,
            &self.errors,
        ]
        .map(|count| count.load(Relaxed));
        format!(
            "{connected} connected, {closed} closed, {vanished} vanished, \
             {requests} HTTP requests, {errors} errors"
        )
    }
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    drivers: JoinSet<()>,
}

struct Shared {
    target: SocketAddr,
    tally: Tally,
    stopping: AtomicBool,
}

impl Load {
    /// Starts to load the chat service at `target`, on the runtime of the caller.
    pub(crate) fn start(target: SocketAddr) -> Load {
        let shared = Arc::new(Shared {
            target,
            tally: Tally::default(),
            stopping: AtomicBool::new(false),
        });
        let mut drivers = JoinSet::new();
        drivers.spawn(arrivals(Arc::clone(&shared)));
        for seed in 0..VISITORS {
            drivers.spawn(visitor(Arc::clone(&shared), Rng::with_seed(seed)));
        }
        Load { shared, drivers }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Stops new arrivals and requests and waits for the clients that are there to part.
    pub(crate) async fn stop(&mut self) {
        self.shared.stopping.store(true, Relaxed);
        while self.drivers.join_next().await.is_some() {}
    }
}

async fn arrivals(shared: Arc<Shared>) {
    let mut pace = pace(CLIENTS_A_SECOND);
    let mut clients = JoinSet::new();
    for seed in 0.. {
        pace.tick().await;
        if shared.stopping.load(Relaxed) {
            break;
        }
        while clients.try_join_next().is_some() {}
        if clients.len() < MOST_CLIENTS {
            clients.spawn(client(Arc::clone(&shared), Rng::with_seed(seed)));
        }
    }
    while clients.join_next().await.is_some() {}
}

/// One client: arrives, chats, and leaves politely or not.
async fn client(shared: Arc<Shared>, mut rng: Rng) {
    let tally = &shared.tally;
    let Some(mut socket) = connect_patiently(&shared, &mut rng).await else {
        return;
    };
    add(&tally.connected);
    let fate = match within(CHAT_PATIENCE, chatter(&mut socket, &mut rng)).await {
        Err(_) => &tally.errors,
        Ok(()) if rng.bool() => {
            vanish(socket, &mut rng);
            &tally.vanished
        }
        Ok(()) => match within(PATIENCE, say_goodbye(socket)).await {
            Ok(()) => &tally.closed,
            Err(_) => &tally.errors,
        },
    };
    add(fate);
}

async fn connect_patiently(shared: &Shared, rng: &mut Rng) -> Option<Socket> {
    for tried in 1..=CONNECT_TRIES {
        match within(PATIENCE, connect(shared.target, rng)).await {
            Ok(socket) => return Some(socket),
            Err(_) => add(&shared.tally.errors),
        }
        sleep(RETRY_PAUSE * tried).await;
    }
    None
}

async fn connect(target: SocketAddr, rng: &mut Rng) -> Result<Socket, Failure> {
    let room = ROOM_NAMES[rng.usize(..ROOM_NAMES.len())];
    let url = format!(
        "ws://{target}/ws?name=guest-{:08x}&room={room}",
        rng.u32(..)
    );
    let config = WebSocketConfig::default()
        .read_buffer_size(SOCKET_BUFFER_BYTES)
        .write_buffer_size(SOCKET_BUFFER_BYTES);
    let stream = TcpStream::connect(target).await?;
    let (socket, _) = client_async_with_config(url, stream, Some(config)).await?;
    Ok(socket)
}

/// Sends a few messages and reads whatever comes meanwhile.
async fn chatter(socket: &mut Socket, rng: &mut Rng) -> Result<(), Failure> {
    let mut pace = interval(MESSAGE_PAUSE);
    let mut to_send = MESSAGES_A_CLIENT;
    while to_send > 0 {
        tokio::select! {
            _ = pace.tick() => {
                socket.send(Message::text(sentence(rng))).await?;
                to_send -= 1;
            }
            frame = socket.next() => {
                frame.ok_or("the service hung up")??;
            }
        }
    }
    Ok(())
}

fn sentence(rng: &mut Rng) -> String {
    const WORDS: [&str; 12] = [
        "and", "the", "heap", "grows", "while", "nobody", "looks", "but", "soon", "somebody",
        "will", "ask",
    ];
    let words = (0..rng.usize(20..60)).map(|_| WORDS[rng.usize(..WORDS.len())]);
    words.collect::<Vec<_>>().join(" ")
}

/// Ends a connection without a close frame: by a reset as from a crashed machine or by an end of file as
/// from a killed process.
fn vanish(socket: Socket, rng: &mut Rng) {
    if rng.bool() {
        // Where the option is refused the client vanishes by an end of file.
        let _ = socket.get_ref().set_zero_linger();
    }
    drop(socket);
}

async fn say_goodbye(mut socket: Socket) -> Result<(), Failure> {
    socket.close(None).await?;
    while let Some(frame) = socket.next().await {
        frame?;
    }
    Ok(())
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(patience, work).await?
}

/// Sends HTTP requests over one connection, a new one whenever the last one broke.
async fn visitor(shared: Arc<Shared>, mut rng: Rng) {
    while !shared.stopping.load(Relaxed) {
        if visit(&shared, &mut rng).await.is_err() {
            add(&shared.tally.errors);
            sleep(RETRY_PAUSE).await;
        }
    }
}

async fn visit(shared: &Shared, rng: &mut Rng) -> Result<(), Failure> {
    let stream = TcpStream::connect(shared.target).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends when `sender` is dropped.
    tokio::spawn(connection);
    let mut pace = pace(REQUESTS_A_SECOND_EACH);
    loop {
        pace.tick().await;
        if shared.stopping.load(Relaxed) {
            return Ok(());
        }
        within(PATIENCE, request(&mut sender, shared.target, &path(rng))).await?;
        add(&shared.tally.requests);
    }
}

async fn request(
    sender: &mut SendRequest<Empty<Bytes>>,
    target: SocketAddr,
    path: &str,
) -> Result<(), Failure> {
    let request = Request::get(path)
        .header(header::HOST, target.to_string())
        .body(Empty::new())?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("{path} answered {status}").into())
    }
}

/// Two previews for every history. The lower a link's number, the more often it is asked for.
fn path(rng: &mut Rng) -> String {
    if rng.u8(..3) == 0 {
        let room = ROOM_NAMES[rng.usize(..ROOM_NAMES.len())];
        format!("/rooms/{room}/history?contains=heap")
    } else {
        let link = (LINKS * rng.f64().powi(2)) as u32;
        format!("/preview?link=https://example.com/articles/{link}")
    }
}

fn pace(a_second: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / a_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pace
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}
