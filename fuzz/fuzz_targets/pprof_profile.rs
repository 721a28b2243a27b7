//! Other tools' heap profiles, not compressed.
//!
//! `cargo +nightly fuzz run pprof_profile`
#![no_main]

use heapwatch::Snapshot;
use heapwatch::report::{By, SampleType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(snapshot) = Snapshot::read(bytes) {
        assert!(!snapshot.top(By::Crate).to_json().is_empty());
        assert!(!snapshot.pprof().encode().is_empty());
        let _ = snapshot.folded(SampleType::InuseSpace);
    }
});
