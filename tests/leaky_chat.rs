//! The example as its readers run it: both leaks are named, and nobody is accused in the corrected service.
#![cfg(feature = "server")]

#[path = "common/service.rs"]
mod service;

use std::process::{Command, Stdio};

use service::example;

/// What the example says after 20 s of load: the diff, and the verdicts.
fn run(flags: &[&str]) -> (String, String) {
    let output = Command::new(example())
        .args(["--once", "--seconds", "20", "--addr", "127.0.0.1:0"])
        .args(flags)
        .stderr(Stdio::null())
        .output()
        .expect("the example is built with the tests");
    assert!(output.status.success(), "{flags:?}: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("text");
    let (_, text) = text.split_once("heap diff by function").expect("a diff");
    let (diff, growth) = text.split_once("heap growth").expect("verdicts");
    (diff.to_owned(), growth.to_owned())
}

fn lines<'t>(text: &'t str, verdict: &str) -> Vec<&'t str> {
    let start = format!("{verdict}: ");
    text.lines()
        .filter(|line| line.starts_with(&start))
        .collect()
}

#[test]
#[ignore = "runs the example for 20 s"]
fn the_leaks_are_named_and_the_rest_is_not_accused() {
    let (diff, text) = run(&[]);
    // The first row is significant growth of the session map; the tasks' row is marked as well.
    let marked: Vec<&str> = diff.lines().filter(|line| line.starts_with("* ")).collect();
    assert!(marked[0].contains("leaky_chat::Session::new"), "{diff}");
    assert!(diff.contains("(examples/leaky_chat.rs:"), "{diff}");
    assert!(marked.iter().any(|row| row.contains("task")), "{diff}");
    let leaking = lines(&text, "leaking");
    assert!(
        leaking.iter().any(|line| line.contains("leaky_chat.rs:")),
        "the session map: {text}"
    );
    // A debug build boxes a future of this size, so it is the type there and the task in a release.
    assert!(text.contains("leaky_chat::watch_presence"), "{text}");
    let accused = [leaking, lines(&text, "growing")].concat();
    for innocent in ["rooms.rs", "previews.rs", "server.rs"] {
        let wrong = accused.iter().any(|line| line.contains(innocent));
        assert!(!wrong, "{innocent} is accused: {text}");
    }
    // The cache is full after 2 s, and pages of history come and go.
    let says = |verdict, file: &str| lines(&text, verdict).iter().any(|line| line.contains(file));
    assert!(says("plateaued", "leaky_chat::previews::render"), "{text}");
    assert!(says("stable", "rooms.rs"), "{text}");
    assert!(!text.contains("leaky_chat::leaky_chat"), "{text}");
}

#[test]
#[ignore = "runs the example for 20 s"]
fn the_corrected_service_is_not_accused() {
    let (_, text) = run(&["--fixed"]);
    assert!(
        text.contains("verdict: no call site leaks or grows"),
        "{text}"
    );
}
