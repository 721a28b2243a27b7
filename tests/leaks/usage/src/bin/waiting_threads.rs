//! A thread per job keeps a cache in its thread-local and waits for a signal that nobody sends; the corrected one ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use leak_harness::times;

thread_local! {
    static CACHE: RefCell<HashMap<u64, Vec<u8>>> = RefCell::default();
}

const PAGES: u64 = 600;
const BEATS_PER_JOB: usize = 80;

fn main() {
    leak_harness::run(|run| {
        let mut running = Vec::new();
        for (beat, ()) in run.beats().enumerate() {
            if beat % BEATS_PER_JOB != 0 {
                continue;
            }
            let (signal, wait) = mpsc::channel();
            spawn_job(wait);
            if !run.healthy() {
                running.push(signal);
            }
        }
        drop::<Vec<Sender<()>>>(running);
    });
}

fn spawn_job(wait: Receiver<()>) {
    let job = move || {
        fill_cache();
        let _nobody_there = wait.recv();
    };
    thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(job)
        .expect("a thread");
}

fn fill_cache() {
    CACHE.with_borrow_mut(|cache| {
        for page in times(PAGES) {
            cache.insert(page, vec![page as u8; 1_024]);
        }
    });
}
