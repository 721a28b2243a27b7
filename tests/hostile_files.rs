//! Files made to eat memory: reading them takes no more than stated, measured alone in this process, and ends in one
//! line.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use heapwatch::Snapshot;
use heapwatch::report::By;

const MIB: u64 = 1 << 20;
const HEAD: &str = r#"{"format":"heapwatch-snapshot","version":1,"#;

/// Physical memory of this process, now and at most since [`forget_peak`]; in bytes.
fn resident(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .expect("a number of KiB")
        << 10
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
}

/// `prefix`, then `unit` so often that it has `mib` MiB, then `suffix`; compressed.
fn bomb(prefix: &str, unit: &str, mib: u64, suffix: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let chunk = unit.repeat(MIB as usize / unit.len());
    gzip.write_all(prefix.as_bytes())
        .expect("memory can be written");
    (0..mib).for_each(|_| {
        gzip.write_all(chunk.as_bytes())
            .expect("memory can be written")
    });
    gzip.write_all(suffix.as_bytes())
        .expect("memory can be written");
    gzip.finish().expect("memory can be written")
}

/// Reads a stream that must be refused: in one line that says `words`, with at most `most` MiB.
fn refused(what: &str, from: impl Read, words: &str, most: u64) {
    forget_peak();
    let before = resident("VmRSS:");
    let error = Snapshot::read(from).expect_err(what).to_string();
    let grown = resident("VmHWM:").saturating_sub(before) / MIB;
    println!("{what}: {grown} MiB: {error}");
    assert!(error.contains(words), "{what}: {error}");
    assert!(
        error.len() < 300 && !error.contains('\n'),
        "{what}: {error}"
    );
    assert!(grown <= most, "{what} took {grown} MiB");
}

fn varint(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Fields of a protocol buffer's message that are numbers.
fn numbers(fields: &[(u64, u64)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (field, number) in fields {
        varint(field << 3, &mut message);
        varint(*number, &mut message);
    }
    message
}

/// A field that is a message or a text.
fn field(field: u64, content: &[u8], to: &mut Vec<u8>) {
    varint(field << 3 | 2, to);
    varint(content.len() as u64, to);
    to.extend_from_slice(content);
}

/// A heap profile in which `count` functions, lines, mappings, and locations without lines are all
/// named by one text.
fn one_name_for_all(name: &[u8], count: u64) -> Vec<u8> {
    let mut profile = Vec::new();
    field(1, &numbers(&[(1, 1), (2, 2)]), &mut profile);
    field(2, &numbers(&[(1, 1), (2, 4096)]), &mut profile);
    let mut lines = numbers(&[(1, 1)]);
    for id in 1..=count {
        field(3, &numbers(&[(1, id), (5, 3), (6, 3)]), &mut profile);
        field(5, &numbers(&[(1, id), (2, 3), (4, 3)]), &mut profile);
        let bare = numbers(&[(1, 1 + id), (2, id), (3, id)]);
        field(4, &bare, &mut profile);
        field(4, &numbers(&[(1, id), (2, id)]), &mut lines);
    }
    field(4, &lines, &mut profile);
    for text in [b"", &b"inuse_space"[..], b"bytes", name] {
        field(6, text, &mut profile);
    }
    profile
}

/// A service or a command line that is handed such a file must not be killed for its memory.
#[test]
fn hostile_files_take_no_more_memory_than_stated() {
    let garbage = || io::repeat(7).take(200 * MIB);
    refused("garbage", garbage(), "128 MiB", 400);
    let braces = io::Cursor::new(HEAD).chain(io::repeat(b'[').take(200 * MIB));
    refused("200 MB that begin rightly", braces, "128 MiB", 400);
    for field in ["x", "sites"] {
        let open = "[".repeat(1 << 20);
        let half = format!("{HEAD}\"{field}\":{open}");
        refused("deep nesting, cut off", half.as_bytes(), "cut off", 16);
        let whole = format!("{HEAD}\"{field}\":{open}{}}}", "]".repeat(1 << 20));
        refused("deep nesting", whole.as_bytes(), "damaged", 16);
    }

    let string = bomb(&format!("{HEAD}\"x\":\""), "a", 300, "\"}");
    refused("a string of 300 MiB", &string[..], "256 MiB", 300);
    let zeros = bomb("\n", "\0", 200, "");
    refused("200 MiB of zeros", &zeros[..], "128 MiB", 300);
    let frame = r#"{"function":"","origin":"std","inlined":true},"#;
    let frames = bomb(&format!("{HEAD}\"frames\":["), frame, 60, "{}]}");
    refused("millions of frames", &frames[..], "1048576", 300);
    let indices = "0,".repeat(4_095);
    let location = format!(r#"{{"module":null,"offset":1,"frames":[{indices}0]}},"#);
    let places = format!(r#"{HEAD}"frames":[{frame}{{}}],"locations":["#);
    let places = places.replace(",{}", "");
    let places = bomb(&places, &location, 20, "{}]}");
    refused("one frame everywhere", &places[..], "4194304", 100);
    let notes = bomb(
        &format!("{HEAD}\"info\":{{\"notes\":["),
        "\"\",",
        60,
        "0]}}",
    );
    refused("millions of notes", &notes[..], "100 items", 300);
    // An empty message in the field of samples of a profile, 60 million times.
    let samples = bomb("", "\u{12}\0", 120, "");
    refused("millions of samples", &samples[..], "", 400);
    // Of each site as many as may be, and far more together than a process has.
    let watch = r#""growth":{"now_tick":9,"started_tick":0,"tick_seconds":5,"min_watch_seconds":0,"sites_left_out":0"#;
    let empty = r#""modules":[],"frames":[],"locations":[],"sites":[]"#;
    let watched = format!("{HEAD}{empty},{watch},\"sites\":[");
    let births = "[0,1,0],".repeat(65_535) + "[0,1,0]";
    let births = format!(r#"{{"site":0,"live":[{births}]}},"#);
    let lists = bomb(&watched, &births, 40, "0]}}");
    refused("millions of live samples", &lists[..], "2097152", 120);
    let deaths = "[0,0,1],".repeat(223) + "[0,0,1]";
    let deaths =
        format!(r#"{{"site":0,"deaths":{{"bin_ticks":8,"counts":[{deaths}]}},"live":[]}},"#);
    let tables = bomb(&watched, &deaths, 60, "0]}}");
    refused("millions of deaths", &tables[..], "damaged", 100);
    let bomb_in_bomb = bomb("", "\u{1f}", 1, "");
    let doubly = {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&bomb_in_bomb)
            .expect("memory can be written");
        gzip.finish().expect("memory can be written")
    };
    refused("compressed twice", &doubly[..], "", 16);

    let profile = one_name_for_all(&[b'a'; MIB as usize], 1_000);
    forget_peak();
    let before = resident("VmRSS:");
    let snapshot = Snapshot::read(&profile[..]).expect("a profile");
    let grown = resident("VmHWM:").saturating_sub(before) / MIB;
    println!("one name of 1 MiB a thousand times over: {grown} MiB");
    assert!(grown <= 50, "{grown} MiB");
    assert!(!snapshot.top(By::Function).to_string().is_empty());
}
