//! What must pass.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::thread;

use heapwatch::testing::{Scope, assert_no_growth};

static TABLE: LazyLock<Vec<u64>> = LazyLock::new(|| (0..100_000).collect());

#[test]
fn lazy_statics() {
    assert_no_growth(|| black_box(TABLE[77]), 20);
}

thread_local! {
    static CACHE: RefCell<HashMap<u32, String>> = RefCell::default();
}

#[test]
fn thread_local_caches() {
    let mut calls = 0;
    assert_no_growth(
        || {
            calls += 1;
            CACHE.with_borrow_mut(|cache| {
                cache
                    .entry(calls % 10)
                    .or_insert_with(|| calls.to_string())
                    .len()
            })
        },
        20,
    );
}

/// A cache that is full only when the asked-for iterations are over.
#[test]
fn a_bounded_cache_that_fills_for_long() {
    for bound in [1, 5, 19, 20, 21, 39] {
        let mut cache = lru::LruCache::new(NonZeroUsize::new(bound).unwrap());
        let mut calls = 0_usize;
        assert_no_growth(
            || {
                calls += 1;
                cache.put(calls, "x".repeat(20 + calls * 7 % 13));
            },
            20,
        );
    }
}

#[test]
fn formatting() {
    let mut calls = 0;
    assert_no_growth(
        || {
            calls += 1;
            let text: Vec<String> = (0..calls % 50).map(|i| format!("{i} of {calls}")).collect();
            text.join(", ").len()
        },
        20,
    );
}

/// The harness keeps what a test prints, for ever more.
#[test]
fn printing() {
    let mut calls = 0;
    assert_no_growth(
        || {
            calls += 1;
            println!("call {calls}: {}", "a long line of output ".repeat(10));
        },
        20,
    );
}

/// A pool that goes up and down in periods.
#[test]
fn periodic_flushes() {
    let mut batch = Vec::new();
    assert_no_growth(
        || {
            batch.push(Box::new([0_u8; 64]));
            if batch.len() == 15 {
                batch = Vec::new();
            }
        },
        20,
    );
}

#[test]
fn reference_counts_without_cycles() {
    assert_no_growth(
        || {
            let inner = Arc::new(Mutex::new(vec![1, 2, 3]));
            let outer = Arc::new(inner.clone());
            (inner, outer)
        },
        20,
    );
}

/// Blocks of the scope that another, older thread frees.
#[test]
fn frees_on_another_thread() {
    let (send, receive) = mpsc::sync_channel::<(Vec<u8>, mpsc::SyncSender<()>)>(0);
    let freer = thread::spawn(move || {
        for (block, done) in receive {
            drop(block);
            done.send(()).unwrap();
        }
    });
    assert_no_growth(
        || {
            let (done, wait) = mpsc::sync_channel(1);
            send.send((vec![0; 100], done)).unwrap();
            wait.recv().unwrap();
        },
        20,
    );
    drop(send);
    freer.join().unwrap();
}

#[test]
fn threads_that_end() {
    assert_no_growth(
        || {
            thread::spawn(|| black_box(vec![0_u8; 1000]).len())
                .join()
                .unwrap()
        },
        20,
    );
}

#[test]
fn a_tokio_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    assert_no_growth(
        || runtime().block_on(async { tokio::spawn(async { vec![1, 2, 3] }).await.unwrap() }),
        20,
    );
}

/// A buffer as large as the largest input so far, which inputs of random size let rise ever less.
#[test]
fn high_water_marks() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut buffer: Vec<u8> = Vec::new();
        assert_no_growth(
            || {
                buffer.clear();
                buffer.reserve_exact(random.usize(1..10_000));
            },
            50,
        );
    }
}

/// What comes back from an iteration is not its own to keep.
#[test]
fn a_list_that_is_reallocated_within_bounds() {
    let mut list: Vec<u64> = Vec::new();
    assert_no_growth(
        || {
            list.resize(list.len() % 40 + 1, 7);
            list.shrink_to_fit();
        },
        20,
    );
}

#[test]
fn a_scope_with_its_own_loop() {
    let mut scope = Scope::start();
    let mut last = String::new();
    for i in 0..100 {
        last = format!("{i}");
        scope.lap();
    }
    scope.assert_no_growth();
    assert_eq!(last, "99");
}
