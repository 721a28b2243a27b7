//! Other threads, other intervals, one verdict.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use heapwatch::testing::{Scope, assert_no_growth};

use crate::failure;

/// A scope that counted its neighbours would make every test suite flaky.
#[test]
fn leaks_of_other_threads_do_not_count() {
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::mem::forget(black_box(vec![0_u8; 200]));
                    // Threads that they create do not count either.
                    thread::spawn(|| std::mem::forget(black_box(vec![0_u8; 300])))
                        .join()
                        .unwrap();
                }
            });
        }
        for _ in 0..5 {
            assert_no_growth(|| black_box(vec![0_u8; 100]).len(), 100);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Several scopes at once each count their own.
#[test]
fn scopes_do_not_mix() {
    thread::scope(|threads| {
        for leaked in [0_usize, 100, 0, 200, 0] {
            threads.spawn(move || {
                let assertion = || {
                    assert_no_growth(
                        || std::mem::forget(black_box(Vec::<u8>::with_capacity(leaked))),
                        50,
                    );
                };
                if leaked == 0 {
                    assertion();
                } else {
                    let rate = format!("{leaked} B in 1 object an iteration");
                    let message = failure(assertion);
                    assert!(message.contains(&rate), "{message}");
                }
            });
        }
    });
}

#[test]
fn the_same_each_time() {
    let run = || {
        let mut kept = Vec::new();
        failure(|| {
            assert_no_growth(
                || {
                    kept.push(format!("user {}", kept.len()));
                    drop(black_box(vec![0_u8; 10 + kept.len() % 7]));
                },
                25,
            );
        })
    };
    let first = run();
    for _ in 1..20 {
        assert_eq!(run(), first);
    }
}

#[inline(never)]
fn beside_a_scope() {
    (0..1000).for_each(|_| drop(black_box(Box::new([1_u64; 2]))));
}

#[inline(never)]
fn after_a_scope() {
    (0..1000).for_each(|_| drop(black_box(Box::new([1_u64; 2]))));
}

#[inline(never)]
fn in_a_thread_that_outlives_its_scope() {
    (0..1000).for_each(|_| drop(black_box(Box::new([1_u64; 2]))));
}

#[inline(never)]
fn after_a_change_of_the_interval_inside() {
    (0..1000).for_each(|_| drop(black_box(Box::new([1_u64; 2]))));
}

/// Samples taken in a function, of 16,000 bytes that it allocated.
fn samples_in(function: &str) -> u64 {
    let snapshot = heapwatch::snapshot().unwrap();
    let rows = snapshot
        .top(heapwatch::report::By::Function)
        .sort(heapwatch::report::Sort::Allocated)
        .limit(usize::MAX)
        .rows();
    let named = |row: &&heapwatch::report::Row<'_>| {
        let names = [row.function.as_deref(), row.own_function];
        names
            .into_iter()
            .flatten()
            .any(|name| name.contains(function))
    };
    rows.iter()
        .filter(named)
        .map(|row| row.amounts.samples)
        .sum()
}

/// At 512 KiB, 0.03 of 1,000 small blocks are sampled on average, more than five of them once in
/// 10^12 runs; in a scope all are. A scope that leaked would slow down its neighbours and fill the
/// tables.
#[test]
fn a_scope_is_only_its_threads_and_its_time() {
    let (start, wait) = std::sync::mpsc::channel::<()>();
    let (started, inside) = std::sync::mpsc::channel::<()>();
    let scope = Scope::start();
    let outliving = thread::spawn(move || {
        drop(black_box(Box::new(1)));
        started.send(()).unwrap();
        wait.recv().unwrap();
        in_a_thread_that_outlives_its_scope();
    });
    inside.recv().unwrap();
    heapwatch::set_interval(heapwatch::snapshot().unwrap().info().interval_bytes).unwrap();
    after_a_change_of_the_interval_inside();
    drop(scope);
    after_a_scope();
    start.send(()).unwrap();
    outliving.join().unwrap();

    let (go, wait) = std::sync::mpsc::channel::<()>();
    let older = thread::spawn(move || {
        wait.recv().unwrap();
        beside_a_scope();
    });
    let scope = Scope::start();
    go.send(()).unwrap();
    older.join().unwrap();
    drop(scope);

    assert_eq!(samples_in("after_a_change_of_the_interval_inside"), 1000);
    for function in [
        "after_a_scope",
        "beside_a_scope",
        "in_a_thread_that_outlives_its_scope",
    ] {
        assert!(
            samples_in(function) <= 5,
            "{function}: {}",
            samples_in(function)
        );
    }
}

/// The interval of the process is other tests' and the program's.
#[test]
fn the_interval_is_as_before() {
    let interval = || heapwatch::snapshot().unwrap().info().interval_bytes;
    let before = interval();
    let scope = Scope::start();
    assert_eq!(interval(), before);
    drop(scope);
    assert_eq!(interval(), before);
}

/// A program that is started in a scope inherits the number of the scope, too; if it kept it, its
/// own scopes would count all of its threads.
#[test]
#[cfg(target_os = "linux")]
fn a_program_started_inside_begins_anew() {
    const CHILD: &str = "HEAPWATCH_TESTING_CHILD";
    // SAFETY: reads a number of the calling thread.
    let slack = || unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
    if std::env::var_os(CHILD).is_some() {
        return assert_eq!(slack(), 50_000);
    }
    let scope = Scope::start();
    assert_ne!(slack(), 50_000);
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "testing::parallel::a_program_started_inside_begins_anew",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    drop(scope);
    assert_eq!(slack(), 50_000);
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
}

/// A panic inside of the closure ends the scope.
#[test]
fn a_panic_ends_the_scope() {
    let message = failure(|| assert_no_growth(|| panic!("{}", "by itself"), 10));
    assert_eq!(message, "by itself");
    assert_no_growth(|| black_box(vec![1]).len(), 10);
}

#[test]
fn scopes_do_not_nest() {
    let _outer = Scope::start();
    let message = failure(|| drop(Scope::start()));
    assert!(
        message.contains("in a heapwatch::testing scope already"),
        "{message}"
    );
    let inherited = thread::spawn(|| failure(|| drop(Scope::start())))
        .join()
        .unwrap();
    assert_eq!(inherited, message);
}

#[test]
fn too_few_laps_are_refused() {
    let mut scope = Scope::start();
    (0..5).for_each(|_| {
        std::mem::forget(black_box(Box::new(1)));
        scope.lap();
    });
    let message = failure(|| scope.assert_no_growth());
    assert!(
        message.contains("needs at least 8 laps") && message.contains("has 5"),
        "{message}"
    );
    for laps in [0, 1, 2, 4, 7] {
        let mut scope = Scope::start();
        (0..laps).for_each(|_| scope.lap());
        let message = failure(|| scope.assert_no_growth());
        assert!(message.contains(&format!("has {laps};")), "{message}");
    }
    let message = failure(|| assert_no_growth(|| (), 1));
    assert!(message.contains("at least 2 iterations"), "{message}");
}
