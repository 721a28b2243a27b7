//! The loop whose instructions are counted.
//!
//! It lives here and not in the two programs so that both link the same object code; the allocator
//! is all that differs.

use std::hint::black_box;

/// 64 bytes: one cache line, a usual small object. At 512 KiB only one pair in 8,192 is sampled, so
/// the count is that of the paths that every allocation takes.
type Object = [u64; 8];

/// Runs as many pairs as the first argument says.
pub fn main() {
    let pairs = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let Some(pairs) = pairs else {
        eprintln!("usage: pair-ALLOCATOR PAIRS");
        std::process::exit(2);
    };
    run(pairs);
}

/// Allocates and frees one object, `pairs` times.
#[inline(never)]
fn run(pairs: u64) {
    for _ in 0..pairs {
        // Uninitialised, so that no instruction of the loop is spent on filling the object.
        drop(black_box(Box::<Object>::new_uninit()));
    }
}
