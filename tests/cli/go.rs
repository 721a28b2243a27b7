//! Profiles that Go's own heap profiler wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;
use crate::folder::Folder;

/// Two profiles of one process, the second after it has grown here and shrunk there.
fn profiles(folder: &Folder) -> [PathBuf; 2] {
    let files = [folder.path("before.pb.gz"), folder.path("after.pb.gz")];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/profiles.go");
    let output = Command::new("go")
        .arg("run")
        .arg(source)
        .args(&files)
        .env("GOCACHE", folder.path("cache"))
        .output()
        .expect("go is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    files
}

/// The sum of what `go tool pprof` says of all functions, and of one.
fn pprof(index: &str, options: &[String], file: &Path, function: &str) -> (i64, i64) {
    let output = Command::new("go")
        .args([
            "tool",
            "pprof",
            "-top",
            "-nodefraction=0",
            "-nodecount=100000",
            "-unit=B",
        ])
        .arg(format!("-sample_index={index}"))
        .args(options)
        .arg(file)
        .output()
        .expect("go is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, rows) = text.split_once("cum%\n").expect("a table");
    let flat = rows.lines().map(|line| {
        let mut words = line.split_whitespace();
        let number = words.next().unwrap().trim_end_matches('B');
        (number.parse::<i64>().unwrap(), line.ends_with(function))
    });
    let flat: Vec<_> = flat.collect();
    let own = flat.iter().filter(|(_, own)| *own);
    (
        flat.iter().map(|(flat, _)| flat).sum(),
        own.map(|(flat, _)| flat).sum(),
    )
}

#[test]
#[ignore = "needs go"]
fn differences_of_go_profiles_equal_those_of_go() {
    let folder = Folder::new();
    let [before, after] = profiles(&folder);
    let (from, to) = (before.to_str().unwrap(), after.to_str().unwrap());
    let base = format!("-diff_base={from}");
    let (bytes, kept) = pprof(
        "inuse_space",
        std::slice::from_ref(&base),
        &after,
        "main.keep",
    );
    let (objects, _) = pprof(
        "inuse_objects",
        std::slice::from_ref(&base),
        &after,
        "main.keep",
    );
    assert!(
        kept >= 4 << 20 && bytes != 0,
        "the program grew: {kept} of {bytes}"
    );

    let json = run([
        "diff",
        from,
        to,
        "--by=function",
        "--format=json",
        "-n=100000",
    ])
    .done()
    .json();
    let total = |what: &str| json["total"][what]["estimate"].as_i64().unwrap();
    assert_eq!(total("live_bytes_change"), bytes);
    assert_eq!(total("live_objects_change"), objects);
    let rows = json["rows"].as_array().unwrap();
    let row = |name: &str| {
        let row = rows.iter().find(|row| row["function"] == name);
        row.unwrap_or_else(|| panic!("{name} is in no row of {rows:#?}"))["live_bytes_change"]["estimate"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(row("main.keep"), kept);
    assert!(row("main.forget") < 0);
    assert_eq!(
        rows[0]["function"], "main.keep",
        "what grew most comes first"
    );

    // And the difference as a profile, which Go reads.
    let difference = folder.path("difference.pb.gz");
    run([
        "diff",
        from,
        to,
        "--format=pprof",
        "-o",
        difference.to_str().unwrap(),
    ])
    .done();
    assert_eq!(
        pprof("inuse_space", &[], &difference, "main.keep"),
        (bytes, kept)
    );
}
