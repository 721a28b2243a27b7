//! A compiled pattern is kept for each search that a user typed; the corrected code keeps the last few.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;

use leak_harness::times;
use regex::Regex;

const KEPT: usize = 20;

#[derive(Default)]
struct Patterns {
    compiled: HashMap<String, Regex>,
    oldest_first: VecDeque<String>,
}

impl Patterns {
    fn find(&mut self, pattern: &str, text: &str) -> bool {
        let compiled = self
            .compiled
            .entry(pattern.to_owned())
            .or_insert_with(|| compile(pattern));
        let found = compiled.is_match(text);
        self.oldest_first.push_back(pattern.to_owned());
        found
    }

    fn shrink(&mut self) {
        while self.oldest_first.len() > KEPT {
            let oldest = self.oldest_first.pop_front();
            oldest.map(|oldest| self.compiled.remove(&oldest));
        }
    }
}

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}

fn main() {
    leak_harness::run(|run| {
        let mut patterns = Patterns::default();
        let mut newest = 0u64;
        for () in run.beats() {
            for _ in times(1) {
                newest += 1;
                black_box(patterns.find(&format!("^user{newest}[a-z]+$"), "user17abc"));
            }
            if run.healthy() {
                patterns.shrink();
            }
        }
    });
}
