//! Our own format without its compression, which would hide the format from the fuzzer: one snapshot, or two to compare
//! with a zero byte between them.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run snapshot_file`: see `fuzz/README.md`.
#![no_main]

use heapwatch::Snapshot;
use heapwatch::report::By;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut snapshots = Vec::new();
    for bytes in bytes.splitn(2, |byte| *byte == 0) {
        let json = [&br#"{"format":"heapwatch-snapshot","version":1,"#[..], bytes].concat();
        for bytes in [bytes, &json] {
            if let Ok(snapshot) = Snapshot::read(bytes) {
                let mut written = Vec::new();
                snapshot.write(&mut written).expect("memory can be written");
                assert!(Snapshot::read(&written[..]).expect("what we wrote") == snapshot);
                snapshots.push(snapshot);
            }
        }
    }
    for from in &snapshots {
        for to in &snapshots {
            assert!(!from.diff(to).by(By::Function).to_string().is_empty());
        }
    }
});
