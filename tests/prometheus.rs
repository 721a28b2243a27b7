//! A real Prometheus watches a program whose call sites are known to the byte.
#![cfg(feature = "server")]

mod common;
#[path = "common/http.rs"]
mod http;
#[path = "common/prometheus.rs"]
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::child;
use common::program::{Program, obey};
use server::Prometheus;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SESSIONS: usize = 48 << 20;
const CACHE: usize = 24 << 20;
const QUEUE: usize = 12 << 20;

#[inline(never)]
fn keep_sessions() -> Vec<u8> {
    std::hint::black_box(vec![1; SESSIONS])
}

#[inline(never)]
fn keep_cache() -> Vec<u8> {
    std::hint::black_box(vec![2; CACHE])
}

#[inline(never)]
fn keep_queue() -> Vec<u8> {
    std::hint::black_box(vec![3; QUEUE])
}

/// The program that is watched.
fn program() {
    heapwatch::set_interval(1).unwrap();
    let _kept = [keep_sessions(), keep_cache(), keep_queue()];
    obey(|_| {});
}

/// Answers on a port of its own with what `endpoint` answers without `Accept`, as an older scraper
/// would ask.
fn without_accept(endpoint: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let answer = http::get(endpoint, "/metrics");
            let _ = client.write_all(&[answer.head.as_bytes(), &answer.body].concat());
        }
    });
    addr
}

fn configuration(open: SocketAddr, classic: SocketAddr) -> String {
    format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: open, static_configs: [{{targets: ['{open}']}}]}}\n\
         - {{job_name: classic, static_configs: [{{targets: ['{classic}']}}]}}\n"
    )
}

#[test]
#[ignore = "needs prometheus and promtool"]
fn prometheus_scrapes_both_forms_and_names_the_call_sites() {
    if child::is_child() {
        return program();
    }
    let program = Program::start("prometheus_scrapes_both_forms_and_names_the_call_sites");
    promtool_accepts(&http::get(program.addr, "/metrics").body);
    let configuration = configuration(program.addr, without_accept(program.addr));
    let prometheus = Prometheus::start(&[("prometheus.yml", &configuration)]);
    let begun = Instant::now();
    let up = || prometheus.query("up == 1");
    while up().len() < 2 {
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_secs(30),
            "{:?}",
            prometheus.query("up")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let total = (SESSIONS + CACHE + QUEUE) as f64;
    let live = prometheus.query("heapwatch_live_bytes");
    assert_eq!(live.len(), 2, "{live:?}");
    for answer in live {
        assert!(answer.value >= total, "{answer:?}");
        assert!(answer.value < 1.05 * total, "{answer:?}");
    }
    let mut top = prometheus.query("topk(3, heapwatch_site_live_bytes) by (job)");
    top.sort_by(|a, b| {
        let by_job = a.label("job").cmp(b.label("job"));
        by_job.then(b.value.total_cmp(&a.value))
    });
    let expected = [
        ("keep_sessions", SESSIONS),
        ("keep_cache", CACHE),
        ("keep_queue", QUEUE),
    ];
    assert_eq!(top.len(), 6, "{top:#?}");
    for (answer, (function, bytes)) in top.iter().zip(expected.iter().cycle()) {
        assert_eq!(answer.label("function"), format!("prometheus::{function}"));
        assert_eq!(answer.value, *bytes as f64);
    }
}

/// The linter's rules on names, help texts and units, in the form that it reads.
fn promtool_accepts(metrics: &[u8]) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(metrics).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&words)
    );
    assert_eq!(String::from_utf8_lossy(&words), "");
}
