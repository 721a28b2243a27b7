//! A program is built and run twice: the second run's sites must be found to be the first one's.
//! The build takes a while, so this runs only when asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use heapwatch::Snapshot;

const MAIN: &str = r#"
use std::collections::HashMap;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

#[inline(never)]
fn sessions(n: usize) -> HashMap<usize, String> {
    (0..n).map(|i| (i, format!("session number {i} of {n}"))).collect()
}

#[inline(never)]
fn buffers(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| vec![i as u8; 4096]).collect()
}

#[inline(never)]
fn boxed(n: usize) -> Vec<Box<dyn Fn(u64) -> u64>> {
    (0..n as u64)
        .map(|i| {
            let big = [i; 64];
            Box::new(move |x: u64| big[(x % 64) as usize]) as Box<dyn Fn(u64) -> u64>
        })
        .collect()
}

fn main() -> Result<(), heapwatch::Error> {
    let held = (sessions(20_000), buffers(2_000), boxed(10_000));
    let thread = std::thread::spawn(|| buffers(500)).join();
    heapwatch::snapshot()?.save(std::env::args().nth(1).expect("a path"))?;
    std::hint::black_box((held, thread.is_ok()));
    Ok(())
}
"#;

struct Project(PathBuf);

impl Project {
    fn new() -> Project {
        let directory =
            std::env::temp_dir().join(format!("heapwatch-restart-{}", std::process::id()));
        fs::create_dir_all(directory.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"twice\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
             [dependencies]\nheapwatch = {{ path = {:?}, default-features = false }}\n\
             [profile.release]\ndebug = \"line-tables-only\"\n[workspace]\n",
            env!("CARGO_MANIFEST_DIR")
        );
        fs::write(directory.join("Cargo.toml"), manifest).unwrap();
        // The versions that this crate was tested with.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        fs::copy(lock, directory.join("Cargo.lock")).unwrap();
        Project(directory)
    }

    fn build(&self, source: &str) {
        fs::write(self.0.join("src/main.rs"), source).unwrap();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--quiet", "-j2"])
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", self.0.join("target"))
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn run(&self, file: &str) -> Snapshot {
        let path = self.0.join(file);
        let status = Command::new(self.0.join("target/release/twice"))
            .arg(&path)
            .env("HEAPWATCH_INTERVAL", "4096")
            .status()
            .unwrap();
        assert!(status.success());
        Snapshot::open(path).unwrap()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
#[ignore = "builds a program"]
fn sites_are_found_again_after_a_restart() {
    let project = Project::new();
    project.build(MAIN);
    let first = project.run("first.heap");
    let again = project.run("again.heap");
    let diff = first.diff(&again);
    assert!(!diff.same_process() && diff.error_bars());
    assert!(diff.matched_share() >= 0.95, "{diff}");
    assert!(first.live().bytes > 12e6, "{:?}", first.live());
    let significant = diff
        .all_rows()
        .iter()
        .filter(|row| row.significant == Some(true));
    assert_eq!(significant.count(), 0, "nothing changed\n{diff}");
}
