//! A WebSocket chat service that makes two mistakes which services make, and carries its own load:
//!
//! ```text
//! cargo run --release --example leaky_chat            # 20 s of load, the top sites, then it serves on
//! cargo run --release --example leaky_chat -- --fixed # the same service, corrected
//! ```
//!
//! - A [`Session`] is registered for every client and removed only when the client says goodbye. Clients
//!   whose connection breaks stay registered for ever: [`Chat::register`], [`Session::new`].
//! - A task per client, [`watch_presence`], waits for the same goodbye, for ever.
//!
//! Beside them is what only looks suspicious: a cache of link previews that fills and then stays as it is
//! (`previews.rs`), and a history endpoint that allocates and frees a lot (`rooms.rs`).

#[path = "leaky_chat/args.rs"]
mod args;
#[path = "leaky_chat/load.rs"]
mod load;
#[path = "leaky_chat/previews.rs"]
mod previews;
#[path = "leaky_chat/progress.rs"]
mod progress;
#[path = "leaky_chat/report.rs"]
mod report;
#[path = "leaky_chat/rooms.rs"]
mod rooms;
#[path = "leaky_chat/run.rs"]
mod run;
#[path = "leaky_chat/server.rs"]
mod server;

use std::collections::{HashMap, VecDeque};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::extract::ws::{Message, WebSocket};
use clap::Parser;
use futures_util::SinkExt;
use tokio::sync::{Notify, broadcast::error::RecvError};

use previews::Previews;
use rooms::{Room, Rooms};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

fn main() -> ExitCode {
    match run::run(&args::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("leaky_chat: {failure}");
            ExitCode::from(2)
        }
    }
}

/// How much of what a client was shown is kept with its session.
const TRANSCRIPT_BYTES: usize = 32 * 1024;

/// What the service keeps of a client for as long as it is registered.
struct Session {
    id: u64,
    name: String,
    room: Arc<Room>,
    /// What the client was shown last: goes with an abuse report.
    transcript: Mutex<VecDeque<u8>>,
}

impl Session {
    /// Not inlined, because line tables know the type of a method only where it is not.
    #[inline(never)]
    fn new(id: u64, name: &str, room: Arc<Room>) -> Session {
        Session {
            id,
            name: name.to_owned(),
            room,
            transcript: Mutex::new(VecDeque::with_capacity(TRANSCRIPT_BYTES)),
        }
    }

    fn note_shown(&self, line: &str) {
        let line = line.as_bytes();
        let line = &line[line.len().saturating_sub(TRANSCRIPT_BYTES)..];
        let mut transcript = lock(&self.transcript);
        let excess = (transcript.len() + line.len()).saturating_sub(TRANSCRIPT_BYTES);
        transcript.drain(..excess);
        transcript.extend(line);
    }

    fn transcript(&self) -> Vec<u8> {
        lock(&self.transcript).iter().copied().collect()
    }
}

/// The service's state: one for the process, shared by all connections.
struct Chat {
    fixed: bool,
    rooms: Rooms,
    previews: Previews,
    sessions: Mutex<HashMap<u64, Arc<Session>>>,
    next_id: AtomicU64,
}

impl Chat {
    fn new(fixed: bool) -> Arc<Chat> {
        Arc::new(Chat {
            fixed,
            rooms: Rooms::new(),
            previews: Previews::new(),
            sessions: Mutex::default(),
            next_id: AtomicU64::new(1),
        })
    }

    fn register(&self, name: &str, room: Arc<Room>) -> Arc<Session> {
        // Relaxed: ids only have to differ.
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session::new(id, name, room));
        lock(&self.sessions).insert(id, Arc::clone(&session));
        session
    }

    fn unregister(&self, session: &Session) {
        lock(&self.sessions).remove(&session.id);
    }

    fn session(&self, id: u64) -> Option<Arc<Session>> {
        lock(&self.sessions).get(&id).cloned()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// The client sent a close frame.
    Goodbye,
    /// The connection broke or ended without one.
    Vanished,
}

/// Serves one client from its arrival to its end.
async fn converse(mut socket: WebSocket, chat: Arc<Chat>, name: String, room: Arc<Room>) {
    let session = chat.register(&name, room);
    let presence = Arc::new(Presence::default());
    tokio::spawn(watch_presence(
        Arc::clone(&session.room),
        name,
        Arc::clone(&presence),
    ));

    let parting = exchange(&mut socket, &session, &presence).await;

    // Both mistakes are in the condition: a client that vanishes has left as well.
    if chat.fixed || parting == Parting::Goodbye {
        chat.unregister(&session);
        presence.left.notify_one();
    }
}

/// Passes lines between a client and its room until the client is gone.
async fn exchange(socket: &mut WebSocket, session: &Session, presence: &Presence) -> Parting {
    let mut news = session.room.subscribe();
    for line in session.room.recent() {
        session.note_shown(&line);
        if socket.feed(Message::Text(line)).await.is_err() {
            return Parting::Vanished;
        }
    }
    if socket.flush().await.is_err() {
        return Parting::Vanished;
    }

    let mut parting = Parting::Vanished;
    loop {
        tokio::select! {
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(text))) => {
                    session.room.say(&session.name, &text);
                    presence.spoke.notify_one();
                }
                // The loop goes on: the next `recv` sends the answering close frame.
                Some(Ok(Message::Close(_))) => parting = Parting::Goodbye,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return parting,
            },
            line = news.recv(), if parting != Parting::Goodbye => match line {
                Ok(line) => {
                    session.note_shown(&line);
                    if socket.send(Message::Text(line)).await.is_err() {
                        return parting;
                    }
                }
                // A slow reader misses lines.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return parting,
            },
        }
    }
}

/// What a connection tells its presence task.
#[derive(Default)]
struct Presence {
    spoke: Notify,
    left: Notify,
}

const MINUTES_A_DAY: usize = 24 * 60;

/// Follows how active a client is, minute by minute, and tells the room when it has left.
async fn watch_presence(room: Arc<Room>, name: String, presence: Arc<Presence>) {
    let since = Instant::now();
    let mut lines_by_minute = [0u64; MINUTES_A_DAY];
    loop {
        tokio::select! {
            () = presence.spoke.notified() => {
                let minute = since.elapsed().as_secs() as usize / 60;
                lines_by_minute[minute % MINUTES_A_DAY] += 1;
            }
            () = presence.left.notified() => break,
        }
    }
    let lines: u64 = lines_by_minute.iter().sum();
    let busy = lines_by_minute.iter().filter(|&&lines| lines > 0).count();
    room.say(
        "chat",
        &format!("{name} left after {lines} lines in {busy} busy minutes"),
    );
}

/// No code panics while it holds one of these locks, so a poisoned one still guards sound data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
