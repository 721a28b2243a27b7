//! Tests that need a process of their own: the test binary runs itself again.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

const MARKER: &str = "HEAPWATCH_TEST_CHILD";
const FIGURES: &str = "figures:";

/// Whether this process is a child that a [`command`] started.
pub fn is_child() -> bool {
    std::env::var_os(MARKER).is_some()
}

/// A command that runs one test of this binary in a child, be it ignored or not.
pub fn command(test: &str) -> Command {
    command_of(&std::env::current_exe().unwrap(), test)
}

/// A command that runs one test in a child, from a copy of this binary.
pub fn command_of(program: &Path, test: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .arg("--include-ignored")
        .env(MARKER, "1")
        .env("RUST_BACKTRACE", "0");
    command
}

/// Runs the command; panics with its output unless it succeeds. Returns what it printed.
pub fn run(command: &mut Command) -> String {
    spawn(command).wait()
}

/// A child that runs beside others.
pub struct Running(Child);

/// Starts the command.
pub fn spawn(command: &mut Command) -> Running {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

impl Running {
    /// As [`run`].
    pub fn wait(self) -> String {
        let (status, text) = self.end();
        assert!(status.success(), "the child ended with {status}:\n{text}");
        assert!(text.contains("1 passed"), "the child ran no test:\n{text}");
        text
    }

    /// How it ended, and what it printed.
    pub fn end(self) -> (ExitStatus, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.0.wait_with_output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
        (status, text)
    }
}

/// Tells figures to the parent, which reads them with [`figures`].
pub fn report(figures: &[f64]) {
    println!("{FIGURES} {figures:?}");
}

/// What a child told with [`report`], once.
pub fn figures(text: &str) -> Vec<f64> {
    let mut lines = text
        .lines()
        .filter_map(|line| Some(line.split_once(FIGURES)?.1));
    let line = lines.next().expect("the child tells its figures");
    assert_eq!(lines.next(), None, "figures are printed once");
    let list = line.trim().trim_matches(['[', ']']);
    list.split(", ")
        .map(|figure| figure.parse().unwrap())
        .collect()
}
