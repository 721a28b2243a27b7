//! Files that are not what they should be: one line, status 2, and no memory to speak of.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::command::{finish, heapwatch, run};
use crate::files::sample;
use crate::folder::Folder;

/// What reading anything at all may take: the most that a file may have, as much again for what it
/// unpacks to, and the program itself.
pub const MOST_MIB: i64 = 300;

/// Every command that reads a file refuses it with this.
fn refused(path: &Path, said: &str) {
    let path = path.to_str().unwrap();
    for args in [
        vec!["top", path],
        vec!["growth", path],
        vec!["diff", path, path],
    ] {
        let run = run(&args);
        let line = run.refused();
        assert!(line.contains(said), "{said}: {line}");
        assert!(line.contains(path), "which file: {line}");
        assert!(
            run.peak_mib < MOST_MIB,
            "{args:?} took {} MiB",
            run.peak_mib
        );
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn what_is_no_snapshot_is_refused() {
    let folder = Folder::new();
    let half = &sample()[..sample().len() / 2];
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(b"{\"format\":\"heapwatch-snapshot\"}")
        .unwrap();
    for (name, bytes, said) in [
        ("empty", Vec::new(), "the file is empty"),
        ("cut-off", half.to_vec(), "cut off"),
        ("twice", gzip(sample()), "not a pprof profile"),
        ("zlib", zlib.finish().unwrap(), "not a pprof profile"),
        ("magic", vec![0x1f, 0x8b, 8, 0, 7], "cut off"),
        ("text", b"hello\n".to_vec(), "not a pprof profile"),
        ("json", b"{\"a\":1}".to_vec(), "no heapwatch snapshot"),
        (
            "legacy",
            b"heap profile: 1: 2 [3: 4] @ heap/2\n".to_vec(),
            "without debug=1",
        ),
        (
            "binary",
            std::fs::read("/proc/self/exe").unwrap()[..1 << 16].to_vec(),
            "not a pprof profile",
        ),
    ] {
        refused(&folder.write(name, &bytes), said);
    }
    refused(&folder.path("none"), "there is no such file");
    refused(folder.as_ref(), "this is a directory");
}

/// 200 MB as they are, from a pipe, and packed into next to nothing.
#[test]
fn huge_files_take_bounded_memory() {
    let folder = Folder::new();
    let megabyte = vec![7_u8; 1_000_000];
    let path = folder.path("huge");
    let mut huge = File::create(&path).unwrap();
    let mut zeros = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..200 {
        huge.write_all(&megabyte).unwrap();
        zeros.write_all(&[0; 1_000_000]).unwrap();
    }
    refused(&path, "more than the 128 MiB that are read");
    refused(&folder.write("bomb", &zeros.finish().unwrap()), "128 MiB");

    let piped = finish(
        heapwatch(["top", "-"]).stdin(File::open(&path).unwrap()),
        &[],
    );
    assert!(piped.refused().contains("128 MiB"), "{}", piped.stderr);
    assert!(piped.peak_mib < MOST_MIB, "{} MiB", piped.peak_mib);
    let endless = finish(
        heapwatch(["fetch", "-", "-o"])
            .arg(folder.path("kept"))
            .stdin(File::open("/dev/zero").unwrap()),
        &[],
    );
    assert!(endless.refused().contains("128 MiB"), "{}", endless.stderr);
    assert!(endless.peak_mib < 2 * MOST_MIB, "{} MiB", endless.peak_mib);
    println!(
        "huge: {} MiB from a pipe, {} MiB to be kept",
        piped.peak_mib, endless.peak_mib
    );
    assert_eq!(folder.files(), ["bomb", "huge"], "nothing is left behind");
}
