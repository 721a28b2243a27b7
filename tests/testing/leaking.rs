//! What must be found.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use heapwatch::testing::{Scope, assert_no_growth};

use crate::failure;

/// Each way that memory stays must be found, and its line named.
fn assert_found(name: &str, iteration: impl FnMut()) {
    let message = failure(|| assert_no_growth(iteration, 20));
    assert!(
        message.starts_with("memory still grows after 160 iterations"),
        "{message}"
    );
    assert!(
        message.contains("tests/testing/leaking.rs:") && message.contains(name),
        "{name} is not named: {message}"
    );
}

#[test]
fn boxes() {
    assert_found("boxes", || {
        Box::leak(black_box(Box::new([0_u64; 8])));
    });
}

/// One object all the time, of double the size ever more rarely.
#[test]
fn pushes() {
    let mut list = Vec::new();
    assert_found("pushes", || list.push(7_u64));
    black_box(list);
}

#[test]
fn several_pushes_at_once() {
    for per_iteration in [1, 3, 5, 7, 10] {
        let mut queue = VecDeque::new();
        assert_found("several_pushes_at_once", || {
            queue.extend((0..per_iteration).map(|_| 7_u64));
        });
        black_box(queue);
    }
}

#[test]
fn strings() {
    let mut log = String::new();
    assert_found("strings", || log.push_str("another line\n"));
    black_box(log);
}

#[test]
fn inserts() {
    let mut users = HashMap::new();
    let mut next = 0_u64;
    assert_found("inserts", || {
        next += 1;
        users.insert(next, [0_u8; 100]);
    });
    black_box(users);
}

#[test]
fn tree_inserts() {
    let mut users = BTreeMap::new();
    let mut next = 0_u64;
    assert_found("tree_inserts", || {
        next += 1;
        users.insert(next, next);
    });
    black_box(users);
}

struct Node {
    _to: RefCell<Option<Arc<Mutex<Option<Node>>>>>,
}

#[test]
fn arc_cycles() {
    assert_found("arc_cycles", || {
        let node = Arc::new(Mutex::new(None));
        let itself = RefCell::new(Some(node.clone()));
        *node.lock().unwrap() = Some(Node { _to: itself });
    });
}

/// One in two hundred objects of a site.
#[test]
fn a_leak_beneath_churn() {
    let mut kept = Vec::with_capacity(1000);
    assert_found("a_leak_beneath_churn", || {
        for i in 0..200 {
            let block = black_box(Box::new([0_u8; 48]));
            if i == 77 {
                kept.push(block);
            }
        }
    });
}

/// Less than once in an iteration.
#[test]
fn every_seventh_time() {
    let mut calls = 0;
    assert_found("every_seventh_time", || {
        calls += 1;
        if calls % 7 == 0 {
            std::mem::forget(black_box(Rc::new(calls)));
        }
    });
}

/// Growth at two lines by turns: neither alone holds memory for long.
#[test]
fn one_list_grown_at_two_lines() {
    let mut list: Vec<u64> = Vec::new();
    let message = failure(|| {
        assert_no_growth(
            || {
                let odd = list.capacity().max(1).ilog2() % 2 == 1;
                if odd {
                    list.push(1);
                } else {
                    list.push(2);
                }
            },
            20,
        );
    });
    assert!(message.contains("one_list_grown_at_two_lines"), "{message}");
}

static RECEIVED: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

/// What a spawned thread allocates counts, and what others free of it.
#[test]
fn spawned_threads_that_send_to_a_static() {
    let (send, receive): (Sender<String>, Receiver<String>) = mpsc::channel();
    let keeper = thread::spawn(move || {
        for text in receive {
            RECEIVED
                .get_or_init(Mutex::default)
                .lock()
                .unwrap()
                .push(text);
        }
    });
    assert_found("spawned_threads_that_send_to_a_static", || {
        let send = send.clone();
        thread::spawn(move || send.send("a text of some length".repeat(3)).unwrap())
            .join()
            .unwrap();
    });
    drop(send);
    keeper.join().unwrap();
}

/// Threads of threads are in the scope as well.
#[test]
fn grandchildren() {
    assert_found("grandchildren", || {
        let child = || {
            let grandchild = || std::mem::forget(black_box(vec![0_u8; 100]));
            thread::spawn(grandchild).join().unwrap();
        };
        thread::spawn(child).join().unwrap();
    });
}

#[test]
fn tasks_on_a_runtime_started_inside() {
    assert_found("tasks_on_a_runtime_started_inside", || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        runtime.block_on(async {
            let task = tokio::spawn(async {
                std::mem::forget(black_box(Box::new([1_u8; 300])));
            });
            task.await.unwrap();
        });
    });
}

#[test]
fn a_scope_with_its_own_loop() {
    let mut kept = Vec::with_capacity(1000);
    let mut scope = Scope::start();
    for i in 0..100 {
        kept.push(Box::new(i));
        scope.lap();
    }
    let message = failure(|| scope.assert_no_growth());
    assert!(message.contains("a_scope_with_its_own_loop"), "{message}");
}
