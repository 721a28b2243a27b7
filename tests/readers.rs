//! Go's pprof reads the profiles of a program whose call sites are known to the byte.
#![cfg(feature = "server")]

mod common;
#[path = "common/http.rs"]
mod http;

use std::alloc::alloc;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::child;
use common::program::{Program, obey};
use common::{Block, layout};
use object::{Object as _, ObjectSegment as _};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const BLOCK: usize = 1 << 20;
const SESSIONS: usize = 64;
const REQUESTS: usize = 32;
const MORE: usize = 16;

#[inline(never)]
fn hold_session(into: &mut Vec<Block>) {
    // SAFETY: the layout's size is not 0.
    let block = unsafe { Block::new(black_box(alloc(layout(BLOCK))), layout(BLOCK)) };
    into.push(block.unwrap());
}

#[inline(never)]
fn answer_request() {
    // SAFETY: the layout's size is not 0.
    let block = unsafe { Block::new(black_box(alloc(layout(BLOCK))), layout(BLOCK)) };
    block.unwrap().free();
}

/// Through std, whose frames must not stand for the call site.
#[inline(never)]
fn fill_cache(into: &mut Vec<Vec<u8>>) {
    into.push(black_box(vec![1; BLOCK]));
}

/// The program that is read.
fn program() {
    heapwatch::set_interval(1).unwrap();
    let mut sessions = Vec::with_capacity(SESSIONS + 10 * MORE);
    let mut cache = Vec::with_capacity(MORE);
    obey(|order| match order {
        "fill" => {
            (0..SESSIONS).for_each(|_| hold_session(&mut sessions));
            (0..REQUESTS).for_each(|_| answer_request());
            (0..MORE).for_each(|_| fill_cache(&mut cache));
        }
        "grow" => (0..MORE).for_each(|_| hold_session(&mut sessions)),
        _ => panic!("no such order"),
    });
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let name = format!("heapwatch-readers-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// Keeps what the program answers as a file.
    fn fetch(&self, program: &Program, target: &str, file: &str) -> PathBuf {
        let path = self.0.join(file);
        std::fs::write(&path, http::get(program.addr, target).body).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `go tool pprof` prints, which must be without a word of complaint.
fn pprof(options: &[&str], files: &[&Path]) -> String {
    let output = Command::new("go")
        .args(["tool", "pprof"])
        .args(options)
        .args(files)
        .output()
        .expect("go is installed");
    let (text, complaints) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{options:?}: {complaints}");
    assert_eq!(complaints, "", "{options:?} warns");
    String::from_utf8(text).unwrap()
}

/// Flat bytes by function, of all functions that have some.
fn flat(options: &[&str], files: &[&Path]) -> Vec<(String, i64)> {
    let mut all = vec!["-top", "-unit=B", "-nodefraction=0", "-nodecount=100000"];
    all.extend(options);
    let text = pprof(&all, files);
    let (_, rows) = text.split_once("cum%\n").expect("a table");
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let flat = words.next().unwrap().trim_end_matches('B').parse().unwrap();
        (words.skip(4).collect::<Vec<_>>().join(" "), flat)
    };
    rows.lines()
        .map(row)
        .filter(|(_, flat)| *flat != 0)
        .collect()
}

#[track_caller]
fn assert_flat(rows: &[(String, i64)], function: &str, blocks: usize) {
    let of = |row: &&(String, i64)| row.0.contains(function);
    let bytes: i64 = rows.iter().filter(of).map(|row| row.1).sum();
    assert_eq!(bytes, (blocks * BLOCK) as i64, "{function}: {rows:#?}");
}

/// Whoever reads a profile must not find the allocator at its top.
#[track_caller]
fn assert_no_allocator(rows: &[(String, i64)]) {
    for (function, _) in rows {
        for allocator in [
            "heapwatch::",
            "jemalloc",
            "__rust_alloc",
            "__rustc",
            "_rjem_",
        ] {
            assert!(!function.contains(allocator), "{function}: {rows:#?}");
        }
    }
}

#[test]
#[ignore = "needs go tool pprof"]
fn pprof_reads_the_profiles_and_finds_the_call_sites() {
    if child::is_child() {
        return program();
    }
    let mut program = Program::start("pprof_reads_the_profiles_and_finds_the_call_sites");
    let folder = Folder::new();
    program.order("fill");

    let heap = folder.fetch(&program, "/debug/pprof/heap", "heap.pb.gz");
    let live = flat(&[], &[&heap]);
    assert_flat(&live, "readers::hold_session", SESSIONS);
    assert_flat(&live, "readers::fill_cache", MORE);
    assert_flat(&live, "readers::answer_request", 0);
    assert_no_allocator(&live);
    let std = |row: &&(String, i64)| row.0.starts_with("alloc::") || row.0.contains("RawVec");
    let in_std: i64 = live.iter().filter(std).map(|row| row.1).sum();
    assert_eq!(in_std, 0, "{live:#?}");

    let allocated = flat(&["-sample_index=alloc_space"], &[&heap]);
    assert_flat(&allocated, "readers::hold_session", SESSIONS);
    assert_flat(&allocated, "readers::answer_request", REQUESTS);
    assert_no_allocator(&allocated);
    let allocs = folder.fetch(&program, "/debug/pprof/allocs", "allocs.pb.gz");
    assert_flat(&flat(&[], &[&allocs]), "readers::answer_request", REQUESTS);

    let raw = pprof(&["-raw"], &[&heap]);
    for part in [
        "PeriodType: space bytes",
        "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]",
        "readers::hold_session",
        "tests/readers.rs",
        "[FN][FL][LN][IN]",
    ] {
        assert!(raw.contains(part), "{part} is not in\n{raw}");
    }

    names_are_found_in_the_binary(&folder, &program);

    let in_two_seconds = std::thread::scope(|scope| {
        let target = "/debug/pprof/heap?seconds=2";
        let window = scope.spawn({
            let addr = program.addr;
            move || http::get(addr, target).body
        });
        std::thread::sleep(Duration::from_millis(700));
        program.order("grow");
        window.join().unwrap()
    });
    let delta = folder.0.join("delta.pb.gz");
    std::fs::write(&delta, in_two_seconds).unwrap();
    let grown = flat(&[], &[&delta]);
    assert_flat(&grown, "readers::hold_session", MORE);
    assert_flat(&grown, "readers::fill_cache", 0);

    let later = folder.fetch(&program, "/debug/pprof/heap", "later.pb.gz");
    let base = format!("-diff_base={}", heap.display());
    let difference = flat(&[&base], &[&later]);
    assert_flat(&difference, "readers::hold_session", MORE);
    assert_flat(&difference, "readers::fill_cache", 0);
    assert_no_allocator(&difference);
}

/// Addresses alone must be enough for a reader that has the file: mapping, offset and build id
/// are right.
fn names_are_found_in_the_binary(folder: &Folder, program: &Program) {
    let target = "/debug/pprof/heap?symbolize=0";
    let bare = folder.fetch(program, target, "bare.pb.gz");
    let raw = pprof(&["-raw", "-symbolize=none"], &[&bare]);
    assert!(!raw.contains("hold_session"), "{raw}");
    let binary = std::env::current_exe().unwrap();
    let place = largest_place(&raw, &binary);
    let bytes = std::fs::read(&binary).unwrap();
    let object = object::File::parse(&*bytes).unwrap();
    let segment = object.segments().find(|segment| {
        let (start, size) = segment.file_range();
        (start..start + size).contains(&place)
    });
    let segment = segment.expect("a place in the file");
    let address = place - segment.file_range().0 + segment.address();
    let symbols = object.symbol_map();
    let symbol = symbols.before(address).unwrap().name();
    assert!(symbol.contains("hold_session"), "{symbol}: {raw}");

    let rows = flat(&["-symbolize=local"], &[&binary, &bare]);
    if go_knows_that_mappings_are_whole_pages() {
        assert_flat(&rows, "readers::hold_session", SESSIONS);
        assert_no_allocator(&rows);
    }
}

/// Where in the binary's file the code is that holds most, as `-raw` lists it.
fn largest_place(raw: &str, binary: &Path) -> u64 {
    let after = |title: &str| raw.split_once(title).unwrap().1.lines().skip(1);
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let live = format!("{}:", SESSIONS * BLOCK);
    let sample = raw.lines().find_map(|line| line.split_once(&live));
    let id = sample
        .expect("the sample")
        .1
        .split_whitespace()
        .next()
        .unwrap();
    let location = after("\nLocations").find_map(|line| {
        let (number, rest) = line.split_once(": ")?;
        (number.trim() == id).then(|| rest.split_whitespace().next().unwrap())
    });
    // ID: START/LIMIT/OFFSET FILE …
    let mapping = after("\nMappings").find(|line| line.contains(binary.to_str().unwrap()));
    let mut range = mapping
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .split('/');
    let mut next = || hex(range.next().unwrap());
    let (start, limit, offset) = (next(), next(), next());
    let address = hex(location.unwrap());
    assert!((start..limit).contains(&address), "{raw}");
    address - start + offset
}

/// Before 1.20 its pprof misread programs that are linked by lld, whoever wrote the profile.
fn go_knows_that_mappings_are_whole_pages() -> bool {
    let output = Command::new("go").arg("version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let minor = text.split("go1.").nth(1).unwrap();
    let digits = minor.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse::<u32>().unwrap() >= 20
}
