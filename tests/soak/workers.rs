//! Threads that come and go, and what each does in its life.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::common::Rng;
use super::held::{self, Held, any_layout, any_size};
use super::program::{SEED, is_over};

pub(crate) const THREADS: usize = 32;
/// A thread does one operation in this time, so that both sides do the same work in the same time, and both
/// programs together use about one core.
pub(crate) const PACE: Duration = Duration::from_millis(8);
/// Operations in the life of a thread: from 0.4 s to 1.6 s.
const LIFE: (usize, usize) = (50, 200);
/// The program always holds about this much, so that a change of its resident memory is the allocator's doing.
const LEAST_BYTES: u64 = MOST_BYTES - held::LARGEST as u64;
const MOST_BYTES: u64 = 256 << 20;
/// What a thread holds at most.
const MOST_BLOCKS: usize = 64;
/// Deeper than the stacks of most programs, and within a thread's small stack.
const DEEPEST: usize = 40;

pub(crate) static OPERATIONS: AtomicU64 = AtomicU64::new(0);
pub(crate) static STARTED: AtomicU64 = AtomicU64::new(0);

/// A thread that allocates holds this for reading. One that holds it for writing is the only one that allocates.
pub(crate) static GATE: RwLock<()> = RwLock::new(());

pub(crate) fn turn() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap()
}

/// Blocks on their way from one thread to another.
static EXCHANGE: [Mutex<Option<Held>>; 64] = [const { Mutex::new(None) }; 64];

/// What threads leave to those that come after them.
static LEFT: Mutex<Vec<Vec<Held>>> = Mutex::new(Vec::new());

/// Puts a block into a slot, and returns what another thread has left there.
fn swap(block: Option<Held>, slot: usize) -> Option<Held> {
    let mut slot = EXCHANGE[slot % EXCHANGE.len()].lock().unwrap();
    std::mem::replace(&mut *slot, block)
}

/// Takes a block out of the exchange if no other thread is at its slot.
pub(crate) fn try_take(slot: usize) -> Option<Held> {
    EXCHANGE[slot % EXCHANGE.len()].try_lock().ok()?.take()
}

/// The threads that run now.
pub(crate) struct Crew(Vec<JoinHandle<()>>);

impl Crew {
    pub(crate) fn start() -> Crew {
        Crew((0..THREADS).map(|_| hire()).collect())
    }

    /// Replaces those that have ended.
    pub(crate) fn replace(&mut self) {
        for thread in self.0.iter_mut().filter(|thread| thread.is_finished()) {
            std::mem::replace(thread, hire()).join().unwrap();
        }
    }

    /// Waits for all of them, and frees what they have left.
    pub(crate) fn dismiss(self) {
        self.0.into_iter().for_each(|thread| thread.join().unwrap());
        let left = std::mem::take(&mut *LEFT.lock().unwrap());
        let exchanged = (0..EXCHANGE.len()).filter_map(|slot| swap(None, slot));
        left.into_iter()
            .flatten()
            .chain(exchanged)
            .for_each(Held::free);
    }
}

fn hire() -> JoinHandle<()> {
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let builder = thread::Builder::new().name(format!("worker {number}"));
    let builder = builder.stack_size(256 << 10);
    builder.spawn(move || live(number)).expect("a thread")
}

/// A thread's life. All that it allocates, it allocates in here.
#[inline(never)]
pub(crate) fn live(number: u64) {
    let mut worker = Worker {
        rng: Rng(SEED ^ Rng(number).next()),
        held: LEFT.lock().unwrap().pop().unwrap_or_default(),
    };
    let life = LIFE.0 + worker.rng.below(LIFE.1 - LIFE.0);
    let start = Instant::now();
    for operation in 1..=life as u32 {
        let depth = worker.rng.below(DEEPEST);
        {
            let _turn = turn();
            black_box(worker.operate(depth));
        }
        OPERATIONS.fetch_add(1, Ordering::Relaxed);
        if is_over() {
            break;
        }
        thread::sleep((PACE * operation).saturating_sub(start.elapsed()));
    }
    let _turn = turn();
    LEFT.lock().unwrap().push(worker.held);
}

struct Worker {
    rng: Rng,
    held: Vec<Held>,
}

impl Worker {
    /// One operation, `depth` calls deeper. Returns the depth, so that the calls stay.
    #[inline(never)]
    fn operate(&mut self, depth: usize) -> usize {
        if depth > 0 {
            return black_box(self.operate(depth - 1)) + 1;
        }
        // Relaxed, here and below: a stale number makes the total a little larger or smaller.
        match self.rng.below(8) {
            _ if held::BYTES.load(Ordering::Relaxed) < LEAST_BYTES => self.obtain(),
            0..=3 => self.obtain(),
            4..=5 => self.resize(),
            6 => self.exchange(),
            _ => self.free(),
        }
        0
    }

    fn obtain(&mut self) {
        let layout = any_layout(&mut self.rng);
        self.make_room(layout.size());
        let block = Held::obtain(layout, &mut self.rng);
        self.held.push(block);
    }

    fn resize(&mut self) {
        let Some(mut block) = self.pick() else {
            return self.obtain();
        };
        let size = any_size(&mut self.rng);
        self.make_room(size);
        block.resize(size, &mut self.rng);
        self.held.push(block);
    }

    fn exchange(&mut self) {
        let slot = self.rng.below(EXCHANGE.len());
        if let Some(block) = swap(self.pick(), slot) {
            block.check("come from another thread");
            self.make_room(0);
            self.held.push(block);
        }
    }

    fn free(&mut self) {
        if let Some(block) = self.pick() {
            block.free();
        }
    }

    fn pick(&mut self) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let at = self.rng.below(self.held.len());
        Some(self.held.swap_remove(at))
    }

    fn make_room(&mut self, size: usize) {
        if self.held.len() == MOST_BLOCKS {
            self.free();
        }
        // The largest go first, so that many small ones stay beside a few large ones.
        while held::BYTES.load(Ordering::Relaxed) + size as u64 > MOST_BYTES {
            let sizes = self.held.iter().map(Held::size).enumerate();
            let Some((largest, _)) = sizes.max_by_key(|(_, size)| *size) else {
                break;
            };
            self.held.swap_remove(largest).free();
        }
    }
}
