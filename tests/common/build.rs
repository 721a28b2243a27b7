//! Programs that tests build with this library. Needs nothing else of `common`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler, as these tests were built by.
pub fn rustc() -> Command {
    let mut rustc = Command::new(option_env!("RUSTC").unwrap_or("rustc"));
    rustc.args(["--edition=2024", "--cap-lints=allow"]);
    rustc
}

/// The library that cargo built last, and where what it depends on lies: beside this test.
pub fn library() -> (PathBuf, PathBuf) {
    let directory = std::env::current_exe().unwrap();
    let directory = directory.parent().unwrap().to_owned();
    let newest = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libheapwatch-") && name.ends_with(".rlib")
        })
        .max_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    (newest.expect("libheapwatch beside this test"), directory)
}

/// A program of one file that depends on heapwatch without features, in a package of its own. Its
/// features are `watched`, which brings heapwatch, `jemalloc` and `system`.
pub struct Project {
    directory: PathBuf,
    optimisation: u32,
}

impl Project {
    pub fn new(name: &str, source: &Path, optimisation: u32) -> Project {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        let manifest = format!(
            r#"
[package]
name = "{name}"
edition = "2024"

[[bin]]
name = "program"
path = {source:?}

[features]
watched = ["dep:heapwatch"]
jemalloc = ["dep:tikv-jemallocator"]
system = []

[dependencies]
heapwatch = {{ path = {heapwatch:?}, default-features = false, optional = true }}
libc = "0.2"
tikv-jemallocator = {{ version = "0.7", features = ["stats"], optional = true }}

[profile.dev]
opt-level = {optimisation}
debug = "line-tables-only"

[workspace]
"#,
            heapwatch = env!("CARGO_MANIFEST_DIR"),
        );
        fs::write(directory.join("Cargo.toml"), manifest).unwrap();
        // What this repository was tested with.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        fs::copy(lock, directory.join("Cargo.lock")).unwrap();
        Project {
            directory,
            optimisation,
        }
    }

    /// Builds it with these features, and keeps the program under a name of its own.
    pub fn build(&self, features: &str) -> PathBuf {
        let target = self.directory.join("target");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--features", features])
            .arg("--manifest-path")
            .arg(self.directory.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .status()
            .expect("cargo starts");
        assert!(status.success(), "features {features} do not build");
        let program = target.join(format!("{features}-{}", self.optimisation));
        fs::copy(target.join("debug/program"), &program).unwrap();
        program
    }
}
