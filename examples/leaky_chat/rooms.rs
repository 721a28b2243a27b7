//! Rooms: who hears what, and the latest lines. Bounded in number and in lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::ws::Utf8Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::lock;

pub(crate) const ROOM_NAMES: [&str; 8] = [
    "lobby", "rust", "music", "games", "films", "books", "travel", "cooking",
];

const LINES_KEPT: usize = 64;
/// Room for any page of history, so that none is written twice.
const PAGE_BYTES: usize = 256 * 1024;

pub(crate) struct Rooms(Vec<Arc<Room>>);

impl Rooms {
    pub(crate) fn new() -> Rooms {
        Rooms(
            ROOM_NAMES
                .into_iter()
                .map(|name| Arc::new(Room::new(name)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Room>> {
        self.0.iter().find(|room| room.name == name).cloned()
    }
}

pub(crate) struct Room {
    name: &'static str,
    /// The latest lines as they were sent: JSON.
    recent: Mutex<VecDeque<Utf8Bytes>>,
    news: broadcast::Sender<Utf8Bytes>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    from: String,
    at_milliseconds: u64,
    text: String,
}

#[derive(Serialize)]
struct History {
    room: &'static str,
    lines: Vec<Line>,
}

impl Room {
    fn new(name: &'static str) -> Room {
        Room {
            name,
            recent: Mutex::new(VecDeque::with_capacity(LINES_KEPT)),
            news: broadcast::Sender::new(LINES_KEPT),
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Utf8Bytes> {
        self.news.subscribe()
    }

    pub(crate) fn say(&self, from: &str, text: &str) {
        let line = Line {
            from: from.to_owned(),
            at_milliseconds: now(),
            text: text.to_owned(),
        };
        let line = Utf8Bytes::from(to_json(&line));
        let mut recent = lock(&self.recent);
        if recent.len() == LINES_KEPT {
            recent.pop_front();
        }
        recent.push_back(line.clone());
        drop(recent);
        // An error says that nobody is in the room.
        let _ = self.news.send(line);
    }

    pub(crate) fn recent(&self) -> Vec<Utf8Bytes> {
        lock(&self.recent).iter().cloned().collect()
    }

    /// The latest lines that contain `needle`, as JSON. Parses and writes all of them again at every call:
    /// wasteful, but nothing of it is kept.
    pub(crate) fn history(&self, needle: &str) -> Vec<u8> {
        let lines = self
            .recent()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Line| line.text.contains(needle))
            .collect();
        let history = History {
            room: self.name,
            lines,
        };
        let mut page = Vec::with_capacity(PAGE_BYTES);
        serde_json::to_writer(&mut page, &history).expect("strings and numbers have a JSON form");
        page
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .expect("strings and numbers in plain structs always have a JSON form")
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
