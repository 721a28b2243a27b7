//! The chat service's routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::previews::LINK_BYTES;
use crate::rooms::{ROOM_NAMES, Room, to_json};
use crate::{Chat, converse, lock};

/// The library's default, 128 KiB for each connection, would be most of this service's heap.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024;
const LONGEST_MESSAGE_BYTES: usize = 16 * 1024;
const LONGEST_NAME_BYTES: usize = 64;
/// What a real service would wait for another one to say whether a page may be shown.
const PAGE_CHECK: Duration = Duration::from_millis(10);

const INDEX: &str = "\
GET /ws?name=NAME&room=ROOM         WebSocket: text frames in, lines of the room out
GET /rooms/{room}/history?contains= the room's latest lines
GET /sessions/{id}/transcript       what a client was shown last
GET /preview?link=LINK              a card for a link
GET /stats                          what the service holds, by its own count
";

pub(crate) async fn serve(listener: TcpListener, chat: Arc<Chat>) {
    let routes = Router::new()
        .route("/", get(INDEX))
        .route("/ws", get(join))
        .route("/rooms/{room}/history", get(history))
        .route("/sessions/{id}/transcript", get(transcript))
        .route("/preview", get(preview))
        .route("/stats", get(stats))
        .with_state(chat);
    if let Err(error) = axum::serve(listener, routes).await {
        eprintln!("leaky_chat: the chat service ended: {error}");
    }
}

#[derive(Deserialize)]
struct Join {
    name: String,
    room: String,
}

async fn join(
    State(chat): State<Arc<Chat>>,
    Query(Join { name, room }): Query<Join>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if name.is_empty() || name.len() > LONGEST_NAME_BYTES {
        let reason = format!(
            "a name has 1 to {LONGEST_NAME_BYTES} bytes, this one has {}\n",
            name.len()
        );
        return (StatusCode::BAD_REQUEST, reason).into_response();
    }
    let room = match find_room(&chat, &room) {
        Ok(room) => room,
        Err(refusal) => return refusal.into_response(),
    };
    match upgrade {
        Ok(upgrade) => upgrade
            .read_buffer_size(SOCKET_BUFFER_BYTES)
            .write_buffer_size(SOCKET_BUFFER_BYTES)
            .max_message_size(LONGEST_MESSAGE_BYTES)
            .on_upgrade(move |socket| converse(socket, chat, name, room)),
        Err(rejection) => rejection.into_response(),
    }
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    contains: String,
}

async fn history(
    State(chat): State<Arc<Chat>>,
    Path(room): Path<String>,
    Query(filter): Query<Filter>,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    let room = find_room(&chat, &room)?;
    let page = room.history(&filter.contains);
    tokio::time::sleep(PAGE_CHECK).await;
    Ok(json(page))
}

async fn transcript(
    State(chat): State<Arc<Chat>>,
    Path(id): Path<u64>,
) -> Result<Vec<u8>, (StatusCode, String)> {
    match chat.session(id) {
        Some(session) => Ok(session.transcript()),
        None => Err((
            StatusCode::NOT_FOUND,
            format!("no session {id} is registered\n"),
        )),
    }
}

#[derive(Deserialize)]
struct Preview {
    link: String,
}

async fn preview(
    State(chat): State<Arc<Chat>>,
    Query(Preview { link }): Query<Preview>,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    if link.len() > LINK_BYTES {
        let reason = format!(
            "a link has at most {LINK_BYTES} bytes, this one has {}\n",
            link.len()
        );
        return Err((StatusCode::BAD_REQUEST, reason));
    }
    Ok(Html(chat.previews.card(&link)))
}

#[derive(Serialize)]
struct Stats {
    sessions: usize,
    /// All tasks of the process, those of the built-in load among them.
    tasks: usize,
    previews: usize,
}

async fn stats(State(chat): State<Arc<Chat>>) -> impl IntoResponse {
    json(to_json(&Stats {
        sessions: lock(&chat.sessions).len(),
        tasks: tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        previews: chat.previews.len(),
    }))
}

fn find_room(chat: &Chat, name: &str) -> Result<Arc<Room>, (StatusCode, String)> {
    let unknown = || {
        let names = ROOM_NAMES.join(", ");
        (
            StatusCode::NOT_FOUND,
            format!("no such room; the rooms are {names}\n"),
        )
    };
    chat.rooms.get(name).ok_or_else(unknown)
}

fn json(body: impl Into<Bytes>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], body.into())
}
