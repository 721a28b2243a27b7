//! How the endpoint ends.

use std::cell::RefCell;
use std::io::Write;
use std::net::TcpStream as Client;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::server::start;
use super::service::Patience;
use super::test_client::*;
use crate::config::Config;
use crate::metrics::fixture;

/// The end waits for work for longer than any test runs.
fn patient_at_the_end() -> Patience {
    Patience {
        shutdown: Duration::from_secs(3_600),
        ..Patience::default()
    }
}

#[test]
fn shutdown_closes_everything_and_frees_the_address() {
    let server = patient(patient_at_the_end(), fixed());
    let addr = server.local_addr();
    let mut client = connect(&server);
    let mut waiting = connect(&server);
    waiting
        .write_all(request("GET", "/debug/pprof/heap?seconds=300").as_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    server.shutdown();
    // A profile that waits for its second snapshot is not waited for.
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    assert!(closed(&mut client) && closed(&mut waiting));
    assert!(Client::connect(addr).is_err());
    let again = start(&Config::new().addr(addr), fixed(), Patience::default()).unwrap();
    assert_eq!(again.local_addr(), addr);
    drop(again);
    assert!(Client::connect(addr).is_err());
}

/// Who ends the endpoint may take down what a report reads.
#[test]
fn shutdown_waits_for_a_report_that_is_being_made() {
    let (source, entered, release) = blocking();
    let server = patient(patient_at_the_end(), source);
    let mut client = connect(&server);
    client
        .write_all(request("GET", "/heap/top").as_bytes())
        .unwrap();
    entered.recv_timeout(DEADLINE).unwrap();
    let released = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            released.store(true, Ordering::SeqCst);
            drop(release);
        });
        server.shutdown();
        assert!(released.load(Ordering::SeqCst), "the report was left alone");
    });
}

/// Threads that stayed would add up, and run on in code that may be unloaded.
#[test]
fn shutdown_ends_the_workers_too() {
    thread_local! {
        static LAST: RefCell<Option<mpsc::Sender<()>>> = const { RefCell::new(None) };
    }
    let (last, gone) = mpsc::channel();
    let source = move |_| {
        LAST.set(Some(last.clone()));
        Ok(fixture::snapshot(&[1.0]))
    };
    let server = patient(patient_at_the_end(), Arc::new(source));
    assert_eq!(get(&server, "/metrics").status(), 200);
    assert_eq!(get(&server, "/heap/top").status(), 200);
    server.shutdown();
    // The last act of each thread drops its sender.
    assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

/// A report that never ends must not keep the application from ending.
#[test]
fn shutdown_gives_a_report_up_that_takes_too_long() {
    let (source, entered, release) = blocking();
    let patience = Patience {
        shutdown: SHORT.shutdown,
        ..Patience::default()
    };
    let server = patient(patience, source);
    let mut client = connect(&server);
    client
        .write_all(request("GET", "/heap/top").as_bytes())
        .unwrap();
    entered.recv_timeout(DEADLINE).unwrap();
    let (ended, on_end) = mpsc::channel();
    std::thread::spawn(move || {
        server.shutdown();
        let _ = ended.send(());
    });
    on_end.recv_timeout(DEADLINE).expect("it ends");
    drop(release);
}
