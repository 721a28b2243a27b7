//! A client on a plain socket.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One answer, to its end.
pub struct Response {
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(addr).unwrap();
    let patience = Some(Duration::from_secs(30));
    client.set_read_timeout(patience).unwrap();
    client
}

/// Sends a request as it is, which must ask to close the connection, and reads the answer.
pub fn ask(addr: SocketAddr, request: &str) -> Response {
    let mut client = connect(addr);
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.expect("a whole head") + 4);
    let head = String::from_utf8(answer).unwrap();
    Response { head, body }
}

/// A request with these further headers, each with its line end.
pub fn request(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

/// What `target` answers, which must be a success.
pub fn get(addr: SocketAddr, target: &str) -> Response {
    let response = ask(addr, &request("GET", target, ""));
    assert_eq!(
        response.status(),
        200,
        "{target}: {}",
        String::from_utf8_lossy(&response.body)
    );
    response
}
