//! What is allocated on small stacks, in a test and in a program that it builds.

use std::hint::black_box;

/// All calls of an allocator, small and large.
#[inline(never)]
pub(crate) fn allocate() {
    for size in [1_usize, 40, 3000, 200_000] {
        let mut bytes: Vec<u8> = Vec::with_capacity(size);
        bytes.push(1);
        bytes.reserve_exact(2 * size);
        drop(black_box(bytes));
        drop(black_box(vec![0_u8; size]));
    }
}
