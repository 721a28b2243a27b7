//! Our own format without its compression, which would hide the format from the fuzzer.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run snapshot_file`: see `fuzz/README.md`.
#![no_main]

use heapwatch::Snapshot;
use heapwatch::report::By;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut json = br#"{"format":"heapwatch-snapshot","version":1,"#.to_vec();
    json.extend_from_slice(bytes);
    for bytes in [bytes, &json] {
        if let Ok(snapshot) = Snapshot::read(bytes) {
            let mut written = Vec::new();
            snapshot.write(&mut written).expect("memory can be written");
            assert!(Snapshot::read(&written[..]).expect("what we wrote") == snapshot);
            assert!(!snapshot.diff(&snapshot).by(By::Function).to_string().is_empty());
        }
    }
});
