//! A program is run twice, and built again with changes that have nothing to do with what it holds:
//! its sites must be found again, and none taken for another.
//!
//! The compiler is called by hand, with the library that this test was built with: that takes a few
//! seconds a build. All kinds of builds: `cargo test --test rebuild -- --include-ignored`.

#[path = "common/build.rs"]
#[allow(dead_code, unreachable_pub)]
mod build;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use heapwatch::Snapshot;
use heapwatch::report::{Change, Diff};

const PROGRAM: &str = include_str!("rebuild/program.rs");
const DEPENDENCY: &str = include_str!("rebuild/dependency.rs");

/// A path that tells a dependency from own code, whatever lies before it.
const PACKAGE: &str = "registry/src/index/depot-1.0.0/src";

/// The share of live bytes that must be found again.
const FOUND: f64 = 0.95;

/// What another build does differently.
#[derive(Debug, Default)]
struct Build<'a> {
    /// In place of the two lines `CHANGE` of the program.
    items: &'a str,
    statement: &'a str,
    dependency_options: &'a [&'a str],
    options: &'a [&'a str],
}

/// A program that was built, in a directory of its own.
struct Program(PathBuf);

impl Program {
    fn new(name: &str, build: &Build<'_>) -> Program {
        let directory =
            std::env::temp_dir().join(format!("heapwatch-rebuild-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let program = Program(directory);
        let source = PROGRAM
            .replace("// CHANGE: here", build.items)
            .replace("// CHANGE: and here", build.statement);
        program.write("src/main.rs", &source);
        program.write(&format!("{PACKAGE}/lib.rs"), DEPENDENCY);
        let package = program.0.join(PACKAGE).join("lib.rs");
        program.compile("depot", &package, |rustc| {
            rustc
                .arg("--crate-type=rlib")
                .args(build.dependency_options)
        });
        let (heapwatch, libraries) = build::library();
        program.compile("service", Path::new("src/main.rs"), |rustc| {
            rustc
                .arg(format!("--extern=heapwatch={}", heapwatch.display()))
                .arg("--extern=depot=libdepot.rlib")
                .arg(format!("-Ldependency={}", libraries.display()))
                .args(build.options)
        });
        program
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn compile(&self, name: &str, root: &Path, with: impl Fn(&mut Command) -> &mut Command) {
        let mut rustc = build::rustc();
        rustc
            .args(["--crate-name", name])
            .args(["-Copt-level=3", "-Cdebuginfo=line-tables-only"])
            .current_dir(&self.0)
            .arg(root);
        let status = with(&mut rustc).status().expect("a compiler");
        assert!(status.success(), "{rustc:?}");
    }

    /// A run's snapshot at its end.
    fn run(&self, interval: u32) -> Snapshot {
        let status = Command::new(self.0.join("service"))
            .arg("end.heap")
            .current_dir(&self.0)
            .env("HEAPWATCH_INTERVAL", interval.to_string())
            .status()
            .unwrap();
        assert!(status.success());
        let snapshot = Snapshot::open(self.0.join("end.heap")).unwrap();
        assert!(snapshot.live().bytes > 2e6, "{:?}", snapshot.live());
        snapshot
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// At interval 1, all numbers are exact and each call site holds its own number of bytes: a site that
/// was found holds what it held, or it is another. `unrelated` is what the change itself holds.
fn check_exact(diff: &Diff<'_>, unrelated: &str) {
    assert!(!diff.same_process());
    for row in diff.all_rows().iter().filter(|row| changes(row)) {
        let function = row.function.as_deref().unwrap_or_default();
        let expected = row.new && !unrelated.is_empty() && function.contains(unrelated);
        assert!(expected, "{row:?}\n{diff}");
    }
    check_share(diff);
}

fn changes(row: &&Change<'_>) -> bool {
    row.live_bytes.estimate != 0.0
}

fn check_share(diff: &Diff<'_>) {
    let share = diff.matched_share();
    println!("found {share:.4} of live bytes");
    assert!(share >= FOUND, "{share}\n{diff}");
    let change = diff.later().live().bytes - diff.earlier().live().bytes;
    let total = diff.total().live_bytes.estimate;
    assert!((total - change).abs() <= 1.0, "{total} is not {change}");
}

fn check(name: &str, build: &Build<'_>, unrelated: &str) {
    let before = Program::new(&format!("{name}-before"), &Build::default());
    let after = Program::new(&format!("{name}-after"), build);
    check_exact(&before.run(1).diff(&after.run(1)), unrelated);
    // As sampled: the tail of rarely met sites is in one of the two alone.
    check_share(&before.run(4096).diff(&after.run(4096)));
}

const FUNCTION: Build<'_> = Build {
    items: "
// A comment of several lines
// that shifts all below it.

fn report(lines: usize) -> Vec<u8> {
    let lines: Vec<String> = (0..lines).map(|line| line.to_string()).collect();
    let mut all: Vec<Vec<u8>> = vec![vec![9; 70_001]];
    all.push(lines.concat().into_bytes());
    all.concat()
}
",
    statement: "return report(1_009);",
    dependency_options: &[],
    options: &[],
};

/// Addresses are other ones in each run, build ids and offsets are not.
#[test]
fn sites_are_found_again_after_a_restart() {
    let program = Program::new("restart", &Build::default());
    check_exact(&program.run(1).diff(&program.run(1)), "");
    check_share(&program.run(4096).diff(&program.run(4096)));
}

/// Lines shift, a function is added, and the compiler inlines others than before.
#[test]
fn sites_are_found_again_after_a_rebuild() {
    check("function", &FUNCTION, "report");
}

/// What was a dependency's function is inlined into its callers.
#[test]
#[ignore = "builds a program several times"]
fn sites_are_found_again_with_another_feature_of_a_dependency() {
    let feature = ["--cfg=feature=\"inline\""];
    let build = Build {
        dependency_options: &feature,
        ..Build::default()
    };
    check("feature", &build, "");
}

/// Each inlines otherwise: hardly anything, less, and across the whole crate.
#[test]
#[ignore = "builds a program several times"]
fn sites_are_found_again_with_other_optimisation() {
    for options in [
        ["-Cllvm-args=-inline-threshold=0"],
        ["-Copt-level=1"],
        ["-Copt-level=2"],
        ["-Ccodegen-units=1"],
    ] {
        println!("{options:?}");
        let build = Build {
            dependency_options: &options,
            options: &options,
            ..Build::default()
        };
        check("optimisation", &build, "");
    }
}
