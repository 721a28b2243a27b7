//! Programs whose debug information is somewhere else, or nowhere.

use super::super::cache::Cache;
use super::super::resolve_with;
use super::fixture::{Folder, module, run, symbol, text_of, within};
use super::resolving::{LINES, NONE, STRIPPED};
use crate::snapshot::{Location, Snapshot};

/// What is left of the lines in the program itself is of inlined functions: told of the function that has a
/// symbol, it blames a file of std's, or of heapwatch's, for what another does.
#[test]
fn split_debug_information_never_gives_a_wrong_line() {
    for split in ["packed", "unpacked"] {
        for level in ["line-tables-only", "full"] {
            let folder = Folder::new(&format!("split-{split}-{level}"));
            let (split, level) = (
                format!("-Csplit-debuginfo={split}"),
                format!("-Cdebuginfo={level}"),
            );
            let probe = folder.probe(&[&split, &level]);
            let module = module(&probe);
            for frames in within(&module, symbol(&probe, &["probe", "6caller"])) {
                let outermost = frames.last().unwrap();
                assert_eq!(&*outermost.function, "probe::caller", "{split} {level}");
                assert_eq!((&outermost.file, outermost.line), (&None, None));
            }
        }
    }
}

/// Whoever misses names must be told what to build differently, each time and not only while the file is read.
#[test]
fn what_is_missing_is_told_with_its_cure() {
    let no_lines = Some("has no line tables");
    for (name, options, told) in [
        ("cure-lines", LINES, None),
        ("cure-none", &["-Cdebuginfo=0"][..], no_lines),
        ("cure-no-std", NONE, no_lines),
        ("cure-strip", STRIPPED, Some("strip = \"none\"")),
        (
            "cure-split",
            &["-Cdebuginfo=full", "-Csplit-debuginfo=packed"],
            Some("split-debuginfo = \"off\""),
        ),
    ] {
        let folder = Folder::new(name);
        let probe = folder.probe(options);
        let (module, cache) = (module(&probe), Cache::default());
        let location = Location {
            address: text_of(&probe).0 + 1,
            module: Some(0),
        };
        for _ in 0..2 {
            let names = resolve_with(
                &cache,
                std::slice::from_ref(&module),
                std::slice::from_ref(&location),
            );
            match (&names.missing[..], told) {
                ([], None) => {}
                ([line], Some(told)) => assert!(line.contains(told), "{name}: {line}"),
                (missing, _) => panic!("{name}: {missing:?}"),
            }
        }
    }
}

/// Production runs what was stripped, and the build keeps what was not.
#[test]
fn a_stripped_program_gets_the_names_of_the_whole_one() {
    let folder = Folder::new("complete");
    let probe = folder.probe(LINES);
    let (address, size) = symbol(&probe, &["probe", "6caller"]);
    let copies = ["stripped", "debug"].map(|name| folder.0.join(name));
    run("strip", &["-s", "-o"], &[&copies[0], &probe]);
    run("objcopy", &["--only-keep-debug"], &[&probe, &copies[1]]);
    let whole = within(&module(&probe), (address, size));
    let snapshot = |path: &std::path::Path| {
        let mut snapshot = crate::snapshot::testing::Builder::new().build();
        snapshot.modules = vec![module(path)];
        snapshot.locations = (address..address + size)
            .map(|address| Location {
                address: address + 1,
                module: Some(0),
            })
            .collect();
        snapshot.names = Default::default();
        snapshot
    };
    for file in [&probe, &copies[1]] {
        let mut snapshot = snapshot(&copies[0]);
        assert!(snapshot.frames(0)[0].function.starts_with("stripped+0x"));
        assert_eq!(snapshot.missing_names().len(), 1);
        snapshot.symbolize(file).unwrap();
        for (place, frames) in (0..).zip(&whole) {
            assert_eq!(snapshot.frames(place), &**frames);
        }
        assert_eq!(snapshot.missing_names().len(), 0);
    }
    // A profile of it tells places in the file, and not the file's addresses.
    let mut bare = snapshot(&copies[0]);
    let mut site = crate::snapshot::testing::sample().sites[0].clone();
    site.stack = (0..whole.len() as u32).collect();
    bare.sites = vec![site];
    let mut profile = Snapshot::read(&bare.pprof().encode()[..]).unwrap();
    let stack = profile.sites()[0].stack.clone();
    assert_eq!(stack.len(), whole.len());
    assert!(profile.symbolize(&copies[1]).is_err(), "no code, no place");
    profile.symbolize(&probe).unwrap();
    for (place, frames) in stack.iter().zip(&whole) {
        assert_eq!(profile.frames(*place), &**frames);
    }
    // What would give no names, or wrong ones.
    let other = Folder::new("complete-other");
    let other = other.probe(&["-Cdebuginfo=0"]);
    let refused = |path| {
        snapshot(&copies[0])
            .symbolize(path)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&other).contains("build id"), "{}", refused(&other));
    assert!(refused(&copies[0]).contains("stripped, too"));
}
