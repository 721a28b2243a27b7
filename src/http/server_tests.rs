use std::io::Write;
use std::net::TcpStream as Client;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use super::super::test_client::*;
use super::*;
use crate::metrics::fixture;

/// Work is given up soon; a client may be slow.
fn impatient_with_work() -> Patience {
    Patience {
        request: SHORT.request,
        ..Patience::default()
    }
}

#[test]
fn every_page_answers_with_its_type_and_the_safe_headers() {
    let server = server();
    for (target, content_type, part) in [
        ("/", "text/html; charset=utf-8", "/heap/top"),
        ("/debug/pprof/", "text/html; charset=utf-8", "allocs"),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "heapwatch_live_bytes 150\n",
        ),
        (
            "/heap/top?by=crate",
            "text/plain; charset=utf-8",
            "by crate",
        ),
        ("/heap/top?format=json", "application/json", ""),
        ("/debug/pprof/heap", "application/octet-stream", ""),
        (
            "/debug/pprof/allocs?symbolize=0",
            "application/octet-stream",
            "",
        ),
        (
            "/debug/pprof/heap?seconds=1",
            "application/octet-stream",
            "",
        ),
        ("/debug/pprof/heap?debug=1", "text/plain; charset=utf-8", ""),
        ("/nowhere", "text/plain; charset=utf-8", "no such page"),
    ] {
        let response = get(&server, target);
        assert_eq!(
            response.status(),
            if target == "/nowhere" { 404 } else { 200 },
            "{target}"
        );
        assert_eq!(
            response.header("content-type"),
            Some(content_type),
            "{target}"
        );
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'"));
        assert_eq!(response.header("access-control-allow-origin"), None);
        assert!(!response.body.is_empty());
        let text = String::from_utf8_lossy(&response.body);
        assert!(text.contains(part), "{target}: {text}");
    }
}

#[test]
fn open_metrics_when_asked_for() {
    let server = server();
    let mut client = connect(&server);
    client
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n")
        .unwrap();
    let response = read(&mut client, true);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(response.header("content-type"), Some(content_type));
    assert!(response.text().ends_with("# EOF\n"));
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let server = server();
    let mut client = connect(&server);
    client
        .write_all(request("HEAD", "/debug/pprof/").as_bytes())
        .unwrap();
    let head = read(&mut client, false);
    assert_eq!(head.status(), 200);
    // The next answer begins right behind the head, so no body was sent.
    client
        .write_all(request("GET", "/debug/pprof/").as_bytes())
        .unwrap();
    let whole = read(&mut client, true);
    assert_eq!(
        head.header("content-length"),
        whole.header("content-length")
    );
}

#[test]
fn one_connection_takes_many_requests_also_all_at_once() {
    let server = server();
    let mut client = connect(&server);
    for _ in 0..50 {
        client
            .write_all(request("GET", "/heap/top").as_bytes())
            .unwrap();
        assert_eq!(read(&mut client, true).status(), 200);
    }
    let targets = [
        "/",
        "/nowhere",
        "/heap/top",
        "/metrics",
        "/debug/pprof/heap",
    ];
    let all: String = targets
        .iter()
        .map(|target| request("GET", target))
        .collect();
    client.write_all(all.as_bytes()).unwrap();
    let statuses = targets.map(|_| read(&mut client, true).status());
    assert_eq!(statuses, [200, 404, 200, 200, 200]);
}

#[test]
fn one_profile_at_a_time_and_the_rest_goes_on() {
    let (source, entered, release) = blocking();
    let server = patient(Patience::default(), source);
    let mut first = connect(&server);
    first
        .write_all(request("GET", "/debug/pprof/heap").as_bytes())
        .unwrap();
    entered.recv_timeout(DEADLINE).unwrap();
    let second = get(&server, "/debug/pprof/allocs");
    assert_eq!(second.status(), 503);
    assert!(second.text().contains("one at a time"));
    assert!(
        second
            .header("retry-after")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            >= 1
    );
    assert_eq!(get(&server, "/").status(), 200);
    // All later snapshots go through at once.
    drop(release);
    assert_eq!(read(&mut first, true).status(), 200);
    assert_eq!(get(&server, "/debug/pprof/allocs").status(), 200);
}

/// A scrape that waited behind a report would be a gap in every graph.
#[test]
fn metrics_are_answered_while_a_report_is_made() {
    let held = Arc::new(AtomicBool::new(true));
    let calls = Arc::new(AtomicUsize::new(0));
    let source: Source = {
        let (held, calls) = (Arc::clone(&held), Arc::clone(&calls));
        Arc::new(move |_| {
            let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            while first && held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(fixture::snapshot(&[1.0]))
        })
    };
    let server = patient(Patience::default(), source);
    let mut report = connect(&server);
    report
        .write_all(request("GET", "/heap/top").as_bytes())
        .unwrap();
    while calls.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        get(&server, "/metrics")
            .text()
            .contains("heapwatch_live_bytes 1\n")
    );
    held.store(false, Ordering::SeqCst);
    assert_eq!(read(&mut report, true).status(), 200);
}

#[test]
fn a_profile_of_changes_waits_and_tells_others_how_long() {
    let server = server();
    let begun = Instant::now();
    let mut waiting = connect(&server);
    waiting
        .write_all(request("GET", "/debug/pprof/heap?seconds=2").as_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let refused = get(&server, "/debug/pprof/heap");
    assert_eq!(
        (refused.status(), refused.header("retry-after")),
        (503, Some("2"))
    );
    assert_eq!(read(&mut waiting, true).status(), 200);
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

/// Whoever gives up must not keep the next one out for five minutes.
#[test]
fn a_client_that_goes_away_gives_up_its_turn() {
    let server = server();
    let mut leaving = connect(&server);
    leaving
        .write_all(request("GET", "/debug/pprof/heap?seconds=300").as_bytes())
        .unwrap();
    while get(&server, "/debug/pprof/heap").status() != 503 {}
    drop(leaving);
    let begun = Instant::now();
    while get(&server, "/debug/pprof/heap").status() != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn work_that_takes_too_long_is_given_up_with_a_reason() {
    let (source, entered, release) = blocking();
    let server = patient(impatient_with_work(), source);
    let mut client = connect(&server);
    client
        .write_all(request("GET", "/heap/top").as_bytes())
        .unwrap();
    entered.recv_timeout(DEADLINE).unwrap();
    let response = read(&mut client, true);
    assert_eq!(response.status(), 503);
    assert!(response.text().contains("took too long"));
    drop(release);
}

/// Who takes a 503 for a failure and tries again is told that the name is taken.
#[test]
fn a_snapshot_that_takes_too_long_is_kept_and_the_answer_says_so() {
    let (source, entered, release) = blocking();
    let server = patient(impatient_with_work(), source);
    let mut client = connect(&server);
    client
        .write_all(request("POST", "/heap/snapshots?name=late").as_bytes())
        .unwrap();
    entered.recv_timeout(DEADLINE).unwrap();
    let response = read(&mut client, true);
    assert_eq!(response.status(), 503);
    assert!(response.text().contains("is kept all the same"));
    drop(release);
    // The list is behind it in its lane, and may be given up for that, too.
    let released = Instant::now();
    loop {
        let list = get(&server, "/heap/snapshots");
        if list.status() == 200 && list.text().contains("\"late\"") {
            break;
        }
        assert!(released.elapsed() < DEADLINE, "{}", list.text());
    }
}

#[test]
fn a_failure_inside_is_an_answer_and_not_the_end() {
    let calls = AtomicUsize::new(0);
    let source: Source = Arc::new(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("made up"),
        1 => Err(Error::NotInstalled),
        _ => Ok(fixture::snapshot(&[1.0])),
    });
    let server = patient(Patience::default(), source);
    assert_eq!(get(&server, "/debug/pprof/heap").status(), 500);
    let failed = get(&server, "/debug/pprof/heap");
    assert_eq!(failed.status(), 500);
    assert!(failed.text().contains("not the global allocator"));
    assert_eq!(get(&server, "/debug/pprof/heap").status(), 200);
}

#[test]
fn a_token_is_asked_for() {
    let config = Config::new().addr("127.0.0.1:0").token("s3cret");
    let server = start(&config, fixed(), Patience::default()).unwrap();
    let refused = get(&server, "/metrics");
    assert_eq!(refused.status(), 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"heapwatch\"")
    );
    let mut client = connect(&server);
    client
        .write_all(
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n\r\n",
        )
        .unwrap();
    assert_eq!(read(&mut client, true).status(), 200);
}

/// After a fork the thread is in the parent only: the child's copy must neither wait for it nor
/// end it.
#[test]
fn dropped_in_another_process_it_neither_waits_nor_stops_the_endpoint() {
    let mut server = server();
    let addr = server.local_addr();
    server.pid += 1;
    drop(server);
    let mut client = Client::connect(addr).unwrap();
    client.write_all(request("GET", "/").as_bytes()).unwrap();
    assert_eq!(read(&mut client, true).status(), 200);
}

#[test]
fn without_the_allocator_there_is_no_endpoint() {
    assert!(matches!(serve("127.0.0.1:0"), Err(Error::NotInstalled)));
}
