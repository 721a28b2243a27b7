//! Small blocks replaced at random, with nothing else between two allocations.

use crate::SEED;

const BLOCKS: usize = 1_024;
const SMALLEST: usize = 16;
const LARGEST: usize = 512;
const REPLACEMENTS: u64 = 60_000_000;

/// Three shifts a number: a better generator would cost as much as the allocator.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Replaces random blocks; the live set stays near 256 KiB and so in the cache.
pub fn run() -> u64 {
    let mut random = Xorshift(SEED);
    let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| block(random.next())).collect();
    let mut checksum = 0u64;
    for _ in 0..REPLACEMENTS {
        let bits = random.next();
        let slot = bits as usize % BLOCKS;
        blocks[slot] = block(bits);
        checksum = checksum.wrapping_add(u64::from(blocks[slot][0]));
    }
    checksum
}

/// A block whose size comes from the upper half of `bits`. Only its first byte is written.
#[inline(never)]
fn block(bits: u64) -> Vec<u8> {
    let size = SMALLEST + (bits >> 32) as usize % (LARGEST - SMALLEST + 1);
    let mut block = Vec::with_capacity(size);
    block.push(size as u8);
    block
}
