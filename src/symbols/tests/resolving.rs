//! Real files: a small program compiled at several debug levels, stripped and damaged copies of
//! it.

use std::fs;

use ::object::{Object as _, ObjectSection as _};

use super::super::resolve;
use super::fixture::{Folder, at, module, names, run, symbol, text_of, within};
use crate::snapshot::{Frame, Location, Module, Origin};

pub(super) const LINES: &[&str] = &["-Cdebuginfo=line-tables-only"];
const LINES_V0: &[&str] = &[
    "-Cdebuginfo=line-tables-only",
    "-Csymbol-mangling-version=v0",
];
/// As cargo builds one's own crates for tests and debugging: units have no name of a crate.
const INCREMENTAL: &[&str] = &["-Cdebuginfo=line-tables-only", "-Cincremental=incremental"];
const FULL: &[&str] = &["-Cdebuginfo=full"];
pub(super) const NONE: &[&str] = &["-Cdebuginfo=0", "-Cstrip=debuginfo"];
pub(super) const STRIPPED: &[&str] = &["-Cdebuginfo=full", "-Cstrip=symbols"];

/// What the reader sees must not depend on the debug level or the mangling, where there are line
/// tables.
#[test]
fn names_are_the_same_at_every_debug_level_and_mangling() {
    for (name, options) in [
        ("lines", LINES),
        ("v0", LINES_V0),
        ("incremental", INCREMENTAL),
        ("full", FULL),
    ] {
        let folder = Folder::new(name);
        let probe = folder.probe(options);
        let module = module(&probe);
        let outermost = |words: &[&str]| {
            let frames = within(&module, symbol(&probe, words));
            let first = frames[0].last().unwrap().clone();
            assert!(
                frames
                    .iter()
                    .all(|frames| frames.last().unwrap().function == first.function)
            );
            first
        };

        let register = outermost(&["probe", "8register"]);
        assert_eq!(&*register.function, "probe::register", "{name}");
        assert_eq!(register.file.as_deref(), Some("src/probe.rs"), "{name}");
        assert_eq!(
            register.origin,
            Origin::Own {
                krate: "probe".into()
            },
            "{name}"
        );
        assert!(!register.inlined);

        let new = outermost(&["probe", "7Session", "3new"]);
        assert_eq!(&*new.function, "probe::Session::new", "{name}");
        let greet = outermost(&["probe", "Session", "Greet", "5greet"]);
        assert_eq!(
            &*greet.function, "<probe::Session as probe::Greet>::greet",
            "{name}"
        );
        let put = outermost(&["probe", "5store", "Store", "3put"]);
        let expected = match name {
            "v0" => "probe::store::Store<probe::Session>::put",
            _ => "probe::store::Store::put<probe::Session>",
        };
        assert_eq!(&*put.function, expected, "{name}");
    }
}

/// Inlined functions keep their arguments, module and order.
#[test]
fn inlined_functions_are_found_innermost_first() {
    for (name, options) in [
        ("inlined", LINES),
        ("inlined-v0", LINES_V0),
        ("inlined-incremental", INCREMENTAL),
    ] {
        let folder = Folder::new(name);
        let probe = folder.probe(options);
        let module = module(&probe);
        let frames = within(&module, symbol(&probe, &["probe", "6caller"]));
        let boxed = frames
            .iter()
            .find(|frames| {
                frames
                    .iter()
                    .any(|f| f.function.starts_with("alloc::boxed::new<"))
            })
            .expect("Box::new is inlined into its caller");
        let stack = names(boxed);
        let start = stack
            .iter()
            .position(|f| f.starts_with("alloc::boxed::new<"))
            .unwrap();
        assert_eq!(
            stack[start..],
            [
                "alloc::boxed::new<probe::Session>",
                "probe::caller::{closure#0}",
                "probe::with<alloc::boxed::Box<probe::Session>, probe::caller::{closure_env#0}>",
                "probe::caller",
            ],
            "{name}"
        );
        let inlined: Vec<bool> = boxed.iter().map(|frame| frame.inlined).collect();
        assert!(
            inlined[..inlined.len() - 1].iter().all(|inlined| *inlined)
                && !inlined[inlined.len() - 1]
        );
        assert_eq!(boxed[start].origin, Origin::Std);
        let file = boxed[start].file.as_deref().unwrap();
        assert_eq!(file, "library/alloc/src/boxed.rs");
        let line = |frame: &Frame| {
            let text = include_str!("probe.rs")
                .lines()
                .nth(frame.line.unwrap() as usize - 1);
            text.unwrap().trim().to_string()
        };
        assert_eq!(
            line(&boxed[start + 1]),
            "with(|| Box::new(Session::new(id)))",
            "{name}"
        );
        assert_eq!(line(&boxed[start + 2]), "black_box(make())", "{name}");
    }
}

/// With full debug information the type that an inlined method belongs to is known, too.
#[test]
fn full_debug_information_tells_the_type_of_inlined_methods() {
    let folder = Folder::new("types");
    let probe = folder.probe(FULL);
    let module = module(&probe);
    let frames = within(&module, symbol(&probe, &["probe", "8register"]));
    let inlined = |name: &str| frames.iter().any(|frames| names(frames).contains(&name));
    assert!(inlined("probe::Session::touched"));
}

/// Some linkers compress debug sections.
#[test]
fn compressed_debug_sections_are_read() {
    let folder = Folder::new("compressed");
    let probe = folder.probe(LINES);
    let register = symbol(&probe, &["probe", "8register"]);
    run("objcopy", &["--compress-debug-sections"], &[&probe]);
    let frames = at(&module(&probe), [register.0]);
    let outermost = frames[0].last().unwrap();
    assert_eq!(&*outermost.function, "probe::register");
    assert_eq!(outermost.file.as_deref(), Some("src/probe.rs"));
}

#[test]
fn without_line_tables_there_are_symbol_names() {
    let folder = Folder::new("symbols");
    let probe = folder.probe(NONE);
    let frames = within(&module(&probe), symbol(&probe, &["probe", "8register"]));
    for frames in &frames {
        let [frame] = &**frames else {
            panic!("{frames:?}")
        };
        assert_eq!(&*frame.function, "probe::register");
        assert_eq!((&frame.file, frame.line), (&None, None));
        assert_eq!(
            frame.origin,
            Origin::Own {
                krate: "probe".into()
            }
        );
    }
}

#[test]
fn without_symbols_there_are_offsets() {
    let folder = Folder::new("offsets");
    let probe = folder.probe(STRIPPED);
    let (text, _) = text_of(&probe);
    let frames = at(&module(&probe), [text]);
    let expected = Frame {
        function: format!("probe+{text:#x}").into(),
        file: None,
        line: None,
        origin: Origin::Foreign,
        inlined: false,
    };
    assert_eq!(*frames[0], [expected]);
}

/// Distributions keep debug information in files of their own; `.gnu_debuglink` names them.
#[test]
fn a_separate_debug_file_is_used_if_it_is_the_right_one() {
    let folder = Folder::new("debuglink");
    let probe = folder.probe(LINES);
    let register = symbol(&probe, &["probe", "8register"]);
    let debug = folder.0.join("probe.debug");
    run("objcopy", &["--only-keep-debug"], &[&probe, &debug]);
    run("strip", &["--strip-all"], &[&probe]);
    let link = format!("--add-gnu-debuglink={}", debug.display());
    run("objcopy", &[&link], &[&probe]);

    let frames = at(&module(&probe), [register.0]);
    let outermost = frames[0].last().unwrap();
    assert_eq!(&*outermost.function, "probe::register");
    assert_eq!(outermost.file.as_deref(), Some("src/probe.rs"));

    let mut bytes = fs::read(&debug).unwrap();
    bytes.push(0);
    fs::write(&debug, bytes).unwrap();
    let frames = at(&module(&probe), [register.0]);
    assert_eq!(
        names(&frames[0]),
        [format!("probe+{:#x}", register.0)],
        "checksum differs"
    );
}

/// A file that was deployed over a running program must not lend it its names.
#[test]
fn a_replaced_or_missing_file_gives_offsets() {
    let folder = Folder::new("replaced");
    let probe = folder.probe(LINES);
    let (register, _) = symbol(&probe, &["probe", "8register"]);
    let offset = format!("probe+{register:#x}");

    let mut replaced = module(&probe);
    replaced.build_id = Some("00112233445566778899aabbccddeeff00112233".into());
    assert_eq!(names(&at(&replaced, [register])[0]), [offset.as_str()]);
    // Loaded from a file without build id: this one has one.
    replaced.build_id = None;
    assert_eq!(names(&at(&replaced, [register])[0]), [offset.as_str()]);

    let present = module(&probe);
    fs::remove_file(&probe).unwrap();
    assert_eq!(names(&at(&present, [register])[0]), [offset.as_str()]);
    // Not a file at all; opening a pipe would wait for ever.
    run("mkfifo", &[], &[&probe]);
    assert_eq!(names(&at(&present, [register])[0]), [offset.as_str()]);
}

#[test]
fn addresses_outside_every_module_are_printed() {
    let modules = [];
    let location = |address, module| Location { address, module };
    let locations = [
        location(0x7f00_1234, None),
        location(0, None),
        location(16, Some(3)),
    ];
    let frames = resolve(&modules, &locations).frames;
    let functions: Vec<_> = frames.iter().flat_map(|frames| names(frames)).collect();
    assert_eq!(functions, ["0x7f001234", "0x0", "0x10"]);
    // Below the module's own base, and the one address that has nothing before it.
    let odd = Module {
        path: "/nowhere/lib.so".into(),
        build_id: None,
        start: 0,
        end: u64::MAX,
        bias: u64::MAX,
    };
    let frames = resolve(&[odd], &[location(0, Some(0)), location(5, Some(0))]).frames;
    assert_eq!(names(&frames[1]), ["lib.so+0x5"]);
}

/// Damaged debug information ends in a fallback: whatever is read, nothing panics, and each
/// location has a frame.
#[test]
fn damaged_debug_information_does_no_harm() {
    let folder = Folder::new("damaged");
    let probe = folder.probe(FULL);
    let register = symbol(&probe, &["probe", "8register"]);
    let module = module(&probe);
    let whole = fs::read(&probe).unwrap();
    let sections: Vec<(u64, u64)> = ::object::File::parse(&*whole)
        .unwrap()
        .sections()
        .filter(|section| section.name().is_ok_and(|name| name.starts_with(".debug")))
        .filter_map(|section| section.file_range())
        .collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for round in 0..48 {
        let mut bytes = whole.clone();
        // From a few bytes to a good part of each section.
        for _ in 0..4_u64 << (round % 16) {
            let (start, size) = sections[next(sections.len() as u64) as usize];
            bytes[(start + next(size)) as usize] = next(256) as u8;
        }
        fs::write(&probe, bytes).unwrap();
        let frames = at(&module, (0..8).map(|i| register.0 + i * register.1 / 8));
        assert!(
            frames.iter().all(|frames| !frames.is_empty()),
            "round {round}"
        );
    }
    for length in [0, 1, 64, 4096, whole.len() / 2, whole.len() - 100] {
        fs::write(&probe, &whole[..length]).unwrap();
        let frames = at(&module, [register.0]);
        assert!(
            frames.iter().all(|frames| !frames.is_empty()),
            "cut at {length}"
        );
    }
}
