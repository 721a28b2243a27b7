//! Other tools' heap profiles, not compressed.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run pprof_profile`: see `fuzz/README.md`.
#![no_main]

use heapwatch::Snapshot;
use heapwatch::report::{By, SampleType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(snapshot) = Snapshot::read(bytes) {
        assert!(!snapshot.top(By::Crate).to_json().is_empty());
        assert!(!snapshot.pprof().encode().is_empty());
        let _ = snapshot.write_folded(SampleType::InuseSpace, std::io::sink());
    }
});
