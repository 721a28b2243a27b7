//! A service that leaks, and the same service corrected.

use std::collections::HashSet;
use std::fs;
use std::thread::{self, sleep};
use std::time::Duration;

use crate::command::{finish, heapwatch, run, unread};
use crate::folder::Folder;
use crate::service::Service;

/// The line of `examples/leaky_chat.rs` that makes what is never removed.
const LEAK: &str = "leaky_chat::Session::new (examples/leaky_chat.rs:";

/// Caches are full and buffers have their size after this.
const WARM_UP: Duration = Duration::from_secs(8);
const WINDOW: Duration = Duration::from_secs(20);

/// The first row after the heading, with the line below it, where a place may have moved to.
fn first_row(table: &str) -> String {
    let heading = table.lines().position(|line| line.ends_with("call site"));
    let rows = table.lines().skip(heading.expect("a table") + 1);
    rows.take(2).collect()
}

/// Sites that a diff says have grown more than sampling explains.
fn grown(folder: &Folder, from: &str, to: &str) -> HashSet<String> {
    let (from, to) = (folder.path(from), folder.path(to));
    let args = ["diff", "--format=json", "-n=10000"].map(Into::into);
    let json = run(args.into_iter().chain([from, to])).done().json();
    let rows = json["rows"].as_array().unwrap().iter();
    let grown = rows.filter(|row| {
        row["significant"] == true && row["live_bytes_change"]["estimate"].as_i64().unwrap() > 0
    });
    grown
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

fn fetch(service: &Service, folder: &Folder, file: &str) {
    let path = folder.path(file);
    run(["fetch", &service.url, "-o", path.to_str().unwrap()]).done();
}

#[test]
fn a_leak_is_named_by_diff_and_check() {
    let (service, folder) = (Service::start(&[]), Folder::new());
    sleep(WARM_UP);
    fetch(&service, &folder, "a.heap");
    let check = run([
        "check",
        &service.url,
        "--for=20s",
        "--fail-on=leaking,1MiB/min",
    ]);
    fetch(&service, &folder, "b.heap");

    assert_eq!(check.status, Some(1), "{}", check.stderr);
    let text = check.text();
    assert!(text.starts_with("broken: leaking\n"), "{text}");
    assert!(text.contains(&format!("leaking: {LEAK}")), "{text}");
    assert!(
        text.contains("sampled objects older than"),
        "the evidence: {text}"
    );
    assert!(text.contains("broken: 1MiB/min"), "{text}");
    assert!(
        check.stderr.contains(" of 20 s: live "),
        "progress: {}",
        check.stderr
    );

    let (a, b) = (folder.path("a.heap"), folder.path("b.heap"));
    let diff = finish(
        heapwatch(["diff", "--fail-on-growth=1MiB"]).arg(&a).arg(&b),
        &[],
    );
    assert_eq!(diff.status, Some(1), "{}", diff.stderr);
    let row = first_row(diff.text());
    assert!(row.starts_with("*  "), "{row}");
    assert!(row.contains("ession::new"), "{row}");
    assert!(row.contains("(examples/leaky_chat.rs:"), "{row}");
    assert!(
        diff.stderr.contains(&format!("broken: {LEAK}")),
        "{}",
        diff.stderr
    );
    let diff = finish(
        heapwatch(["diff", "--fail-on-growth=4GiB"]).arg(&a).arg(&b),
        &[],
    );
    assert_eq!((diff.status, &*diff.stderr), (Some(0), ""));

    // Also if nobody reads the details.
    for format in ["text", "json"] {
        let mut diff = heapwatch(["diff", "--fail-on-growth=1MiB", "--format", format]);
        let diff = unread(diff.arg(&a).arg(&b));
        assert_eq!(diff.status, Some(1), "{}", diff.stderr);
        assert!(diff.stderr.contains(&format!("broken: {LEAK}")));
        let check = ["check", &service.url, "--for=1s", "--fail-on=leaking"];
        let check = unread(heapwatch(check).args(["--format", format]));
        assert_eq!(check.status, Some(1), "{}", check.stderr);
    }

    // What the service says of itself, a file of it says later.
    let growth = run(["growth", b.to_str().unwrap()]).done();
    assert!(
        growth.text().contains(&format!("leaking: {LEAK}")),
        "{}",
        growth.text()
    );
    let growth = run(["growth", &service.url, "--format=json"]).done().json();
    assert_eq!(growth["verdicts"][0]["verdict"], "leaking");
}

/// Of the rows called significant 5 % are expected to be wrong; so one window may accuse somebody,
/// but hardly two windows the same one.
#[test]
fn the_corrected_service_is_not_accused() {
    let (service, folder) = (Service::start(&["--fixed"]), Folder::new());
    sleep(WARM_UP);
    fetch(&service, &folder, "a.heap");
    sleep(WINDOW);
    fetch(&service, &folder, "b.heap");
    let check = run([
        "check",
        &service.url,
        "--for=20s",
        "--fail-on=growing,16MiB/min",
    ]);
    fetch(&service, &folder, "c.heap");

    assert_eq!(check.status, Some(0), "{}{}", check.text(), check.stderr);
    assert!(
        check
            .text()
            .starts_with("held: no call site leaks or grows"),
        "{}",
        check.text()
    );
    let (first, second) = (
        grown(&folder, "a.heap", "b.heap"),
        grown(&folder, "b.heap", "c.heap"),
    );
    assert_eq!(
        first.intersection(&second).count(),
        0,
        "{first:?} {second:?}"
    );
}

#[test]
fn a_token_is_sent() {
    let service = Service::with(&[], "127.0.0.1:0", &[("HEAPWATCH_TOKEN", "open-sesame")]);
    let without = run(["top", &service.url]);
    assert!(
        without
            .refused()
            .contains("give the token in HEAPWATCH_TOKEN")
    );
    let wrong = run(["top", &service.url, "--token=shut"]);
    assert!(
        wrong.refused().contains("the token is wrong"),
        "{}",
        wrong.stderr
    );
    run(["top", &service.url, "--token=open-sesame"]).done();
    let mut command = heapwatch(["growth", &service.url]);
    finish(command.env("HEAPWATCH_TOKEN", "open-sesame"), &[]).done();
    for bad in ["--token=a\nb", "--token="] {
        let bad = run(["top", &service.url, bad]);
        assert!(bad.refused().contains("give the token in HEAPWATCH_TOKEN"));
    }
    // A secret that is not there comes as an empty variable.
    let mut empty = heapwatch(["top", &service.url, "--token=open-sesame"]);
    finish(empty.env("HEAPWATCH_TOKEN", ""), &[]).done();
    let mut empty = heapwatch(["top", &service.url]);
    let none = finish(empty.env("HEAPWATCH_TOKEN", ""), &[]);
    assert!(
        none.refused().contains("the server answered 401"),
        "{}",
        none.stderr
    );
    let help = finish(
        heapwatch(["top", "--help"]).env("HEAPWATCH_TOKEN", "open-sesame"),
        &[],
    );
    assert!(!help.text().contains("sesame"), "help must not show it");
}

/// What was allocated while sampling was off is in no number: no command may pass over that.
#[test]
fn every_command_says_that_sampling_was_off() {
    // The service sets an interval itself, some time after its first allocation.
    let service = Service::with(&[], "127.0.0.1:0", &[("HEAPWATCH_INTERVAL", "0")]);
    let check = run(["check", &service.url, "--for=2s", "--fail-on=1GiB"]);
    assert_eq!(check.status, Some(0), "{}{}", check.text(), check.stderr);
    let text = check.text();
    assert!(text.starts_with("held: no growth beyond 1GiB"), "{text}");
    assert!(text.contains("but not all was sampled"), "{text}");
    for arguments in [
        vec!["top", &service.url],
        vec!["growth", &service.url],
        vec!["diff", &service.url, &service.url],
    ] {
        let told = run(&arguments).done();
        assert!(
            told.text().contains("\nsampling was off for a while"),
            "{arguments:?}: {}",
            told.text()
        );
    }
}

/// A limit that nothing can break yet, or that cannot be told to be broken, must not look held.
#[test]
fn a_check_that_cannot_tell_says_so() {
    let slow = Service::with(&[], "127.0.0.1:0", &[("HEAPWATCH_TICK", "5")]);
    let early = run(["check", &slow.url, "--for=1s"]);
    assert!(
        early.refused().contains("smaller HEAPWATCH_TICK than 5 s"),
        "{}",
        early.stderr
    );

    let addr = slow.addr().to_owned();
    let watched = thread::scope(|scope| {
        let check = scope.spawn(|| run(["check", &slow.url, "--for=8s", "--fail-on=1GiB"]));
        sleep(Duration::from_secs(1));
        check.join().unwrap()
    });
    assert_eq!(watched.status, Some(0), "{}", watched.stderr);
    let url = slow.url.clone();
    let check = thread::spawn(move || run(["check", &url, "--for=8s", "--fail-on=1GiB"]));
    sleep(Duration::from_secs(2));
    drop(slow);
    let again = Service::with(&[], &addr, &[]);
    let restarted = check.join().unwrap();
    let line = restarted.stderr.lines().last().unwrap_or_default();
    assert_eq!(restarted.status, Some(2), "{}", restarted.stderr);
    assert!(
        line.contains("was restarted while it was watched"),
        "{line}"
    );

    let url = again.url.clone();
    let check = thread::spawn(move || run(["check", &url, "--for=4s", "--fail-on=1GiB"]));
    sleep(Duration::from_secs(1));
    drop(again);
    let gone = check.join().unwrap();
    assert_eq!(gone.status, Some(2), "{}", gone.stderr);
    let line = gone.stderr.lines().last().unwrap_or_default();
    assert!(
        line.contains("at the end of the check: connection refused"),
        "{line}"
    );

    let off = Service::with(&[], "127.0.0.1:0", &[]);
    let file = Folder::new();
    fetch(&off, &file, "a.heap");
    let check = run(["check", file.path("a.heap").to_str().unwrap()]);
    assert!(
        check
            .refused()
            .contains("check needs the URL of an endpoint")
    );
    assert!(fs::metadata(file.path("a.heap")).unwrap().len() > 1_000);
}
