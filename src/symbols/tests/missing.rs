//! Programs whose debug information is somewhere else, or nowhere.

use super::super::cache::Cache;
use super::super::resolve_with;
use super::fixture::{Folder, module, symbol, text_of, within};
use super::resolving::{LINES, NONE, STRIPPED};
use crate::snapshot::Location;

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
            let names = resolve_with(&cache, std::slice::from_ref(&module), &[location.clone()]);
            match (&names.missing[..], told) {
                ([], None) => {}
                ([line], Some(told)) => assert!(line.contains(told), "{name}: {line}"),
                (missing, _) => panic!("{name}: {missing:?}"),
            }
        }
    }
}
