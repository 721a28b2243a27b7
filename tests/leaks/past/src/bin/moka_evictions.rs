//! moka 0.7.0 does not free the keys and queue nodes of the entries that it evicts.
//! <https://github.com/moka-rs/moka/issues/64>, fixed in 0.7.1.

use std::time::Duration;

use leak_harness::times;
use moka::unsync::{Cache, CacheBuilder};

const LOOKUPS_PER_BEAT: u64 = 80;

#[derive(PartialEq, Eq, Hash)]
struct Tile {
    layer: u64,
    x: u64,
    y: u64,
}

fn main() {
    leak_harness::run(|run| {
        let idle = Duration::from_millis(200);
        let mut cache = CacheBuilder::new(2_000).time_to_idle(idle).build();
        let mut seen = 0;
        for () in run.beats() {
            for _ in times(LOOKUPS_PER_BEAT) {
                seen += 1;
                lookup(
                    &mut cache,
                    Tile {
                        layer: seen % 7,
                        x: seen / 100,
                        y: seen,
                    },
                );
            }
        }
    });
}

fn lookup(cache: &mut Cache<Tile, u64>, tile: Tile) {
    if cache.get(&tile).is_none() {
        let rendered = tile.x * tile.y;
        cache.insert(tile, rendered);
    }
}
