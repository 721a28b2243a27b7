//! Tests that need a process of their own: the test binary runs itself again.

use std::process::{Command, Output};

const MARKER: &str = "HEAPWATCH_TEST_CHILD";

/// Whether this process is a child that [`run`] started.
pub fn is_child() -> bool {
    std::env::var_os(MARKER).is_some()
}

/// A command that runs one test of this binary in a child.
pub fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(MARKER, "1")
        .env("RUST_BACKTRACE", "0");
    command
}

/// Runs the command; panics with its output unless it succeeds. Returns what it printed.
pub fn run(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    assert!(status.success(), "the child ended with {status}:\n{text}");
    assert!(text.contains("1 passed"), "the child ran no test:\n{text}");
    text
}
