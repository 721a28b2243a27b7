//! Clients that do what well-behaved ones do not.

use std::io::{Read, Write};
use std::net::TcpStream as Client;
use std::time::{Duration, Instant};

use super::test_client::*;

/// The clients that keep a small server from answering: a hundred that never finish asking.
#[test]
fn a_hundred_half_open_connections_keep_nobody_out() {
    let server = server();
    let mut idle: Vec<Client> = (0..100).map(|_| connect(&server)).collect();
    for client in &mut idle {
        // Those that were closed to make room cannot be written to.
        let _ = client.write_all(b"GET /metrics HTTP/1.1\r\nHost: local");
    }
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(get(&server, "/metrics").status(), 200);
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
    // The youngest are still there and may finish.
    let last = idle.last_mut().unwrap();
    last.write_all(b"host\r\n\r\n").unwrap();
    assert_eq!(read(last, true).status(), 200);
}

/// Clients that send bodies for ever count as idle too.
#[test]
fn a_hundred_slow_bodies_keep_nobody_out() {
    let server = server();
    let _slow: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = connect(&server);
            let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
            let _ = client.write_all(head);
            client
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(get(&server, "/metrics").status(), 200);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

/// Neither crowding nor the time for idle connections may cut off what was told to take a while.
#[test]
fn a_profile_that_is_waited_for_is_not_closed_as_idle() {
    let server = patient(SHORT, fixed());
    let mut waiting = connect(&server);
    waiting
        .write_all(request("GET", "/debug/pprof/heap?seconds=2").as_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let _idle: Vec<Client> = (0..100).map(|_| connect(&server)).collect();
    assert_eq!(read(&mut waiting, true).status(), 200);
}

#[test]
fn a_head_that_does_not_end_is_closed() {
    let server = patient(SHORT, fixed());
    let begun = Instant::now();
    let mut nothing = connect(&server);
    let mut half = connect(&server);
    half.write_all(b"GET /met").unwrap();
    assert!(closed(&mut nothing) && closed(&mut half));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn an_idle_connection_is_closed_after_its_answer() {
    let server = patient(SHORT, fixed());
    let mut client = connect(&server);
    client.write_all(request("GET", "/").as_bytes()).unwrap();
    assert_eq!(read(&mut client, true).status(), 200);
    assert!(closed(&mut client));
}

#[test]
fn a_body_that_does_not_come_is_refused_and_closed() {
    let server = patient(SHORT, fixed());
    let mut client = connect(&server);
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    assert_eq!(read(&mut client, true).status(), 408);
    assert!(closed(&mut client));
}

/// A client that asks and never reads would hold memory and a place for ever.
#[test]
fn a_client_that_does_not_read_is_closed() {
    const REQUESTS: usize = 20_000;
    let server = patient(SHORT, fixed());
    let mut client = connect(&server);
    let mut writer = client.try_clone().unwrap();
    let asking = std::thread::spawn(move || {
        // Fails when the connection is closed.
        let _ = writer.write_all(request("GET", "/").repeat(REQUESTS).as_bytes());
    });
    std::thread::sleep(Duration::from_secs(2));
    let mut answers = Vec::new();
    let _ = client.read_to_end(&mut answers);
    asking.join().unwrap();
    let text = String::from_utf8_lossy(&answers);
    let answered = text.matches("HTTP/1.1 200 OK").count();
    assert!((1..REQUESTS).contains(&answered), "{answered}");
}

#[test]
fn large_bodies_are_refused_stated_or_not() {
    let server = server();
    let stated = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2048\r\n\r\n{}",
        "x".repeat(2048)
    );
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n{}\r\n0\r\n\r\n",
        "x".repeat(2048)
    );
    for bytes in [stated, chunked] {
        let mut client = connect(&server);
        client.write_all(bytes.as_bytes()).unwrap();
        let response = read(&mut client, true);
        assert_eq!(response.status(), 413);
        assert!(
            response.text().contains("1024 bytes"),
            "{}",
            response.text()
        );
    }
}

#[test]
fn large_heads_are_refused() {
    let server = server();
    let oversize = |size: usize| {
        let mut client = connect(&server);
        let long = "x".repeat(size);
        let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n");
        // The server may close before all of it is sent.
        let _ = client.write_all(head.as_bytes());
        client
    };
    let response = read(&mut oversize(9_000), true);
    assert_eq!(response.status(), 431);
    assert!(
        response.text().contains("limited to 8192 bytes"),
        "{}",
        response.text()
    );
    // Bytes that nobody reads make the system reset the connection, so this answer may be lost.
    let mut answer = Vec::new();
    let _ = oversize(200_000).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    assert_eq!(get(&server, "/").status(), 200);
}

#[test]
fn what_is_not_http_is_refused() {
    let server = server();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
    ] {
        let mut client = connect(&server);
        client.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(
            answer.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(get(&server, "/").status(), 200);
}
