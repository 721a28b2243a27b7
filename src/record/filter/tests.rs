#[cfg(heapwatch_loom)]
mod models {
    use super::super::*;
    use crate::record::sync::models::check;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    /// A table behind a filter, as `live` has it: `insert` and `take` do the same steps in the same order.
    struct Table {
        filter: Filter<1>,
        samples: Mutex<Vec<usize>>,
    }

    impl Table {
        fn new() -> Table {
            let filter = Filter::new();
            // Before there are threads.
            assert!(!filter.may_have(0));
            Table {
                filter,
                samples: Mutex::new(Vec::new()),
            }
        }

        fn insert(&self, address: usize) {
            self.samples.lock().unwrap().push(address);
            self.filter.enter(address);
        }

        fn take(&self, address: usize) -> Option<usize> {
            if !self.filter.may_have(address) {
                return None;
            }
            let mut samples = self.samples.lock().unwrap();
            let at = samples.iter().position(|sample| *sample == address)?;
            let sample = samples.swap_remove(at);
            drop(samples);
            self.filter.leave(address);
            Some(sample)
        }
    }

    /// A free that missed its sample would report the block as live for good, and leave two samples at the
    /// address of the next. Finds a block that is handed over before `enter`, or without an order, and a
    /// count that is loaded and stored in two steps: another sample of the same hash comes and goes meanwhile.
    #[test]
    fn who_is_handed_a_block_finds_its_sample() {
        check(|| {
            let table = Arc::new(Table::new());
            let handed_over = Arc::new(AtomicUsize::new(0));
            let allocating = {
                let (table, handed_over) = (Arc::clone(&table), Arc::clone(&handed_over));
                thread::spawn(move || {
                    table.insert(1);
                    // Release: the program's own way to hand a block over.
                    handed_over.store(1, Ordering::Release);
                })
            };
            let other = {
                let table = Arc::clone(&table);
                thread::spawn(move || {
                    table.insert(2);
                    assert_eq!(table.take(2), Some(2));
                })
            };
            let taken = match handed_over.load(Ordering::Acquire) {
                0 => None,
                block => {
                    assert_eq!(table.take(block), Some(block));
                    Some(block)
                }
            };
            allocating.join().unwrap();
            other.join().unwrap();
            if taken.is_none() {
                assert_eq!(table.take(1), Some(1));
            }
            assert!(!table.filter.may_have(1));
        });
    }
}
