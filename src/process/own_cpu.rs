//! CPU time of heapwatch's own threads.
//!
//! Such a thread adds what it has used since it last did so, at the end of each piece of work. What
//! sampling costs on the application's threads is not in it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::calls::thread_cpu_ns;

static TOTAL_NS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static CHARGED_NS: Cell<u64> = const { Cell::new(0) };
}

/// Adds the CPU time of the current thread, which must be heapwatch's own, since its last call.
pub(crate) fn charge() {
    let used = thread_cpu_ns();
    let before = CHARGED_NS.replace(used);
    // Relaxed: a sum that nothing else is read by.
    TOTAL_NS.fetch_add(used.saturating_sub(before), Ordering::Relaxed);
}

/// Seconds that all of heapwatch's threads have used so far, ended ones included.
pub(crate) fn seconds() -> f64 {
    TOTAL_NS.load(Ordering::Relaxed) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Time of an ended thread must stay in the sum, and no time may be counted twice.
    #[test]
    fn a_thread_s_time_is_added_once_and_kept() {
        let before = seconds();
        let worker = std::thread::spawn(|| {
            let started = Instant::now();
            while started.elapsed().as_millis() < 50 {
                std::hint::spin_loop();
            }
            charge();
            charge();
            thread_cpu_ns() as f64 / 1e9
        });
        let used = worker.join().unwrap();
        let added = seconds() - before;
        // Other tests' threads may add theirs meanwhile, so only the lower end is sharp.
        assert!(added > used * 0.9, "{added} of {used}");
        assert!(used > 0.0);
    }
}
