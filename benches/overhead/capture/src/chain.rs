//! 1,000 distinct functions that call each other in any order.

use std::hint::black_box;

/// How many functions there are.
pub const FUNCTIONS: usize = 1000;

type Leaf<'a> = &'a mut dyn FnMut();
type Function = fn(u64, usize, Leaf);

/// Calls through `depth` functions picked by `seed`, then the leaf.
pub fn call(seed: u64, depth: usize, leaf: Leaf) {
    if depth == 0 {
        return leaf();
    }
    let seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    TABLE[(seed >> 33) as usize % FUNCTIONS](seed, depth - 1, leaf);
}

/// One of the functions. `ID` keeps the compiler from folding them into one; `PAD` gives them frames
/// of several sizes, hence several unwind rules, as a program's functions have.
#[inline(never)]
fn function<const ID: usize, const PAD: usize>(seed: u64, depth: usize, leaf: Leaf) {
    let mut pad = [0u8; PAD];
    black_box(&mut pad);
    call(seed, depth, leaf);
    // After the call, so that it is no tail call and the frame stays.
    black_box(ID + usize::from(pad[0]));
}

macro_rules! functions {
    ($($hundreds:literal)*) => { [$(functions!(@tens $hundreds 0 1 2 3 4 5 6 7 8 9)),*] };
    (@tens $hundreds:literal $($tens:literal)*) => {
        [$(functions!(@ones $hundreds $tens 0 1 2 3 4 5 6 7 8 9)),*]
    };
    (@ones $hundreds:literal $tens:literal $($ones:literal)*) => {
        [$(function::<
            { 100 * $hundreds + 10 * $tens + $ones },
            { 8 + 16 * ((7 * $tens + 3 * $ones + $hundreds) % 11) },
        > as Function),*]
    };
}

static TABLE: [Function; FUNCTIONS] = *functions!(0 1 2 3 4 5 6 7 8 9)
    .as_flattened()
    .as_flattened()
    .first_chunk()
    .unwrap();
