//! What an innocent service does all the time: requests that allocate and free, a full cache that evicts its
//! oldest entry for each new one, and a batch that fills for a second and is sent.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::thread;
use std::time::Duration;

const BEAT: Duration = Duration::from_millis(10);
const REQUESTS_PER_BEAT: u64 = 20;
const CACHED: usize = 512;
const BATCH: usize = 2_000;

/// Starts the background on a thread of its own, with its cache full.
pub fn start() {
    let mut cache = Cache::default();
    (0..CACHED as u64).for_each(|id| cache.insert(id));
    thread::Builder::new()
        .name("background".into())
        .spawn(move || serve(cache))
        .expect("a thread for the background");
}

fn serve(mut cache: Cache) {
    let mut batch = Vec::with_capacity(BATCH);
    for id in CACHED as u64.. {
        if id % REQUESTS_PER_BEAT == 0 {
            thread::sleep(BEAT);
        }
        black_box(answer(&parse(id), id));
        if id % 4 == 0 {
            cache.insert(id);
        }
        batch.push(format!("request {id} answered").into_bytes());
        if batch.len() == BATCH {
            black_box(batch.concat());
            batch.clear();
        }
    }
}

fn parse(id: u64) -> HashMap<String, String> {
    (0..12)
        .map(|n| (format!("x-header-{n}"), format!("value {}", id ^ n)))
        .collect()
}

fn answer(headers: &HashMap<String, String>, id: u64) -> String {
    let mut body = String::new();
    for _ in 0..1 + id % 8 {
        headers
            .iter()
            .for_each(|(name, value)| body.extend([name, ": ", value, "\n"]));
    }
    body
}

#[derive(Default)]
struct Cache {
    pages: HashMap<u64, Vec<u8>>,
    oldest_first: VecDeque<u64>,
}

impl Cache {
    fn insert(&mut self, id: u64) {
        if self.pages.len() == CACHED {
            let oldest = self
                .oldest_first
                .pop_front()
                .expect("a full cache has an oldest entry");
            self.pages.remove(&oldest);
        }
        self.pages.insert(id, vec![0; 512]);
        self.oldest_first.push_back(id);
    }
}
