use super::*;

/// A child that waited for its parent's thread would never sample; one that took the start for done
/// would use what is half set up.
#[test]
#[cfg(not(heapwatch_loom))]
fn a_process_forked_during_the_start_begins_anew() {
    let start = Start::new();
    let mut child_started = false;
    assert!(start.is_done(
        || 1,
        || {
            assert!(!start.is_done(|| 1, || panic!("a second start")));
            // As the child sees it.
            assert!(start.is_done(|| 2, || child_started = true));
        }
    ));
    assert!(child_started);
    assert!(start.is_done(|| 1, || panic!("a third start")));
}

#[cfg(heapwatch_loom)]
mod models {
    use super::*;
    use crate::record::sync::models::{Unshared, check};
    use loom::sync::Arc;
    use loom::thread;

    /// The start of a process of this number, with three threads.
    fn race(start: Start, me: u32) {
        let shared = Arc::new((start, Unshared::new()));
        let ask = move |(start, made): &(Start, Unshared)| {
            if start.is_done(|| me, || made.count()) {
                assert_eq!(made.get(), 1);
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || ask(&shared))
            })
            .collect();
        ask(&shared);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(shared.0.is_done(|| me, || panic!("a second start")));
        assert_eq!(shared.1.get(), 1);
    }

    /// Two starts would leave tables half made, and a thread that went on before the end of the first one
    /// would use what is not there. Finds the acquire or the release being relaxed, and a store in the
    /// place of the exchange.
    #[test]
    fn one_thread_starts_and_others_see_all_or_nothing() {
        check(|| {
            let start = Start::new();
            // Before there are threads.
            start.0.store(0, Ordering::Relaxed);
            race(start, 7);
        });
    }

    /// The same in a child that was forked while its parent was starting.
    #[test]
    fn one_thread_of_a_child_starts_again() {
        check(|| {
            let start = Start::new();
            start.0.store(6, Ordering::Relaxed);
            race(start, 7);
        });
    }
}
