//! Hash maps and B-trees that grow and shrink, from a handful of entries to tens of thousands.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

/// With fixed keys, so that every run has the same collisions.
type Hashed<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;
type Boxed = Box<[u64; 12]>;

/// Entries of a grown map.
const SIZES: [u64; 4] = [16, 256, 4_096, 65_536];
/// Entries put into the maps of one kind and size, all rounds together.
const INSERTIONS: u64 = 262_144;
/// The part of a grown map that is left when it shrinks, as a divisor.
const LEFT: u64 = 8;

trait Map<K, V>: Default {
    fn put(&mut self, key: K, value: V) -> Option<V>;
    fn take(&mut self, key: &K) -> Option<V>;
    fn give_back_room(&mut self);
}

impl<K: Hash + Eq, V> Map<K, V> for Hashed<K, V> {
    fn put(&mut self, key: K, value: V) -> Option<V> {
        self.insert(key, value)
    }

    fn take(&mut self, key: &K) -> Option<V> {
        self.remove(key)
    }

    fn give_back_room(&mut self) {
        self.shrink_to_fit();
    }
}

impl<K: Ord, V> Map<K, V> for BTreeMap<K, V> {
    fn put(&mut self, key: K, value: V) -> Option<V> {
        self.insert(key, value)
    }

    fn take(&mut self, key: &K) -> Option<V> {
        self.remove(key)
    }

    /// A B-tree gives its nodes back by itself.
    fn give_back_room(&mut self) {}
}

/// All kinds of maps, one after another, in all sizes.
pub fn run() -> u64 {
    let mut replaced = 0;
    for size in SIZES {
        replaced += breathe::<_, _, Hashed<u64, String>>(size, number, text);
        replaced += breathe::<_, _, Hashed<String, u64>>(size, text, number);
        replaced += breathe::<_, _, Hashed<String, Boxed>>(size, text, boxed);
        replaced += breathe::<_, _, BTreeMap<u64, Boxed>>(size, number, boxed);
        replaced += breathe::<_, _, BTreeMap<String, u64>>(size, text, number);
        replaced += breathe::<_, _, BTreeMap<String, String>>(size, text, text);
    }
    replaced
}

/// One map that grows to `size` and shrinks to an eighth, over and over. Returns how many entries
/// met their key in the map.
fn breathe<K, V, M: Map<K, V>>(size: u64, key: fn(u64) -> K, value: fn(u64) -> V) -> u64 {
    let mut map = M::default();
    let mut met = 0;
    for _ in 0..INSERTIONS / size {
        for entry in 0..size {
            met += u64::from(map.put(key(entry), value(entry)).is_some());
        }
        for entry in size / LEFT..size {
            met += u64::from(map.take(&key(entry)).is_some());
        }
        map.give_back_room();
    }
    met
}

/// Scattered, so that neighbours in time are no neighbours in a tree.
fn number(entry: u64) -> u64 {
    entry.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn text(entry: u64) -> String {
    format!("user:{}", number(entry) >> (entry % 48))
}

fn boxed(entry: u64) -> Boxed {
    Box::new([entry; 12])
}
