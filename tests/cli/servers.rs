//! Servers that are not there, or not what they should be.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, sleep};
use std::time::Duration;

use crate::command::run;
use crate::damaged::MOST_MIB;
use crate::files::sample;
use crate::folder::Folder;

/// Answers every request with these parts, and closes the connection.
fn server(parts: Vec<Vec<u8>>) -> String {
    serve(move |client| parts.iter().all(|part| client.write_all(part).is_ok()))
}

/// Writes an answer until that fails, as it does when who asked has had enough.
fn serve(answer: impl Fn(&mut TcpStream) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            if answer(&mut client) {
                let _ = client.shutdown(Shutdown::Both);
            }
        }
    });
    format!("http://{addr}")
}

fn head(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").into_bytes()
}

#[test]
fn nobody_there() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (url, folder) = (format!("http://{free}"), Folder::new());
    let file = folder.path("a.heap");
    for args in [
        vec!["top", &url],
        vec!["growth", &url],
        vec!["check", &url, "--for=1s"],
        vec!["diff", &url, &url],
        vec!["fetch", &url, "-o", file.to_str().unwrap()],
    ] {
        let run = run(&args);
        let line = run.refused();
        assert!(
            line.contains("connection refused: is the service running"),
            "{line}"
        );
        assert!(line.contains(&url), "which one: {line}");
    }
    assert!(folder.files().is_empty());
    let host = run(["top", "http://no-such-host.invalid:6790/"]);
    assert!(host.refused().contains("host"), "{}", host.stderr);
    let file = run(["top", &free.to_string()]);
    assert!(
        file.refused().contains(&format!("write http://{free}")),
        "{}",
        file.stderr
    );
}

/// A server that says nothing must not look like a command that hangs, in a log neither.
#[test]
fn a_slow_answer_is_told_of() {
    let url = serve(|client| {
        sleep(Duration::from_secs(6));
        client.write_all(&head("200 OK", "")).is_ok() && client.write_all(sample()).is_ok()
    });
    let slow = run(["top", &url]).done();
    let told = format!("reading {url}/: nothing has come for 4 s; it is given 120 s\n");
    assert_eq!(slow.stderr, told);
}

/// A port that there cannot be is told before anything is asked.
#[test]
fn no_port() {
    let run = run(["top", "http://127.0.0.1:99999"]);
    let line = run.stderr.lines().next().unwrap_or_default();
    assert_eq!(run.status, Some(2));
    assert!(line.contains("\"99999\" is no port"), "{line}");
}

/// Any server's profile is read; what is none is told from it.
#[test]
fn other_servers() {
    let length = format!("Content-Length: {}\r\n", sample().len());
    let good = server(vec![head("200 OK", &length), sample().to_vec()]);
    run(["top", &format!("{good}/some/heap")]).done();
    run(["top", &good]).done();

    let half = sample()[..sample().len() / 2].to_vec();
    let html = "Content-Type: text/html\r\n";
    for (parts, target, said) in [
        (
            vec![head("200 OK", html), b"<html>".to_vec()],
            "/x",
            "this is a web page",
        ),
        (
            vec![head("302 Found", "Location: /y\r\n")],
            "/x",
            "redirects are not followed",
        ),
        (
            vec![head("404 Not Found", "")],
            "/",
            "is this the URL of a heapwatch endpoint?",
        ),
        (
            vec![head("500 Oops", ""), b"out of luck\nmore".to_vec()],
            "/",
            "500, out of luck",
        ),
        (
            vec![head("200 OK", &length), half],
            "/",
            "could not be read to its end",
        ),
        (
            vec![b"SSH-2.0-OpenSSH\r\n".to_vec()],
            "/",
            "does not speak HTTP",
        ),
        (vec![], "/", "the connection broke"),
        (vec![head("200 OK", "")], "/", "the file is empty"),
    ] {
        let url = server(parts) + target;
        let run = run(["top", &url]);
        let line = run.refused();
        assert!(line.contains(said), "{said:?}: {line}");
    }
}

/// A server that never stops sending must not fill the memory of who asked.
#[test]
fn an_endless_answer_is_cut_off() {
    let url = serve(|client| {
        let some = vec![7; 1 << 20];
        let mut going = client.write_all(&head("200 OK", "")).is_ok();
        while going {
            going = client.write_all(&some).is_ok();
        }
        going
    });
    let run = run(["top", &url]);
    assert!(run.refused().contains("128 MiB"), "{}", run.stderr);
    assert!(run.peak_mib < MOST_MIB, "{} MiB", run.peak_mib);
}
