//! Large buffers on four threads, filled and read once, as a service does with bodies.

use std::thread;

use anyhow::anyhow;
use fastrand::Rng;

use crate::SEED;
use crate::cores::keep_to_one_core;

const THREADS: usize = 4;
const BUFFERS: usize = 700;
const SMALLEST: usize = 256 << 10;
/// Doublings from the smallest size to the largest, 8 MiB.
const DOUBLINGS: usize = 5;
/// What a socket gives at a time.
const CHUNK: usize = 16 << 10;

/// Every thread has one buffer at a time.
pub fn run() -> anyhow::Result<u64> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        workers.into_iter().try_fold(0u64, |checksum, worker| {
            let part = worker.join().map_err(|_| anyhow!("a worker panicked"))??;
            Ok(checksum.wrapping_add(part))
        })
    })
}

fn work(worker: usize) -> anyhow::Result<u64> {
    keep_to_one_core(worker)?;
    let mut rng = Rng::with_seed(SEED + worker as u64);
    let chunk: Vec<u8> = (0..CHUNK).map(|_| rng.u8(..)).collect();
    let mut checksum = 0u64;
    for _ in 0..BUFFERS {
        let body = body(&mut rng, &chunk);
        let sum: u64 = body.iter().map(|&byte| u64::from(byte)).sum();
        checksum = checksum.wrapping_add(sum);
    }
    Ok(checksum)
}

/// A body of random length, each order of magnitude as likely as any other. The length of every
/// fourth is not known in advance, so its buffer grows by doubling.
fn body(rng: &mut Rng, chunk: &[u8]) -> Vec<u8> {
    let least = SMALLEST << rng.usize(..DOUBLINGS);
    let length = least + rng.usize(..=least);
    let mut body = if rng.u8(..4) == 0 {
        Vec::new()
    } else {
        Vec::with_capacity(length)
    };
    while body.len() < length {
        let size = chunk.len().min(length - body.len());
        body.extend_from_slice(&chunk[..size]);
    }
    body
}
