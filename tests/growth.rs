//! Growth watched in a real process, from the sampler to the endpoint.
#![cfg(feature = "server")]

mod common;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::child;
use heapwatch::growth::Verdict;
use heapwatch::{Config, Error, Server};
use serde_json::Value;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

#[inline(never)]
fn register() {
    KEPT.lock().unwrap().push(black_box(vec![1; 900]));
}

#[inline(never)]
fn handle() {
    for size in 100..200 {
        black_box(vec![2u8; size * 10]);
    }
}

/// Starts a service whose requests leave something behind, and returns after 5 s at a tick of 20 ms,
/// which are 250 points; it goes on.
fn watched_service() -> Server {
    heapwatch::set_interval(4096).unwrap();
    let server = Config::new()
        .addr("127.0.0.1:0")
        .tick(Duration::from_millis(20))
        .min_watch(Duration::from_secs(2))
        .serve()
        .unwrap();
    std::thread::spawn(|| {
        loop {
            register();
            handle();
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    std::thread::sleep(Duration::from_secs(5));
    server
}

fn get(addr: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

/// The whole way: a leak that cannot be read at the endpoint by its name was not found.
#[test]
fn a_leak_is_named_by_the_library_the_endpoint_and_the_metrics() {
    assert!(matches!(heapwatch::growth(), Err(Error::NotWatched)));
    let started = Instant::now();
    let server = watched_service();
    let addr = server.local_addr();

    let growth = heapwatch::growth().unwrap();
    let first = &growth[0];
    assert_eq!(first.verdict, Verdict::Leaking, "{first}");
    assert!(first.function.ends_with("register"), "{}", first.function);
    let location = first.location.as_deref().unwrap_or_default();
    assert!(location.contains("tests/growth.rs"), "{location}");
    let true_bytes = (KEPT.lock().unwrap().len() * 900) as f64;
    let rate = first.rate_bytes_per_second;
    let truth = true_bytes / started.elapsed().as_secs_f64();
    assert!(
        rate.low < 1.2 * truth && rate.high > 0.8 * truth,
        "{rate:?} for {truth}"
    );
    let accused: Vec<&str> = growth
        .iter()
        .filter(|growth| growth.verdict.alarms())
        .map(|growth| growth.function.as_str())
        .collect();
    assert!(
        accused.iter().all(|name| name.ends_with("register")),
        "{accused:?}"
    );

    let text = get(addr, "/heap/growth");
    assert!(text.contains("\nleaking: "), "{text}");
    let json: Value = serde_json::from_str(&get(addr, "/heap/growth?format=json")).unwrap();
    assert_eq!(json["verdicts"][0]["verdict"], "leaking");
    assert_eq!(json["tick_seconds"], 0.02);
    assert_eq!(json["min_watch_seconds"], 2.0);
    assert!(json["memory"]["resident_bytes"].as_u64() > Some(1 << 20));

    let metrics = get(addr, "/metrics");
    let leaking = "heapwatch_sites{verdict=\"leaking\"} ";
    assert!(metrics.contains(leaking), "{metrics}");
    let rate = metrics
        .lines()
        .find(|line| line.starts_with("heapwatch_site_growth_bytes_per_second{"));
    assert!(
        rate.is_some_and(|line| line.contains("register")),
        "{rate:?}"
    );
    let info = heapwatch::snapshot().unwrap().info().clone();
    assert!(info.self_bytes > 900 * 3, "the history is part of it");
}

/// A wrong tick would make every rate wrong without a word.
#[test]
fn a_tick_that_is_none_is_an_error_of_watch() {
    if child::is_child() {
        let error = heapwatch::watch().unwrap_err().to_string();
        assert!(
            error.contains("HEAPWATCH_TICK") && error.contains("0.01 to 3600"),
            "{error}"
        );
        return;
    }
    let mut command = child::command("a_tick_that_is_none_is_an_error_of_watch");
    child::run(command.env("HEAPWATCH_TICK", "fast"));
}
