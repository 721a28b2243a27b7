//! The guide, followed word for word in an empty directory: it must end at the line that leaks, and
//! with nothing that leaks once that is mended.
#![cfg(feature = "server")]

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(600);

/// All commands of the guide, in their order.
fn commands() -> String {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/finding-a-leak.md");
    let guide = fs::read_to_string(guide).expect("the guide");
    let blocks = guide.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|block| block.split("```\n").next().unwrap_or_default())
        .collect();
    assert!(blocks.len() > 8, "{} blocks of commands", blocks.len());
    blocks.concat()
}

/// Runs the commands in a fresh directory, outside of this workspace, which `cargo new` would add the service to.
/// Returns the service's directory and what they printed.
fn follow(name: &str) -> (PathBuf, String) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let directory = std::env::temp_dir().join(format!("heapwatch-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    forget_the_service(&target.with_file_name("release").join(".fingerprint"));
    let printed = directory.join("printed.txt");
    let output = File::create(&printed).expect("a file");
    let mut shell = Command::new("sh")
        .args(["-e", "-c", &commands()])
        .current_dir(&directory)
        .env("HEAPWATCH", env!("CARGO_MANIFEST_DIR"))
        // So that what the crate's own builds have compiled, jemalloc above all, is not compiled again.
        .env(
            "CARGO_TARGET_DIR",
            target.parent().expect("the target directory"),
        )
        .env_remove("HEAPWATCH_TOKEN")
        .stdin(Stdio::null())
        .stderr(output.try_clone().expect("a handle"))
        .stdout(output)
        .process_group(0)
        .spawn()
        .expect("a shell");
    let begun = Instant::now();
    let status = loop {
        match shell.try_wait().expect("its status") {
            Some(status) => break Some(status),
            None if begun.elapsed() > PATIENCE => break None,
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    // Whatever a failed run has left in its process group.
    let group = format!("-{}", shell.id());
    let _ = Command::new("kill")
        .args(["--", &group])
        .stderr(Stdio::null())
        .status();
    let text = fs::read_to_string(&printed).expect("what was printed");
    let success = status.is_some_and(|status| status.success());
    assert!(success, "the commands ended with {status:?}:\n{text}");
    println!("{text}\nafter {:?}", begun.elapsed());
    (directory.join("chat"), text)
}

/// Lets cargo build the service anew: to it the services of two runs are one, and the one before was mended.
fn forget_the_service(fingerprints: &Path) {
    for entry in fs::read_dir(fingerprints).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("chat-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Where the service of the guide allocates what it keeps, as reports write it.
fn leaking_line(chat: &Path) -> String {
    let source = fs::read_to_string(chat.join("src/main.rs")).expect("the service");
    let mut lines = source.lines();
    let index = lines.position(|line| line.contains("Vec::with_capacity(TRANSCRIPT_BYTES)"));
    format!("(src/main.rs:{})", index.expect("the line") + 1)
}

fn ends_at_the_line(name: &str) {
    let (chat, text) = follow(name);
    let line = leaking_line(&chat);
    let growth = fs::read_to_string(chat.join("growth.txt")).expect("verdicts");
    let leaking = growth.lines().find(|row| row.starts_with("leaking: "));
    assert!(leaking.is_some_and(|row| row.contains(&line)), "{growth}");
    let (_, diff) = text.split_once("heap diff").expect("a diff");
    let first = diff.lines().find(|row| row.contains(" (src/main.rs:"));
    assert!(
        first.is_some_and(|row| row.contains(&line)),
        "{line} in {diff}"
    );
    let location = line.trim_matches(['(', ')']);
    let labelled = format!("\"location\":\"{location}\"");
    assert!(text.contains(&labelled), "Prometheus names it: {text}");
    let mended = fs::read_to_string(chat.join("mended.txt")).expect("verdicts");
    let calm = "call sites: 0 leaking, 0 growing";
    assert!(mended.contains(calm), "{mended}");
}

#[test]
#[ignore = "needs curl and prometheus, and the ports of the guide"]
fn the_guide_ends_at_the_leaking_line_twice_in_a_row() {
    ends_at_the_line("guide-first");
    ends_at_the_line("guide-second");
}
