use std::sync::Arc;

use super::super::cache::{Cache, Key};
use crate::snapshot::{Frame, Origin};

fn key(address: u64) -> Key {
    ("build-id".into(), address)
}

fn frames(text: usize) -> Arc<[Frame]> {
    Arc::from([Frame {
        function: "f".repeat(text).into(),
        file: None,
        line: None,
        origin: Origin::Foreign,
        inlined: false,
    }])
}

fn kept(cache: &Cache, addresses: std::ops::Range<u64>) -> usize {
    let keys: Vec<Key> = addresses.map(key).collect();
    cache.get(&keys).iter().flatten().count()
}

/// Without the bound a long-lived service would keep every name it ever showed.
#[test]
fn the_number_of_addresses_is_bounded() {
    let cache = Cache::default();
    cache.insert((0..200_000).map(|address| (key(address), frames(1))));
    let all = kept(&cache, 0..200_000);
    assert!((32_768..=65_536).contains(&all), "{all}");
    assert_eq!(kept(&cache, 199_000..200_000), 1_000, "the latest stay");
}

#[test]
fn the_text_is_bounded_and_shared_text_counts_once() {
    let cache = Cache::default();
    cache.insert((0..40_000).map(|address| (key(address), frames(4_000))));
    let all = kept(&cache, 0..40_000);
    // 16 MiB of 4,000 bytes and a frame each.
    assert!((2_000..=4_200).contains(&all), "{all}");

    let cache = Cache::default();
    let shared = frames(4_000);
    cache.insert((0..30_000).map(|address| (key(address), shared.clone())));
    assert_eq!(kept(&cache, 0..30_000), 30_000);
}

/// What each profile shows again must survive what only one did.
#[test]
fn addresses_in_use_outlive_those_that_are_not() {
    let cache = Cache::default();
    cache.insert((0..100).map(|address| (key(address), frames(1))));
    for round in 1..20 {
        let start = round * 10_000;
        cache.insert((start..start + 10_000).map(|address| (key(address), frames(1))));
        assert_eq!(kept(&cache, 0..100), 100, "round {round}");
    }
    assert_eq!(kept(&cache, 10_000..20_000), 0);
}
