//! A dependency of `program.rs`. With the feature `inline` its functions vanish into their callers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Keeps what was put in, twice: by key and in order.
pub struct Cache<K, V> {
    by_key: HashMap<K, V>,
    order: Vec<K>,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    #[cfg_attr(feature = "inline", inline(always))]
    #[cfg_attr(not(feature = "inline"), inline(never))]
    pub fn new(entries: usize) -> Self {
        Cache {
            by_key: HashMap::with_capacity(entries),
            order: Vec::new(),
        }
    }

    #[cfg_attr(feature = "inline", inline(always))]
    #[cfg_attr(not(feature = "inline"), inline(never))]
    pub fn put(&mut self, key: K, value: V) {
        self.order.push(key.clone());
        self.by_key.insert(key, value);
    }
}

#[cfg_attr(feature = "inline", inline(always))]
pub fn intern(text: &str) -> Arc<str> {
    shared(text.to_uppercase())
}

#[cfg_attr(feature = "inline", inline(always))]
#[cfg_attr(not(feature = "inline"), inline(never))]
fn shared(text: String) -> Arc<str> {
    Arc::from(text)
}

/// A buffer that grows as it is filled.
pub fn encode(bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in bytes {
        write(&mut out, byte);
    }
    out
}

#[cfg_attr(feature = "inline", inline(always))]
#[cfg_attr(not(feature = "inline"), inline(never))]
fn write(out: &mut Vec<u8>, byte: u8) {
    out.push(byte);
}
