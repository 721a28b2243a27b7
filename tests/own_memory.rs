//! What heapwatch allocates for its reports is not in them: a service that prints them on its own threads
//! would else find heapwatch among those who hold its memory.

use std::hint::black_box;

use heapwatch::Snapshot;
use heapwatch::report::{By, SampleType, Sort};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const ALL: [By; 5] = [By::Site, By::Function, By::Crate, By::Type, By::Task];

fn tables(snapshot: &Snapshot) {
    for by in ALL {
        for sort in [Sort::Live, Sort::Growth, Sort::Allocated] {
            let top = snapshot.top(by).sort(sort).limit(5).width(110);
            let texts = [
                top.to_string(),
                top.to_json(),
                top.total().live_bytes.bytes_text(),
            ];
            black_box((texts, top.rows(), top.other()));
        }
    }
    let all = snapshot.top(By::Site).total().live_bytes;
    let texts = [
        all.bytes_text(),
        all.count_text(),
        all.change_text(),
        all.rate_text(),
    ];
    black_box(texts);
}

fn differences(before: &Snapshot, after: &Snapshot) {
    for by in ALL {
        let diff = before.diff(after).by(by).limit(5).width(110);
        black_box([diff.to_string(), diff.to_json()]);
        let mut folded = Vec::new();
        diff.write_folded(&mut folded).unwrap();
        black_box(folded);
    }
}

fn verdicts(snapshot: &Snapshot) {
    let report = snapshot.growth().expect("somebody watches");
    black_box((report.to_string(), report.to_json()));
    let report = heapwatch::growth::report().unwrap();
    for growth in heapwatch::growth().unwrap().iter().chain(&report.verdicts) {
        black_box(growth.to_string());
    }
}

fn profiles(before: &Snapshot, after: &Snapshot) {
    for profile in [
        after.pprof(),
        after.pprof().since(before),
        after.pprof().symbolize(false),
    ] {
        black_box((profile.encode(), profile.to_text()));
    }
    let mut folded = Vec::new();
    after
        .write_folded(SampleType::AllocSpace, &mut folded)
        .unwrap();
    black_box(folded);
    #[cfg(feature = "flamegraph")]
    black_box((
        after.flamegraph(SampleType::InuseSpace).unwrap(),
        before.diff(after).flamegraph().unwrap(),
    ));
}

fn files(snapshot: &Snapshot) {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("heapwatch-own-memory-{}.heap", std::process::id()));
    snapshot.save(&path).unwrap();
    let read = Snapshot::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut bytes = Vec::new();
    read.write(&mut bytes).unwrap();
    black_box(Snapshot::read(&bytes[..]).unwrap());
    let profile = Snapshot::read(&snapshot.pprof().encode()[..]).unwrap();
    differences(&profile, &read);
    Snapshot::read(&b"nothing"[..]).unwrap_err();
}

#[cfg(feature = "server")]
fn metrics() {
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(heapwatch::metrics::Collector::new().unwrap()));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("heapwatch_self_bytes"));
}

#[cfg(feature = "server")]
fn servers() {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    let server = heapwatch::serve("127.0.0.1:0").unwrap();
    for path in ["/", "/metrics", "/heap/top", "/heap/growth"] {
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    drop(server);
}

/// At interval 1 nothing goes unseen: whatever heapwatch allocates without muting itself has a row.
#[test]
fn no_call_site_is_heapwatchs_own() {
    heapwatch::set_interval(1).unwrap();
    heapwatch::watch().unwrap();
    let held: Vec<String> = (0..100).map(|number: u32| number.to_string()).collect();
    let before = heapwatch::snapshot().unwrap();
    let more = held.clone();
    for _ in 0..2 {
        let after = heapwatch::snapshot().unwrap();
        tables(&after);
        differences(&before, &after);
        verdicts(&after);
        profiles(&before, &after);
        files(&after);
    }
    #[cfg(feature = "server")]
    {
        metrics();
        servers();
    }
    black_box((held, more));

    let all = heapwatch::snapshot().unwrap();
    let top = all.top(By::Site).sort(Sort::Allocated).limit(usize::MAX);
    let rows = top.rows();
    assert!(rows.iter().any(|row| row.krate == "own_memory"), "{top}");
    let own = rows.iter().filter(|row| row.krate == "heapwatch");
    let own: Vec<_> = own.map(|row| (&row.function, &row.location)).collect();
    assert!(own.is_empty(), "{own:#?}");
}
