//! A client on a plain socket, and servers for it.

use std::io::{Read, Write};
use std::net::TcpStream as Client;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::server::{Server, start};
use super::service::Patience;
use crate::config::Config;
use crate::metrics::Source;
use crate::metrics::fixture;

/// Little patience, so that a test sees its end.
pub(super) const SHORT: Patience = Patience {
    head: Duration::from_millis(300),
    request: Duration::from_millis(400),
    read: Duration::from_millis(600),
    shutdown: Duration::from_millis(200),
};

/// When a test gives up: no machine that works takes so long.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn fixed() -> Source {
    Arc::new(|_| Ok(fixture::snapshot(&[100.0, 50.0])))
}

/// A snapshot that waits until a test lets it go.
pub(super) fn blocking() -> (Source, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, on_enter) = mpsc::channel();
    let (release, on_release) = mpsc::channel::<()>();
    let on_release = Mutex::new(on_release);
    let source = move |_| {
        let name = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        assert_eq!(name, "heapwatch-work\n", "not on a thread for connections");
        let _ = entered.send(());
        let _ = on_release.lock().unwrap().recv();
        Ok(fixture::snapshot(&[1.0]))
    };
    (Arc::new(source), on_enter, release)
}

pub(super) fn server() -> Server {
    start(
        &Config::new().addr("127.0.0.1:0"),
        fixed(),
        Patience::default(),
    )
    .unwrap()
}

pub(super) fn patient(patience: Patience, source: Source) -> Server {
    start(&Config::new().addr("127.0.0.1:0"), source, patience).unwrap()
}

pub(super) fn connect(server: &Server) -> Client {
    let client = Client::connect(server.local_addr()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client
}

/// One answer: its head and its body.
pub(super) struct Response {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Reads one answer, and nothing beyond it.
pub(super) fn read(client: &mut Client, with_body: bool) -> Response {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    let mut response = Response {
        head: String::from_utf8(head).unwrap(),
        body: Vec::new(),
    };
    if with_body {
        let length = response.header("content-length").unwrap().parse().unwrap();
        response.body = vec![0; length];
        client.read_exact(&mut response.body).unwrap();
    }
    response
}

pub(super) fn request(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

pub(super) fn get(server: &Server, target: &str) -> Response {
    let mut client = connect(server);
    client.write_all(request("GET", target).as_bytes()).unwrap();
    read(&mut client, true)
}

/// Whether the other side has closed the connection, or does soon.
pub(super) fn closed(client: &mut Client) -> bool {
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).is_ok_and(|_| rest.is_empty())
}
