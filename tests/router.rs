//! The pages in an axum server, under the real allocator.
#![cfg(feature = "axum")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use axum::Router;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

fn get(addr: SocketAddr, target: &str) -> String {
    let mut client = TcpStream::connect(addr).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A router that nobody started the watch for would answer 500 for growth.
#[test]
fn the_pages_tell_of_this_process_and_growth_is_watched() {
    heapwatch::set_interval(1).unwrap();
    let kept = vec![1_u8; 3 << 20];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let app = Router::new().nest_service("/internal/heapwatch", heapwatch::router().unwrap());
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(async { axum::serve(listener, app).await });
    let top = get(addr, "/internal/heapwatch/heap/top");
    assert!(
        top.starts_with("HTTP/1.1 200") && top.contains("tests/router.rs"),
        "{top}"
    );
    let growth = get(addr, "/internal/heapwatch/heap/growth");
    assert!(
        growth.starts_with("HTTP/1.1 200") && growth.contains("heap growth"),
        "{growth}"
    );
    let metrics = get(addr, "/internal/heapwatch/metrics");
    assert!(metrics.contains("heapwatch_live_bytes "), "{metrics}");
    drop(kept);
}
