//! As many distinct stacks as wanted, all of one depth.

use std::hint::black_box;

use super::{Block, layout};

/// Allocates one block of `size` bytes behind `depth` pairs of calls that the bits of `path` pick.
/// Returns `depth` and the ones in `path` added, so that no call is optimised away.
#[inline(never)]
pub fn branch(path: u32, depth: u32, size: usize, into: &mut Vec<Block>) -> u32 {
    if depth == 0 {
        into.push(Block::alloc(layout(size)).unwrap());
        0
    } else if path & 1 == 0 {
        left(path, depth, size, into)
    } else {
        right(path, depth, size, into)
    }
}

// Different results, so that no two functions or calls become one.
#[inline(never)]
fn left(path: u32, depth: u32, size: usize, into: &mut Vec<Block>) -> u32 {
    black_box(branch(path >> 1, depth - 1, size, into)) + 1
}

#[inline(never)]
fn right(path: u32, depth: u32, size: usize, into: &mut Vec<Block>) -> u32 {
    black_box(branch(path >> 1, depth - 1, size, into)) + 2
}
