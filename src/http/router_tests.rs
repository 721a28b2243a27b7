//! The pages inside a real server of somebody else's.

use std::io::Write;
use std::net::{SocketAddr, TcpStream as Client};
use std::sync::mpsc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;

use super::super::test_client::{Response, blocking, fixed, read};
use super::*;

/// A service with a state and a page of its own, on a runtime of one thread that nothing may block.
fn serve(config: Config, source: Source) -> SocketAddr {
    let answers = snapshot::muted(|| start(&config, source)).unwrap();
    serve_answers(answers)
}

fn serve_answers(answers: Answers) -> SocketAddr {
    let app = Router::new()
        .route(
            "/rooms",
            get(|State(rooms): State<u32>| async move { rooms.to_string() }),
        )
        .with_state(7)
        .nest_service("/internal/heapwatch", answers.into_router());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    told.recv().unwrap()
}

fn send(addr: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Client {
    let mut client = Client::connect(addr).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head += "Host: localhost\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    client.write_all((head + "\r\n").as_bytes()).unwrap();
    client
}

fn ask(addr: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    read(&mut send(addr, method, target, headers), true)
}

/// Links that forget the prefix, or a prefix that swallows the application's own pages.
#[test]
fn pages_answer_below_a_prefix_beside_routes_with_a_state() {
    let addr = serve(Config::new(), fixed());
    let ask = |target: &str| ask(addr, "GET", target, &[]);
    assert_eq!(ask("/rooms").text(), "7");
    let redirect = ask("/internal/heapwatch");
    assert_eq!(redirect.status(), 308);
    assert_eq!(redirect.header("location"), Some("./heapwatch/"));
    for page in ["", "debug/pprof/"] {
        let page = ask(&format!("/internal/heapwatch/{page}"));
        assert_eq!(page.status(), 200);
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        for absolute in ["href=\"/", "src=\"/", "action=\"/"] {
            assert!(!page.text().contains(absolute), "{}", page.text());
        }
    }
    for target in [
        "heap/top?by=crate",
        "metrics",
        "debug/pprof/heap",
        "heap/snapshots",
    ] {
        let response = ask(&format!("/internal/heapwatch/{target}"));
        assert_eq!(response.status(), 200, "{target}");
        assert!(!response.body.is_empty(), "{target}");
    }
    assert!(
        ask("/internal/heapwatch/nowhere")
            .text()
            .contains("no such page")
    );
    assert_eq!(ask("/internal/heapwatch/heap/top?by=colour").status(), 400);
    assert_eq!(ask("/nowhere").status(), 404);
}

#[test]
fn names_are_refused_unless_they_are_known_or_a_token_is() {
    const TOP: &str = "/internal/heapwatch/heap/top";
    let addr = serve(Config::new().allow_host("ops.example"), fixed());
    for (host, status) in [
        ("localhost:8080", 200),
        ("10.1.2.3:8080", 200),
        ("[fd00::7]:8080", 200),
        ("ops.example", 200),
        ("evil.example", 403),
    ] {
        let response = ask(addr, "GET", TOP, &[("Host", host)]);
        assert_eq!(response.status(), status, "{host}");
    }
    let addr = serve(Config::new().token("s3cret"), fixed());
    let host = ("Host", "any.example");
    assert_eq!(ask(addr, "GET", TOP, &[host]).status(), 401);
    assert_eq!(
        ask(addr, "GET", TOP, &[host, ("Authorization", "Bearer no")]).status(),
        401
    );
    let token = ("Authorization", "Bearer s3cret");
    assert_eq!(ask(addr, "GET", TOP, &[host, token]).status(), 200);
}

/// The pages under the service's public name may change something, and those of others may not.
#[test]
fn changes_are_taken_from_the_same_origin_only() {
    const KEEP: &str = "/internal/heapwatch/heap/snapshots?name=a";
    let addr = serve(Config::new(), fixed());
    let post = |origin| {
        let headers = [
            ("Host", "10.1.2.3:8080"),
            ("Origin", origin),
            ("Content-Length", "0"),
        ];
        ask(addr, "POST", KEEP, &headers).status()
    };
    assert_eq!(post("http://10.1.2.3:8080"), 201);
    assert_eq!(post("http://evil.example"), 403);
    // Any address is a Host here, and none of them is an origin.
    for origin in [
        "http://203.0.113.7",
        "http://10.1.2.3",
        "http://127.0.0.1:8080",
    ] {
        assert_eq!(post(origin), 403, "{origin}");
    }
    assert_eq!(post("null"), 403);
}

#[test]
fn requests_are_bounded() {
    let addr = serve(Config::new(), fixed());
    let top = "/internal/heapwatch/heap/top";
    let long = "x".repeat(9_000);
    assert_eq!(ask(addr, "GET", top, &[("X-Long", &long)]).status(), 431);
    let mut client = send(
        addr,
        "POST",
        "/internal/heapwatch/heap/snapshots",
        &[("Content-Length", "1025")],
    );
    let _ = client.write_all(&[b'x'; 1025]);
    assert_eq!(read(&mut client, true).status(), 413);
}

/// A report that takes a while must hold up neither the application's runtime, which has but one
/// thread here, nor let a second profile begin.
#[test]
fn work_is_done_elsewhere_and_one_profile_at_a_time() {
    let (source, on_enter, release) = blocking();
    let addr = serve(Config::new(), source);
    let profile = "/internal/heapwatch/debug/pprof/heap";
    let mut first = send(addr, "GET", profile, &[]);
    on_enter.recv().unwrap();
    assert_eq!(ask(addr, "GET", "/rooms", &[]).text(), "7");
    assert_eq!(ask(addr, "GET", profile, &[]).status(), 503);
    drop(release);
    assert_eq!(read(&mut first, true).status(), 200);
    assert_eq!(ask(addr, "GET", profile, &[]).status(), 200);
}

/// Whoever gives up must not keep the next one out for five minutes.
#[test]
fn a_client_that_goes_away_gives_up_its_turn() {
    let addr = serve(Config::new(), fixed());
    let profile = "/internal/heapwatch/debug/pprof/heap";
    let leaving = send(addr, "GET", &format!("{profile}?seconds=300"), &[]);
    while ask(addr, "GET", profile, &[]).status() != 503 {}
    drop(leaving);
    let begun = std::time::Instant::now();
    while ask(addr, "GET", profile, &[]).status() != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A child of `fork` has none of the threads: its requests would wait for an answer that nobody makes.
#[test]
fn in_another_process_it_answers_that_it_cannot_and_leaves_the_threads_alone() {
    let mut answers = start(&Config::new(), fixed()).unwrap();
    let handle = answers.threads.as_ref().unwrap().handle.clone();
    answers.pid += 1;
    let addr = serve_answers(answers);
    let refused = ask(addr, "GET", "/internal/heapwatch/heap/top", &[]);
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("forked"), "{}", refused.text());

    let mut dropped = start(&Config::new(), fixed()).unwrap();
    let kept = dropped.threads.as_ref().unwrap().handle.clone();
    dropped.pid += 1;
    drop(dropped);
    for handle in [handle, kept] {
        let (tell, told) = mpsc::channel();
        handle.spawn(async move { tell.send(()) });
        told.recv_timeout(Duration::from_secs(20))
            .expect("the thread is there");
    }
}

#[test]
fn without_the_allocator_there_are_no_pages() {
    assert!(matches!(crate::router(), Err(Error::NotInstalled)));
}
