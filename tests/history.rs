//! The past over HTTP, with the real allocator: spans of it are compared exactly at interval 1.
#![cfg(feature = "server")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::child;
use http::{ask, get, request};
use serde_json::Value;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const MIB: u64 = 1 << 20;

#[inline(never)]
fn early() -> Vec<u8> {
    black_box(vec![1; MIB as usize])
}

#[inline(never)]
fn late() -> Vec<u8> {
    black_box(vec![2; 3 * MIB as usize])
}

fn json(addr: SocketAddr, target: &str) -> Value {
    serde_json::from_str(get(addr, target).text()).unwrap()
}

/// Waits until the history has gone on for a while; returns a time in that while.
fn settle(addr: SocketAddr) -> f64 {
    let last = |history: &Value| history["at_seconds"].as_array().unwrap().last().cloned();
    let begun = Instant::now();
    let start = json(addr, "/heap/history")["watched_seconds"]
        .as_f64()
        .unwrap();
    loop {
        let history = json(addr, "/heap/history");
        if last(&history).and_then(|at| at.as_f64()) > Some(start + 0.6) {
            return start + 0.4;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{history}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The change of live bytes at a function between two times: estimate, low and high.
fn change(addr: SocketAddr, from: f64, to: &str, function: &str) -> [i64; 3] {
    let target = format!("/heap/diff?from=@{from}&to={to}&by=function&format=json&n=10000");
    let diff = json(addr, &target);
    let compared = diff["from"]["watched_seconds"].as_f64().unwrap();
    assert!(
        (compared - from).abs() < 0.4,
        "{compared} instead of {from}"
    );
    assert_eq!(diff["same_process"], true);
    let rows = diff["rows"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["function"].as_str().unwrap().ends_with(function));
    let Some(row) = row else { return [0; 3] };
    ["estimate", "low", "high"].map(|end| row["live_bytes_change"][end].as_i64().unwrap())
}

/// What changed in a span of the past is told as it was, whatever happened since.
#[test]
fn spans_of_the_past_are_compared() {
    if !child::is_child() {
        let mut command = child::command("spans_of_the_past_are_compared");
        command
            .env("HEAPWATCH_TICK", "0.1")
            .env("HEAPWATCH_INTERVAL", "1");
        child::run(&mut command);
        return;
    }
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let kept = early();
    let first = settle(addr);
    let more = late();
    let second = settle(addr);
    drop(kept);
    let third = settle(addr);

    let (one, three) = (MIB as i64, 3 * MIB as i64);
    let to = |at: f64| format!("@{at}");
    assert_eq!(change(addr, first, &to(second), "late"), [three; 3]);
    assert_eq!(change(addr, first, &to(second), "early"), [0; 3]);
    assert_eq!(change(addr, second, &to(third), "late"), [0; 3]);
    assert_eq!(change(addr, second, &to(third), "early"), [-one; 3]);
    assert_eq!(change(addr, first, "now", "late"), [three; 3]);
    assert_eq!(change(addr, first, "now", "early"), [-one; 3]);

    for (target, status, said) in [
        (
            format!("/heap/diff?from=@{first}&to=@{first}"),
            404,
            "one moment only",
        ),
        (
            format!("/heap/diff?from=@{third}&to=@{first}"),
            400,
            "exchange them",
        ),
        (
            "/heap/site?id=0123456789abcdef".to_owned(),
            404,
            "no site has the id",
        ),
    ] {
        let answer = ask(addr, &request("GET", &target, ""));
        assert_eq!(answer.status(), status, "{target}: {}", answer.text());
        assert!(answer.text().contains(said), "{target}: {}", answer.text());
    }

    the_figures(addr, second);
    one_site(addr);
    another_interval(addr);
    drop(more);
}

/// A page asks for what is new, and must get that and nothing else.
fn the_figures(addr: SocketAddr, since: f64) {
    let all = json(addr, "/heap/history");
    let new = json(addr, &format!("/heap/history?since={since}"));
    let times = |history: &Value| -> Vec<f64> {
        let times = history["at_seconds"].as_array().unwrap().iter();
        times.map(|at| at.as_f64().unwrap()).collect()
    };
    assert!(times(&new).iter().all(|at| *at > since));
    assert!(times(&new).len() < times(&all).len());
    // A restart is told by it: the process id may be the same.
    let id = heapwatch::snapshot().unwrap().info().profile_id;
    assert_ne!(id, 0);
    assert_eq!(all["profile_id"], format!("{id:016x}"));
    for history in [&all, &new] {
        let count = times(history).len();
        for column in ["resident_bytes", "threads", "jemalloc_allocated_bytes"] {
            let values = history[column].as_array().unwrap();
            assert_eq!(values.len(), count, "{column}");
            assert!(
                values.iter().all(|value| value.as_u64() > Some(0)),
                "{column}"
            );
        }
        let live = history["live_bytes"]["estimate"].as_array().unwrap();
        assert!(live.last().unwrap().as_u64() >= Some(3 * MIB));
    }
    let by = json(addr, "/heap/history/by?n=3");
    let functions = by["functions"].as_array().unwrap();
    let late = functions
        .iter()
        .find(|layer| layer["function"].as_str().unwrap().ends_with("late"));
    let values = late.expect("it holds most")["live_bytes"]
        .as_array()
        .unwrap();
    assert_eq!(values.len(), by["at_seconds"].as_array().unwrap().len());
    assert_eq!(values.last().unwrap().as_u64(), Some(3 * MIB));
}

fn one_site(addr: SocketAddr) {
    let top = json(addr, "/heap/top?format=json&frames=0");
    let row = &top["rows"][0];
    assert!(row["function"].as_str().unwrap().ends_with("late"), "{row}");
    assert_eq!(row["frames"].as_array().map(Vec::len), Some(0));
    let answer = json(
        addr,
        &format!("/heap/site?id={}", row["id"].as_str().unwrap()),
    );
    assert_eq!(answer["site"]["id"], row["id"]);
    assert!(answer["site"]["frames"].as_array().unwrap().len() > 3);
    assert_eq!(answer["ages"][0]["samples"], 1);
    assert_eq!(answer["lifetimes"].as_array().map(Vec::len), Some(0));
    let last = answer["history"]["last_bytes"].as_array().unwrap().last();
    assert_eq!(last.unwrap().as_u64(), Some(3 * MIB));
}

fn another_interval(addr: SocketAddr) {
    let answer = ask(
        addr,
        &request(
            "POST",
            "/heap/interval?bytes=65536",
            "Content-Length: 0\r\n",
        ),
    );
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(json(addr, "/heap/history")["interval_bytes"], 65_536);
    assert_eq!(
        json(addr, "/heap/top?format=json")["interval_bytes"],
        65_536
    );
}
