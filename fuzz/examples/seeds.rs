//! Writes a corpus to start from: a snapshot of this program and its profile, as the targets take them.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds`

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use heapwatch::Snapshot;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// What `snapshot_file` puts in front of its input.
const HEAD: &str = r#""version":1,"#;

fn main() {
    heapwatch::set_interval(64).expect("heapwatch is the global allocator");
    let held: HashMap<u32, Vec<u8>> = (0..20).map(|n| (n, vec![0; 100])).collect();
    drop((0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    let snapshot = heapwatch::snapshot().expect("heapwatch is the global allocator");
    let json = String::from_utf8(unpacked(&written(&snapshot))).expect("JSON");
    let fields = json.split_once(HEAD).expect("the format's head").1;
    seed("snapshot_file", "whole", json.as_bytes());
    seed("snapshot_file", "fields", fields.as_bytes());
    drop(held);
    let later = heapwatch::snapshot().expect("heapwatch is the global allocator");
    let later = unpacked(&written(&later));
    seed("snapshot_file", "two", &[json.as_bytes(), &later].join(&0));
    let profile = snapshot.pprof().encode();
    seed("pprof_profile", "heap", &unpacked(&profile));
    seed("pprof_profile", "heap.gz", &profile);
}

fn written(snapshot: &Snapshot) -> Vec<u8> {
    let mut file = Vec::new();
    snapshot.write(&mut file).expect("memory can be written");
    file
}

fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(gzip).read_to_end(&mut bytes).expect("gzip");
    bytes
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&corpus).expect("a directory for the corpus");
    fs::write(corpus.join(name), bytes).expect("the corpus can be written");
    println!("{}: {} bytes", corpus.join(name).display(), bytes.len());
}
