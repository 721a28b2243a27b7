//! Clients that take, fetch, compare and delete named snapshots of a busy program, all at once: each is answered whole or
//! told why not, and what is kept stays within its bounds.
#![cfg(feature = "server")]

#[path = "common/http.rs"]
mod http;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use heapwatch::Snapshot;
use http::{Response, ask, get, request};
use serde_json::Value;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const CLIENTS: usize = 12;
const MAX_KEPT: usize = 32;
const MAX_BYTES: u64 = 64 << 20;
const FOR: Duration = Duration::from_secs(4);

fn send(addr: SocketAddr, method: &str, target: &str) -> Response {
    ask(addr, &request(method, target, ""))
}

/// The kept snapshots, which are within their bounds and have each a name of its own.
fn kept(addr: SocketAddr) -> Vec<String> {
    let list: Value = serde_json::from_slice(&get(addr, "/heap/snapshots").body).expect("JSON");
    let kept = list["snapshots"].as_array().expect("a list");
    let bytes: u64 = kept
        .iter()
        .filter_map(|one| one["file_bytes"].as_u64())
        .sum();
    let mut names: Vec<String> = kept
        .iter()
        .filter_map(|one| Some(one["name"].as_str()?.to_owned()))
        .collect();
    assert!(kept.len() <= MAX_KEPT && bytes <= MAX_BYTES, "{list}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), kept.len(), "{list}");
    names
}

/// What the client may be told, by status; anything else fails.
fn allowed(response: &Response, statuses: &[u16]) -> u16 {
    let status = response.status();
    assert!(
        statuses.contains(&status),
        "{status}: {}",
        String::from_utf8_lossy(&response.body)
    );
    status
}

/// One client's life: 503 tells it that another one is being answered.
fn client(addr: SocketAddr, number: usize, told: &mut BTreeMap<(&'static str, u16), u32>) {
    let ends = Instant::now() + FOR;
    for round in number.. {
        if Instant::now() > ends {
            return;
        }
        let name = format!("n{}", round % 5);
        let mut note = |what, response: &Response, statuses: &[u16]| {
            let status = allowed(response, statuses);
            *told.entry((what, status)).or_default() += 1;
            status
        };
        let taken = send(addr, "POST", &format!("/heap/snapshots?name={name}"));
        note("take", &taken, &[201, 409, 503]);
        note(
            "take unnamed",
            &send(addr, "POST", "/heap/snapshots"),
            &[201, 503],
        );
        let file = send(addr, "GET", &format!("/heap/snapshots/{name}"));
        if note("fetch", &file, &[200, 404]) == 200 {
            let snapshot = Snapshot::read(&file.body[..]).expect("a whole file");
            assert!(!snapshot.sites().is_empty());
        }
        let other = (round + 2) % 5;
        let diff = send(
            addr,
            "GET",
            &format!("/heap/diff?from={name}&to=n{other}&format=json"),
        );
        if note("diff", &diff, &[200, 404, 503]) == 200 {
            let diff: Value = serde_json::from_slice(&diff.body).expect("whole JSON");
            assert!(
                diff["total"]["live_bytes_change"]["estimate"].is_number(),
                "{diff}"
            );
        }
        let target = format!("/heap/snapshots/n{other}");
        note("delete", &send(addr, "DELETE", &target), &[204, 404]);
        kept(addr);
    }
}

/// Two people who look at one service must not be able to harm it, nor each other.
#[test]
fn clients_at_once_are_answered_and_the_bounds_hold() {
    heapwatch::set_interval(4096).expect("installed");
    let server = heapwatch::serve("127.0.0.1:0").expect("a port");
    let addr = server.local_addr();
    let over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let held: Vec<String> = (0..2_000).map(|n| format!("request {n}")).collect();
                black_box(held);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn(move || {
                    let mut told = BTreeMap::new();
                    client(addr, number, &mut told);
                    told
                })
            })
            .collect();
        let mut all: BTreeMap<(&str, u16), u32> = BTreeMap::new();
        for client in clients {
            let told = client.join().expect("a client that was answered rightly");
            told.into_iter()
                .for_each(|(key, count)| *all.entry(key).or_default() += count);
        }
        over.store(true, Ordering::Relaxed);
        all
    });
    println!("{told:?}");
    for (what, status) in [
        ("take", 201),
        ("take unnamed", 201),
        ("fetch", 200),
        ("diff", 200),
        ("delete", 204),
    ] {
        assert!(
            told.contains_key(&(what, status)),
            "nobody was told {status} on {what}: {told:?}"
        );
    }
    // Still in order: names can be filled up to the bound, and not beyond.
    for name in kept(addr) {
        allowed(
            &send(addr, "DELETE", &format!("/heap/snapshots/{name}")),
            &[204],
        );
    }
    for number in 0..MAX_KEPT {
        allowed(
            &send(addr, "POST", &format!("/heap/snapshots?name=full-{number}")),
            &[201],
        );
    }
    let one_more = send(addr, "POST", "/heap/snapshots?name=one-more");
    assert_eq!(allowed(&one_more, &[409]), 409);
    assert!(one_more.text().contains("DELETE"), "{}", one_more.text());
    assert_eq!(kept(addr).len(), MAX_KEPT);
}
