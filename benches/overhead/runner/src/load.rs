//! The load on the axum server: a fixed set of requests over a few kept-alive connections.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use fastrand::Rng;
use serde_json::json;

const CONNECTIONS: u64 = 16;
const CUSTOMERS: u64 = 500;
const SEED: u64 = 0x6c6f_6164;

/// Sends `requests` orders to the server on `port`, each connection one after another.
pub fn send(port: u16, requests: u64) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let share = requests / CONNECTIONS + u64::from(number < requests % CONNECTIONS);
                scope.spawn(move || connection(port, number, share))
            })
            .collect();
        connections.into_iter().try_for_each(|connection| {
            connection
                .join()
                .map_err(|_| anyhow!("a connection panicked"))?
        })
    })
}

fn connection(port: u16, number: u64, requests: u64) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(SEED + number);
    let orders: Vec<String> = (0..64).map(|_| order(&mut rng)).collect();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    for order in orders.iter().cycle().take(usize::try_from(requests)?) {
        stream.write_all(order.as_bytes())?;
        read_answer(&mut answers)?;
    }
    Ok(())
}

fn order(rng: &mut Rng) -> String {
    let items: Vec<_> = (0..rng.usize(1..6))
        .map(|_| {
            json!({
                "name": word(rng),
                "quantity": rng.u64(1..10),
                "attributes": { word(rng): word(rng), word(rng): word(rng) },
            })
        })
        .collect();
    let body = json!({
        "customer": rng.u64(..CUSTOMERS),
        "note": word(rng),
        "items": items,
    })
    .to_string();
    let length = body.len();
    format!(
        "POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

fn word(rng: &mut Rng) -> String {
    (0..rng.usize(4..30)).map(|_| rng.lowercase()).collect()
}

fn read_answer(answers: &mut impl BufRead) -> anyhow::Result<()> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    ensure!(
        line.starts_with("HTTP/1.1 200"),
        "the server answered {line:?}"
    );
    let mut length = None;
    loop {
        line.clear();
        answers.read_line(&mut line)?;
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = Some(value.trim().parse::<usize>()?);
        }
    }
    let mut body = vec![0; length.context("an answer without a content-length")?];
    answers.read_exact(&mut body)?;
    Ok(())
}
