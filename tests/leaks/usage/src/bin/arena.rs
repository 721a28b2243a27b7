//! An arena for what lives as long as a request; nobody resets it after the request.

use std::hint::black_box;

use bumpalo::Bump;
use leak_harness::times;

const REQUESTS_PER_BEAT: u64 = 4;
const TOKENS: usize = 32;

fn main() {
    leak_harness::run(|run| {
        let mut arena = Bump::new();
        for () in run.beats() {
            for _ in times(REQUESTS_PER_BEAT) {
                black_box(tokenize(
                    &arena,
                    "the quick brown fox jumps over the lazy dog",
                ));
                if run.healthy() {
                    arena.reset();
                }
            }
        }
    });
}

fn tokenize(arena: &Bump, text: &str) -> usize {
    let words = text.split(' ').cycle().take(TOKENS);
    words
        .map(|word| arena.alloc_str(word).len() + arena.alloc([0u64; 7]).len())
        .sum()
}
