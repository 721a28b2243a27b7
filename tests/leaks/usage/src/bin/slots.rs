//! A slab's slots are not given back when a client vanishes; the corrected code gives them back.

use std::collections::VecDeque;

use leak_harness::times;
use slab::Slab;

const CLIENTS_PER_BEAT: u64 = 90;
const PRESENT: usize = 300;

struct Client {
    _buffer: [u64; 16],
}

fn main() {
    leak_harness::run(|run| {
        let mut clients = Slab::new();
        let mut present = VecDeque::new();
        for () in run.beats() {
            for id in times(CLIENTS_PER_BEAT) {
                present.push_back(enter(&mut clients, id));
                if present.len() > PRESENT {
                    let gone = present.pop_front().expect("some are present");
                    if run.healthy() || id % 3 == 0 {
                        drop(clients.try_remove(gone));
                    }
                }
            }
        }
    });
}

fn enter(clients: &mut Slab<Client>, id: u64) -> usize {
    clients.insert(Client { _buffer: [id; 16] })
}
