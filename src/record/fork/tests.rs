use super::*;

#[cfg(not(heapwatch_loom))]
static NUMBER: PerProcess<u32> = PerProcess::new();

/// Threads that race for the first use must agree on one value.
#[test]
#[cfg(not(heapwatch_loom))]
fn all_threads_see_one_value() {
    let seen: Vec<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|i| scope.spawn(move || *NUMBER.get_or_init(|| i).unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(seen.iter().all(|value| *value == seen[0]), "{seen:?}");
    assert_eq!(NUMBER.get(), Some(&seen[0]));
}

#[cfg(heapwatch_loom)]
mod models {
    use super::*;
    use crate::record::sync::models::{Unshared, check};
    use loom::sync::Arc;
    use loom::thread;
    use std::sync::atomic::AtomicUsize;

    /// Two that have the turn at once would do the maintenance twice at once, and one that did not see what the
    /// last one wrote would undo it. Finds the acquire or the release being relaxed, a load and a store in the
    /// place of the exchange, and a turn that ends where another thread fails to get it.
    #[test]
    fn a_turn_has_one_holder_who_sees_what_the_last_one_wrote() {
        check(|| {
            let turn = Turn::new();
            // Before there are threads.
            turn.0.store(0, Ordering::Relaxed);
            let shared = Arc::new((turn, Unshared::new()));
            let take = |(turn, work): &(Turn, Unshared)| {
                let Some(_held) = turn.start() else { return 0 };
                work.count();
                1
            };
            let threads = [(); 2].map(|()| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || take(&shared))
            });
            let mut turns = take(&shared);
            for thread in threads {
                turns += thread.join().unwrap();
            }
            assert!(shared.0.start().is_some());
            assert_eq!(shared.1.get(), turns);
        });
    }

    /// Threads that had two values would each count in their own, one that saw half of a value would read what is
    /// not there, and a loser's value that stayed would be lost memory. Finds the release or the acquire of `get`
    /// being relaxed, and a loser's value that is not dropped or not unmapped. Does not see what becomes of a
    /// slot's generation, which is a plain number.
    #[test]
    fn all_threads_see_one_value_which_is_whole() {
        struct Value {
            number: usize,
            written: Unshared,
            dropped: &'static AtomicUsize,
        }
        impl Drop for Value {
            fn drop(&mut self) {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Of all orders that were tried.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        static DROPPED: AtomicUsize = AtomicUsize::new(0);

        check(|| {
            let mapped = own::mapped_bytes();
            let (made, dropped) = (&MADE, &DROPPED);
            made.store(0, Ordering::Relaxed);
            dropped.store(0, Ordering::Relaxed);
            let slot = PerProcess::<Value>::new();
            // Before there are threads.
            assert!(slot.get().is_none());
            let slot = Arc::new(slot);
            let see = move |slot: &PerProcess<Value>, number| {
                let value = slot.get_or_init(|| {
                    made.fetch_add(1, Ordering::Relaxed);
                    let written = Unshared::new();
                    written.set(number);
                    Value {
                        number,
                        written,
                        dropped,
                    }
                });
                let value = value.unwrap();
                assert_eq!(value.written.get(), value.number);
                value.number
            };
            let threads = [1, 2].map(|number| {
                let slot = Arc::clone(&slot);
                thread::spawn(move || see(&slot, number))
            });
            let seen = see(&slot, 3);
            for thread in threads {
                assert_eq!(thread.join().unwrap(), seen);
            }
            assert_eq!(slot.get().map(|value| value.number), Some(seen));
            let (made, dropped) = (
                made.load(Ordering::Relaxed),
                dropped.load(Ordering::Relaxed),
            );
            assert_eq!(dropped, made - 1);
            let page = own::whole_pages(size_of::<Slot<Value>>()).unwrap();
            assert_eq!(own::mapped_bytes() - mapped, page);
        });
    }
}
