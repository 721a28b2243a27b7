//! Four threads in a ring: each allocates batches of small objects and frees those of its neighbour.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::anyhow;
use fastrand::Rng;

use crate::SEED;
use crate::churn::Object;
use crate::cores::keep_to_one_core;

const THREADS: usize = 4;
const BATCHES: usize = 24_000;
/// Large enough that the queue's own cost is small beside that of the objects.
const BATCH: usize = 256;
/// Bounds what is in flight, and with it the peak memory of the workload.
const QUEUE: usize = 8;

/// Every thread sends a batch before it receives one, so the one that has received least always
/// finds a batch waiting or a predecessor that can send: the ring cannot stand still.
pub fn run() -> anyhow::Result<u64> {
    let (senders, mut receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| sync_channel(QUEUE)).unzip();
    receivers.rotate_right(1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .zip(senders.into_iter().zip(receivers))
            .map(|(worker, (next, previous))| scope.spawn(move || work(worker, &next, &previous)))
            .collect();
        workers.into_iter().try_fold(0u64, |checksum, worker| {
            let part = worker.join().map_err(|_| anyhow!("a worker panicked"))??;
            Ok(checksum.wrapping_add(part))
        })
    })
}

fn work(
    worker: usize,
    next: &SyncSender<Vec<Object>>,
    previous: &Receiver<Vec<Object>>,
) -> anyhow::Result<u64> {
    keep_to_one_core(worker)?;
    let mut rng = Rng::with_seed(SEED + worker as u64);
    let mut checksum = 0u64;
    for _ in 0..BATCHES {
        let batch = (0..BATCH).map(|_| Object::random(&mut rng)).collect();
        next.send(batch)
            .map_err(|_| anyhow!("the next worker has gone"))?;
        for object in previous.recv()? {
            checksum = checksum.wrapping_add(object.touch());
        }
    }
    Ok(checksum)
}
