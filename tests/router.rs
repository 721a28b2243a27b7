//! The pages in an axum server, under the real allocator.
#![cfg(feature = "axum")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use axum::Router;
use common::child;

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

/// Serves the routes on a new thread of this process.
fn serve(app: Router) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
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

/// What must hold in a child of `fork`; its answer is the exit status, as a panic would use the
/// parent's test harness.
fn serve_in_fork(parents: Router) -> i32 {
    // A child that hangs is ended by its signal.
    // SAFETY: alarm has no preconditions.
    unsafe { libc::alarm(20) };
    let refused = get(serve(parents.clone()), "/heap/top");
    if !(refused.starts_with("HTTP/1.1 503") && refused.contains("heapwatch::router()")) {
        return 1;
    }
    drop(parents);
    let Ok(own) = heapwatch::router() else {
        return 2;
    };
    if !get(serve(own), "/heap/top").starts_with("HTTP/1.1 200") {
        return 3;
    }
    0
}

/// A child has none of its parent's threads, so nobody would answer its requests.
#[test]
fn in_a_forked_child_the_pages_tell_to_call_router_again() {
    if !child::is_child() {
        let test = "in_a_forked_child_the_pages_tell_to_call_router_again";
        child::run(&mut child::command(test));
        return;
    }
    let pages = heapwatch::router().unwrap();
    let addr = serve(pages.clone());
    assert!(get(addr, "/heap/top").starts_with("HTTP/1.1 200"));
    // SAFETY: the child ends by _exit and uses nothing but what is tested.
    let status = unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::_exit(serve_in_fork(pages));
        }
        assert!(pid > 0);
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        status
    };
    assert_eq!(status, 0, "exit {} signal {}", status >> 8, status & 127);
    assert!(
        get(addr, "/heap/top").starts_with("HTTP/1.1 200"),
        "the parent's goes on"
    );
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
