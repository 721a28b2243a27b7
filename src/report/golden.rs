//! Compares a report with the file that it should equal, under `src/report/golden/`.
//!
//! `HEAPWATCH_BLESS=1 cargo test` writes the files; read their diff before it is committed.

use std::path::Path;

pub(crate) fn check(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/report/golden")
        .join(name);
    if std::env::var_os("HEAPWATCH_BLESS").is_some() {
        std::fs::write(&path, actual).expect("golden file");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{name} differs; if it should, bless it with HEAPWATCH_BLESS=1:\n{actual}"
    );
}
