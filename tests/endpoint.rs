//! The endpoint over the real allocator: what it refuses, and that it stays out of the way.
#![cfg(feature = "server")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::child;
use common::program::{Program, obey};
use flate2::read::GzDecoder;
use heapwatch::report::By;
use http::{ask, connect, get, request};
use prost::Message;
use serde_json::Value;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const HEAP: &str = "/debug/pprof/heap";
const TOP: &str = "/heap/top?format=json&n=10000";

/// What a client does wrong must be refused, with words that tell what would be right.
#[test]
fn bad_requests_are_told_what_is_wrong() {
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    let with_seconds = |value: &str| format!("{HEAP}?seconds={value}");
    let foreign = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let get = |target: &str| request("GET", target, "");
    for (request, status, word) in [
        (get("/nowhere"), 404, "no such page"),
        (get("/debug/pprof/nothing"), 404, "no such page"),
        (
            request("POST", "/heap/top", "Content-Length: 0\r\n"),
            405,
            "GET",
        ),
        (request("DELETE", HEAP, ""), 405, "GET"),
        (get(&with_seconds("0")), 400, "1 to 300"),
        (get(&with_seconds("-1")), 400, "1 to 300"),
        (get(&with_seconds("abc")), 400, "1 to 300"),
        (get(&with_seconds("301")), 400, "1 to 300"),
        (get(&format!("{HEAP}?debug=1&seconds=1")), 400, "exclude"),
        (get("/heap/top?by=colour"), 400, "site, function, crate"),
        (get("/heap/top?sort=size"), 400, "live, growth, allocated"),
        (get("/heap/top?format=xml"), 400, "text, json"),
        (get("/heap/top?colour=red"), 400, "colour"),
        (foreign.to_owned(), 403, "Host"),
    ] {
        let response = ask(server.local_addr(), &request);
        let text = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status(), status, "{request}: {text}");
        assert!(text.contains(word), "{request}: {text}");
    }
}

#[test]
fn a_token_is_asked_for_and_must_be_right() {
    let config = heapwatch::Config::new().addr("127.0.0.1:0").token("s3cret");
    let server = config.serve().unwrap();
    for (headers, status) in [
        ("", 401),
        ("Authorization: Bearer wrong\r\n", 401),
        ("Authorization: Basic s3cret\r\n", 401),
        ("Authorization: Bearer s3cret\r\n", 200),
    ] {
        for target in ["/metrics", HEAP, "/heap/top", "/heap/history"] {
            let response = ask(server.local_addr(), &request("GET", target, headers));
            assert_eq!(response.status(), status, "{target} {headers}");
        }
        // The page has nothing of the process in it: it asks for the token itself.
        let page = ask(server.local_addr(), &request("GET", "/", headers));
        assert_eq!(page.status(), 200, "{headers}");
    }
}

#[test]
fn where_it_cannot_or_may_not_listen_is_an_error_that_says_why() {
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    let taken = heapwatch::serve(server.local_addr()).unwrap_err();
    assert!(matches!(taken, heapwatch::Error::Bind { .. }), "{taken:?}");
    assert!(taken.to_string().contains("another port"), "{taken}");
    let open = heapwatch::serve("0.0.0.0:0").unwrap_err();
    assert!(matches!(open, heapwatch::Error::Config(_)), "{open:?}");
    assert!(open.to_string().contains("token"), "{open}");
    assert!(heapwatch::serve("nowhere").is_err());
}

/// Clients that never finish asking must not keep those out that do.
#[test]
fn a_hundred_half_open_connections_keep_nobody_out() {
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let half_open = |_| {
        let mut client = connect(addr);
        // Fails for those that were closed to make room.
        let _ = client.write_all(b"GET /metrics HTTP/1.1\r\nHost: local");
        client
    };
    let _idle: Vec<_> = (0..100).map(half_open).collect();
    for target in ["/metrics", "/heap/top", "/", HEAP] {
        let begun = Instant::now();
        get(addr, target);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{target}: {took:?}");
    }
}

/// A service at its limit of threads is one that its owner wants to look into.
#[test]
fn at_a_limit_of_threads_requests_are_answered_and_no_new_endpoint_starts() {
    if !child::is_child() {
        let test = "at_a_limit_of_threads_requests_are_answered_and_no_new_endpoint_starts";
        child::run(&mut child::command(test));
        return;
    }
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    // Root may start as many as it likes.
    // SAFETY: neither has preconditions.
    let limited = unsafe { libc::geteuid() != 0 || libc::setuid(65_534) == 0 };
    assert!(limited, "{}", std::io::Error::last_os_error());
    let unlimited = limit_threads(0);
    for target in ["/metrics", HEAP, "/heap/top"] {
        get(server.local_addr(), target);
    }
    let refused = heapwatch::serve("127.0.0.1:0").unwrap_err();
    assert!(matches!(refused, heapwatch::Error::Io(_)), "{refused:?}");
    limit_threads(unlimited);
    let second = heapwatch::serve("127.0.0.1:0").unwrap();
    get(second.local_addr(), "/metrics");
}

/// Sets how many threads this user may have; returns how many that were.
fn limit_threads(count: libc::rlim_t) -> libc::rlim_t {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is a live value that may be written to.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &raw mut limit) };
    let before = std::mem::replace(&mut limit.rlim_cur, count);
    // SAFETY: the limit is a live value.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) };
    assert_eq!((read, set), (0, 0));
    before
}

/// A service whose own runtime hangs is when its owner looks.
#[test]
fn it_answers_while_the_application_s_runtime_hangs() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(async { heapwatch::serve("127.0.0.1:0").unwrap() });
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    for _ in 0..8 {
        let held = std::sync::Arc::clone(&held);
        runtime.spawn(async move {
            let _ = held.lock().map(|held| held.recv());
        });
    }
    let (reached, answer) = std::sync::mpsc::channel();
    runtime.spawn(async move { reached.send(()) });
    let hangs = answer.recv_timeout(Duration::from_millis(300)).is_err();
    assert!(hangs, "the application's runtime was to hang");
    for target in ["/metrics", "/heap/top", HEAP] {
        get(server.local_addr(), target);
    }
    drop(let_go);
}

/// Live and allocated bytes of a function, as the endpoint tells them.
fn of_function(top: &Value, function: &str) -> Option<f64> {
    let mut rows = top["rows"].as_array().unwrap().iter();
    let row = rows.find(|row| row["function"] == function)?;
    row["live_bytes"]["estimate"].as_f64()
}

fn top_by_function(addr: SocketAddr) -> Value {
    let target = format!("{TOP}&by=function");
    serde_json::from_slice(&get(addr, &target).body).unwrap()
}

#[inline(never)]
fn of_parent() -> Vec<u8> {
    black_box(vec![1; 8 << 20])
}

#[inline(never)]
fn of_child() -> Vec<u8> {
    black_box(vec![2; 4 << 20])
}

/// Serves in a child that was forked from a program that serves, too. The exit status tells what
/// failed, as a panic would need the parent's test harness.
fn serve_in_fork(parent: heapwatch::Server) -> i32 {
    // A child that hangs is ended by its signal.
    // SAFETY: alarm has no preconditions.
    unsafe { libc::alarm(20) };
    drop(parent);
    let _kept = of_child();
    let Ok(server) = heapwatch::serve("127.0.0.1:0") else {
        return 1;
    };
    let top = top_by_function(server.local_addr());
    if of_function(&top, "endpoint::of_child") != Some(f64::from(4 << 20)) {
        return 2;
    }
    if of_function(&top, "endpoint::of_parent").is_some() {
        return 3;
    }
    get(server.local_addr(), HEAP);
    get(server.local_addr(), "/metrics");
    0
}

/// Servers that fork workers must be able to look into each of them.
#[test]
fn a_forked_child_serves_its_own_profile() {
    if !child::is_child() {
        child::run(&mut child::command("a_forked_child_serves_its_own_profile"));
        return;
    }
    heapwatch::set_interval(1).unwrap();
    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let _kept = of_parent();
    get(addr, HEAP);
    // SAFETY: the child ends by _exit and uses nothing but what is tested.
    let status = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(serve_in_fork(server));
        }
        assert!(pid > 0);
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        status
    };
    assert_eq!(status, 0, "exit {} signal {}", status >> 8, status & 127);
    let top = top_by_function(addr);
    let live = of_function(&top, "endpoint::of_parent");
    assert_eq!(live, Some(f64::from(8 << 20)), "the parent's goes on");
}

/// Allocates at several call sites, and then only waits for orders.
fn quiet_program() {
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(4000);
    let mut rng = common::Rng(7);
    obey(|order| {
        heapwatch::set_interval(order.parse().unwrap()).unwrap();
        for i in 0..2000 {
            let size = 1 + rng.below(50_000);
            let block = match i % 4 {
                0 => vec![1; size],
                1 => Vec::from("x".repeat(size)),
                2 => of_size(size),
                _ => std::iter::repeat_n(3, size).collect(),
            };
            if i % 3 > 0 {
                kept.push(block);
            }
        }
    });
}

#[inline(never)]
fn of_size(size: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(size))
}

/// A profiler that profiles itself shows leaks of its own making.
#[test]
fn its_own_work_is_invisible() {
    if child::is_child() {
        return quiet_program();
    }
    let mut program = Program::start("its_own_work_is_invisible");
    program.order("1");
    let all_totals = || {
        let top: Value = serde_json::from_slice(&get(program.addr, TOP).body).unwrap();
        (top["total"].clone(), top["rows"].as_array().unwrap().len())
    };
    let before = all_totals();
    for _ in 0..30 {
        for target in [
            "/",
            "/metrics",
            "/heap/top",
            TOP,
            "/heap/top?by=crate",
            "/debug/pprof/",
            HEAP,
            "/debug/pprof/allocs?symbolize=0",
            "/debug/pprof/heap?debug=1",
        ] {
            get(program.addr, target);
        }
        let refused = ask(program.addr, &request("GET", "/nowhere", ""));
        assert_eq!(refused.status(), 404);
    }
    get(program.addr, "/debug/pprof/heap?seconds=1");
    assert_eq!(all_totals(), before, "300 requests left a trace");
    let text = get(program.addr, TOP).body;
    let top: Value = serde_json::from_slice(&text).unwrap();
    for row in top["rows"].as_array().unwrap() {
        for frame in row["frames"].as_array().unwrap() {
            let function = frame["function"].as_str().unwrap();
            for own in ["heapwatch::http", "hyper::", "tokio::"] {
                assert!(!function.contains(own), "{row:#}");
            }
        }
    }
}

/// The parts of `profile.proto` that hold numbers.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

/// Sums of `alloc_objects, alloc_space, inuse_objects, inuse_space`.
fn profile_totals(addr: SocketAddr) -> [f64; 4] {
    let zipped = get(addr, HEAP).body;
    let mut bytes = Vec::new();
    GzDecoder::new(&*zipped).read_to_end(&mut bytes).unwrap();
    let profile = Profile::decode(&*bytes).unwrap();
    std::array::from_fn(|i| profile.sample.iter().map(|s| s.value[i] as f64).sum())
}

fn metric_totals(addr: SocketAddr) -> [f64; 4] {
    let response = get(addr, "/metrics");
    let metrics: BTreeMap<&str, f64> = response
        .text()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    [
        "heapwatch_allocated_objects_total",
        "heapwatch_allocated_bytes_total",
        "heapwatch_live_objects",
        "heapwatch_live_bytes",
    ]
    .map(|name| metrics[name])
}

fn table_totals(addr: SocketAddr, by: By) -> [f64; 4] {
    let target = format!("{TOP}&by={by}");
    let top: Value = serde_json::from_slice(&get(addr, &target).body).unwrap();
    let names = [
        "allocated_objects",
        "allocated_bytes",
        "live_objects",
        "live_bytes",
    ];
    let of = |amounts: &Value, name: &str| amounts[name]["estimate"].as_f64().unwrap();
    let total = names.map(|name| of(&top["total"], name));
    let rows = top["rows"].as_array().unwrap();
    let sums = names.map(|name| {
        let shown: f64 = rows.iter().map(|row| of(row, name)).sum();
        shown + of(&top["other"], name)
    });
    assert_eq!(sums, total, "rows and the rest add up, by {by}");
    total
}

/// Two pages that tell different numbers for the same thing are both useless.
#[test]
fn all_pages_tell_the_same_numbers() {
    if child::is_child() {
        return quiet_program();
    }
    let mut program = Program::start("all_pages_tell_the_same_numbers");
    for interval in ["1", "65536", "524288"] {
        program.order(interval);
        let profile = profile_totals(program.addr);
        assert!(profile[3] > 10e6, "{profile:?}");
        // A profile's allocated is its live and its freed, each in whole numbers; a counter is the
        // whole number of what was allocated, so that it never goes down.
        for (metric, told) in metric_totals(program.addr).iter().zip(profile) {
            assert!((metric - told).abs() <= 1.0, "metrics: {metric} for {told}");
        }
        for by in [By::Site, By::Function, By::Crate] {
            assert_eq!(table_totals(program.addr, by), profile, "by {by}");
        }
    }
}
