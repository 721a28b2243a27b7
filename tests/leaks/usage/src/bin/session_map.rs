//! A session per client in a map; those of clients that vanish without a goodbye stay in it for ever.

use std::collections::{HashMap, VecDeque};

use leak_harness::times;

const CLIENTS_PER_BEAT: u64 = 30;
/// How long a client stays, in clients that come after it.
const STAY: usize = 600;
/// One client in three vanishes.
const VANISHING: u64 = 3;
/// A session so far behind the newest client is certainly idle.
const IDLE: u64 = 2 * STAY as u64;

struct Session {
    _id: u64,
    _outbox: Vec<u8>,
}

#[derive(Default)]
struct Chat {
    sessions: HashMap<u64, Session>,
}

impl Chat {
    fn register(&mut self, id: u64) {
        let outbox = vec![0; 768];
        self.sessions.insert(
            id,
            Session {
                _id: id,
                _outbox: outbox,
            },
        );
    }

    fn goodbye(&mut self, id: u64) {
        self.sessions.remove(&id);
    }

    fn sweep(&mut self, newest: u64) {
        self.sessions.retain(|id, _| id + IDLE > newest);
    }
}

fn main() {
    leak_harness::run(|run| {
        let mut chat = Chat::default();
        let mut present = VecDeque::new();
        let mut newest = 0;
        for () in run.beats() {
            for _ in times(CLIENTS_PER_BEAT) {
                newest += 1;
                chat.register(newest);
                present.push_back(newest);
            }
            while present.len() > STAY {
                leave(&mut chat, present.pop_front());
            }
            if run.healthy() {
                chat.sweep(newest);
            }
        }
    });
}

fn leave(chat: &mut Chat, client: Option<u64>) {
    if let Some(id) = client.filter(|id| id % VANISHING != 0) {
        chat.goodbye(id);
    }
}
