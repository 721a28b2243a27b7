#[cfg(heapwatch_loom)]
mod models {
    use super::super::*;
    use crate::record::sync::models::{Unshared, check};
    use loom::sync::Arc;
    use loom::thread;

    struct Shared {
        readers: Readers<1>,
        /// Which of the two things is current.
        current: AtomicU32,
        /// One that is freed has a count.
        things: [Unshared; 2],
    }

    /// A list that is freed while a walk reads it is a crash. Finds any ordering that is
    /// relaxed, a load in the place of the exchange, and a reader that enters after it has loaded what is current.
    #[test]
    fn what_somebody_reads_is_not_freed() {
        check(|| {
            let shared = Arc::new(Shared {
                readers: Readers::new(),
                current: AtomicU32::new(0),
                things: [Unshared::new(), Unshared::new()],
            });
            // Before there are threads.
            shared.current.store(0, Ordering::Relaxed);
            assert_eq!(shared.readers.quiet(), Readers::<1>::ALL);
            let reader = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let reader = shared.readers.enter(0);
                    let thing = shared.current.load(Ordering::Acquire) as usize;
                    // Written, as a read would not show that it comes too late.
                    assert_eq!(shared.things[thing].get(), 0, "freed");
                    shared.things[thing].set(0);
                    drop(reader);
                })
            };
            let old = shared.current.swap(1, Ordering::AcqRel) as usize;
            let free = shared.readers.quiet() == Readers::<1>::ALL;
            if free {
                shared.things[old].set(1);
            }
            reader.join().unwrap();
            assert!(!free || shared.things[old].get() == 1, "used later");
        });
    }
}
