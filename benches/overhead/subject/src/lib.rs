//! What the measured programs share besides the workloads: how their jemalloc was built.

use tikv_jemalloc_ctl::raw;
use workloads::JemallocBuild;

/// The build options of the linked jemalloc, so that the runner can refuse to compare two programs
/// whose jemallocs differ.
pub fn jemalloc_build() -> JemallocBuild {
    JemallocBuild {
        stats: config(b"config.stats\0"),
        profiling: config(b"config.prof\0"),
    }
}

fn config(name: &[u8]) -> bool {
    // SAFETY: every `config.*` name used here is documented as a `bool`.
    unsafe { raw::read(name) }.is_ok_and(|on| on)
}
