//! The house rules that a compiler does not check: who may import whom, where `unsafe` may stand,
//! and what may not be written inside malloc. Each failure names what to use instead.

use std::fs;
use std::path::{Path, PathBuf};

/// From left to right; a module may import those to its left, and those of its own step.
const LAYERS: &[&[&str]] = &[
    &["config", "error"],
    &["record"],
    &["alloc"],
    &["jemalloc", "process"],
    &["snapshot", "own_thread"],
    &["symbols"],
    &["analyze"],
    &["report"],
    &["history", "growth"],
    &["metrics"],
    &["http"],
    &["testing"],
    &["bin"],
];

/// The only modules that may name `record`.
const MAY_IMPORT_RECORD: &[&str] = &["record", "alloc", "snapshot"];

/// The only files with `unsafe`.
const UNSAFE: &[&str] = &[
    "alloc.rs",
    "alloc/jemalloc.rs",
    "process/calls.rs",
    "process/pin.rs",
    "record/clock.rs",
    "record/elf.rs",
    "record/fork.rs",
    "record/inherit.rs",
    "record/memory.rs",
    "record/loader.rs",
    "record/module_copies.rs",
    "record/module_list.rs",
    "record/own.rs",
    "record/region.rs",
    "record/room.rs",
    "record/settings.rs",
    "record/sites.rs",
    "record/stack.rs",
    "record/unwind/fallback.rs",
    "record/unwind/mod.rs",
    "record/unwind/native/last.rs",
    "record/unwind/native/sources.rs",
    "record/unwind/native/table.rs",
    "record/valgrind.rs",
    "symbols/object.rs",
];

/// What may not stand in `record/` outside of tests, and what to use instead.
const NOT_IN_MALLOC: &[(&str, &str)] = &[
    (
        "format!",
        "numbers and static strings; `snapshot` makes the sentences",
    ),
    (
        "println!",
        "a counter in `record::loss` that every report shows",
    ),
    (
        "eprintln!",
        "a counter in `record::loss` that every report shows",
    ),
    (".unwrap()", "`let … else`, with the loss counted"),
    (".expect(", "`let … else`, with the loss counted"),
    ("panic!", "a counter in `record::loss`"),
    ("unreachable!", "a counter in `record::loss`"),
    (
        "std::env",
        "`libc::getenv`: the calling thread may hold std's lock",
    ),
    (
        "std::fs",
        "nothing: `record` does no I/O; read files in `snapshot`",
    ),
    (
        "to_string(",
        "numbers and static strings; `snapshot` makes the sentences",
    ),
];

struct Source {
    /// Relative to `src/`.
    path: String,
    /// Without comments and without the tests at its end.
    code: String,
}

impl Source {
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(
        files.len() > 10,
        "found only {} sources below {}",
        files.len(),
        root.display()
    );
    files
        .into_iter()
        .filter(|file| !is_test(file))
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            let code = text
                .split("\n#[cfg(test)]\nmod ")
                .next()
                .unwrap_or_default();
            let code: String = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            let path = file
                .strip_prefix(&root)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            Source { path, code }
        })
        .collect()
}

/// Files that are only there for tests.
fn is_test(file: &Path) -> bool {
    let text = file.to_string_lossy();
    [
        "/tests/",
        "tests.rs",
        "/testing.rs",
        "/fixture.rs",
        "/test_",
    ]
    .iter()
    .any(|part| text.contains(part))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn step(module: &str) -> Option<usize> {
    LAYERS.iter().position(|step| step.contains(&module))
}

/// The modules of this crate that a source names.
fn imports(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let list = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .map(|(list, _)| list);
        for part in list
            .unwrap_or(rest)
            .split(if list.is_some() { ',' } else { ';' })
        {
            let end = part
                .trim_start()
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let part = part.trim_start();
            found.push(&part[..end.unwrap_or(part.len())]);
            if list.is_none() {
                break;
            }
        }
    }
    found
}

/// A circle of imports would let what runs inside malloc depend on what allocates freely.
#[test]
fn imports_point_to_the_left() {
    for source in sources() {
        let module = source.module();
        if module == "lib" {
            continue;
        }
        let Some(own) = step(module) else {
            panic!(
                "src/{} belongs to no layer: add it to LAYERS and to ARCHITECTURE.md",
                source.path
            );
        };
        for import in imports(&source.code) {
            if let Some(theirs) = step(import) {
                assert!(
                    theirs <= own,
                    "src/{} imports crate::{import}, which is to its right: pass the value in, or \
                     move what is needed to the left",
                    source.path
                );
                assert!(
                    import != "record" || MAY_IMPORT_RECORD.contains(&module),
                    "src/{} imports crate::record: only alloc (in) and snapshot (out) may; use \
                     what snapshot offers",
                    source.path
                );
            }
        }
    }
}

/// Unsafe code that nobody knows of is unsafe code that nobody reviews.
#[test]
fn unsafe_stands_only_where_the_design_names_it() {
    for source in sources() {
        let allowed = UNSAFE.contains(&source.path.as_str());
        let used = source.code.contains("unsafe ") || source.code.contains("allow(unsafe_code)");
        assert!(
            allowed || !used || source.path == "lib.rs",
            "src/{} has unsafe code: call a safe function of one of {UNSAFE:?}",
            source.path
        );
    }
}

/// What formats, panics or does I/O inside malloc deadlocks or crashes some program some day.
#[test]
fn nothing_in_record_formats_panics_or_does_io() {
    for source in sources()
        .iter()
        .filter(|source| source.module() == "record")
    {
        for (word, instead) in NOT_IN_MALLOC {
            assert!(
                !source.code.contains(word),
                "src/{} contains `{word}`, which may not run inside malloc: use {instead}",
                source.path
            );
        }
    }
}

/// The root is what a user reads first.
#[test]
fn the_root_has_at_most_14_names() {
    let root = sources()
        .into_iter()
        .find(|source| source.path == "lib.rs")
        .unwrap();
    let mut names = Vec::new();
    for line in root.code.split(';') {
        let hidden = line.contains("doc(hidden)");
        let Some((_, public)) = line.split_once("pub ") else {
            continue;
        };
        if hidden {
            continue;
        }
        let list = match public.split_once('{') {
            Some((_, list)) => list.trim_end().trim_end_matches('}'),
            None => public.rsplit([':', ' ']).next().unwrap_or_default(),
        };
        names.extend(list.split(',').map(|name| name.trim().to_owned()));
    }
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    assert!(
        names.len() <= 14,
        "{} names at the root, at most 14 may be: {names:?}",
        names.len()
    );
    assert!(
        names.len() >= 5,
        "found too few names to be true: {names:?}"
    );
}
