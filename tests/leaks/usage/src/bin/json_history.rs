//! Parsed messages are kept as history; the corrected code keeps the last hundred.

use std::collections::VecDeque;

use leak_harness::times;
use serde_json::Value;

const MESSAGES_PER_BEAT: u64 = 5;
const KEPT: usize = 100;

#[derive(Default)]
struct Room {
    history: VecDeque<Value>,
}

impl Room {
    fn receive(&mut self, text: &str) {
        let message = serde_json::from_str(text).expect("valid JSON");
        self.history.push_back(message);
    }
}

fn main() {
    leak_harness::run(|run| {
        let mut room = Room::default();
        for () in run.beats() {
            for id in times(MESSAGES_PER_BEAT) {
                room.receive(&message(id));
                if run.healthy() && room.history.len() > KEPT {
                    room.history.pop_front();
                }
            }
        }
    });
}

fn message(id: u64) -> String {
    format!(
        r#"{{"id":{id},"from":"user {id}","to":["ann","bob","cy"],"body":{{"text":"good morning to all of you","format":"plain"}},"seen":[1,2,3]}}"#
    )
}
