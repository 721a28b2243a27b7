//! `serde_json` parsing of a generated document into a tree of values.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::SEED;

const RECORDS: usize = 1_500;
const PARSES: usize = 500;

/// Parses the document over and over; each tree is dropped before the next is built.
pub fn run() -> anyhow::Result<u64> {
    let document = document().to_string();
    let mut checksum = 0u64;
    for _ in 0..PARSES {
        let tree: Value = serde_json::from_str(&document)?;
        checksum = checksum.wrapping_add(count(&tree));
    }
    Ok(checksum)
}

fn document() -> Value {
    let mut rng = Rng::with_seed(SEED);
    (0..RECORDS).map(|id| record(id, &mut rng)).collect()
}

fn record(id: usize, rng: &mut Rng) -> Value {
    let tags: Vec<String> = (0..rng.usize(0..6)).map(|_| word(rng)).collect();
    let points: Vec<Value> = (0..rng.usize(1..5))
        .map(|_| json!({ "x": rng.i32(-9_999..9_999), "y": rng.f64() }))
        .collect();
    json!({
        "id": id,
        "name": word(rng),
        "active": rng.bool(),
        "parent": null,
        "address": { "street": word(rng), "city": word(rng), "zip": rng.u32(10_000..99_999) },
        "tags": tags,
        "points": points,
    })
}

/// 3 to 24 lower-case letters.
pub fn word(rng: &mut Rng) -> String {
    (0..rng.usize(3..25)).map(|_| rng.lowercase()).collect()
}

fn count(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(count).sum::<u64>() + 1,
        Value::Object(members) => members.values().map(count).sum::<u64>() + 1,
        _ => 1,
    }
}
