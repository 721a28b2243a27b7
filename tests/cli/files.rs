//! Files in, files out, without a service.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use heapwatch::Snapshot;

use crate::command::{finish, heapwatch, run};
use crate::folder::Folder;
use crate::service::{Service, example};

/// A snapshot of the example, fetched once for all tests.
pub fn sample() -> &'static [u8] {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let (service, folder) = (Service::start(&[]), Folder::new());
        std::thread::sleep(std::time::Duration::from_secs(3));
        let path = folder.path("sample.heap");
        run(["fetch", &service.url, "-o", path.to_str().unwrap()]).done();
        fs::read(path).unwrap()
    })
}

fn kept() -> (Folder, String) {
    let folder = Folder::new();
    let path = folder.write("a.heap", sample());
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn every_format_is_written_and_read_again() {
    let (folder, file) = kept();
    let table = run(["top", &file]).done();
    assert!(
        table
            .text()
            .starts_with("heap by site, most live bytes first")
    );
    assert!(
        !table.text().contains('…'),
        "a pipe has room for whole names"
    );
    let json = run(["top", &file, "--format=json", "-n", "3"])
        .done()
        .json();
    assert_eq!(json["rows"].as_array().unwrap().len(), 3);
    for by in ["site", "function", "crate", "type", "task"] {
        for sort in ["live", "allocated", "growth"] {
            let table = run(["top", &file, "--by", by, "--sort", sort]).done();
            assert!(
                table.text().contains(&format!("heap by {by}, ")),
                "{by} {sort}"
            );
        }
        run(["diff", &file, &file, "--by", by]).done();
    }

    let profile = folder.path("a.pb.gz");
    let target = profile.to_str().unwrap();
    run(["fetch", &file, "--format=pprof", "-o", target]).done();
    assert_eq!(
        run(["top", &file, "--format=pprof"]).done().stdout,
        fs::read(&profile).unwrap()
    );
    let total = |file: &str| {
        let json = run(["top", file, "--format=json"]).done().json();
        json["total"]["live_bytes"]["estimate"].as_i64().unwrap()
    };
    assert_eq!(
        total(target),
        total(&file),
        "a profile has the same numbers"
    );
    let native = folder.path("again.heap");
    run([
        "fetch",
        target,
        "--format=native",
        "-o",
        native.to_str().unwrap(),
    ])
    .done();
    assert_eq!(total(native.to_str().unwrap()), total(&file));
    let growth = run(["growth", target]);
    assert!(
        growth.refused().contains("another tool's profile"),
        "{}",
        growth.stderr
    );

    let svg = run(["flamegraph", &file]).done();
    assert!(svg.text().contains("<svg") && svg.text().contains("leaky_chat"));
    let folded = run(["flamegraph", &file, "--format=folded", "--sample=allocated"]).done();
    assert!(
        folded
            .text()
            .lines()
            .all(|line| line.rsplit_once(' ').is_some())
    );
    let both = run(["flamegraph", &file, "--format=folded", "--diff-from", &file]).done();
    assert_eq!(
        both.text(),
        run(["diff", &file, &file, "--format=folded"]).done().text()
    );
    assert!(
        run(["diff", &file, &file, "--format=svg"])
            .done()
            .text()
            .contains("<svg")
    );
    let nothing = run(["diff", &file, &file, "--fail-on-growth=0"]);
    assert_eq!((nothing.status, &*nothing.stderr), (Some(0), ""));
}

#[test]
fn standard_input_is_read() {
    let (_folder, file) = kept();
    let piped = finish(&mut heapwatch(["top", "-"]), sample()).done();
    assert_eq!(piped.text(), run(["top", &file]).done().text());
    finish(&mut heapwatch(["diff", "-", &file]), sample()).done();
    let both = finish(&mut heapwatch(["diff", "-", "-"]), sample());
    assert!(both.refused().contains("only one of the two"));
    let none = run(["top", "-"]);
    assert!(
        none.refused().contains("standard input: the file is empty"),
        "{}",
        none.stderr
    );
}

/// The program is known by its build id, and a snapshot stays one.
#[test]
fn names_are_taken_from_the_same_build_only() {
    let (folder, file) = kept();
    let symbolize = |program: &str, to: &PathBuf| {
        let to = to.to_str().unwrap();
        run(["symbolize", &file, "--debug-info", program, "-o", to])
    };
    let named = folder.path("named.heap");
    symbolize(example().to_str().unwrap(), &named).done();
    let top = |file: &str| run(["top", file]).done().text().to_owned();
    assert_eq!(top(named.to_str().unwrap()), top(&file));
    let other = symbolize(env!("CARGO_BIN_EXE_heapwatch"), &folder.path("other.heap"));
    assert!(
        other.refused().contains("its build id is"),
        "{}",
        other.stderr
    );
}

/// What was there stays whole, whatever happens; what is new is whole.
#[test]
fn files_are_never_overwritten_unasked() {
    let (folder, file) = kept();
    let fetch = |target: &PathBuf, force: &[&str]| {
        let mut command = heapwatch(["fetch", &file, "-o"]);
        finish(command.arg(target).args(force), &[])
    };
    let target = folder.path("b.heap");
    fetch(&target, &[]).done();
    assert_eq!(fs::read(&target).unwrap(), sample(), "kept byte for byte");
    assert_eq!(
        fs::metadata(&target).unwrap().permissions().mode() & 0o600,
        0o600
    );

    fs::write(&target, "mine").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
    let again = fetch(&target, &[]);
    assert!(
        again.refused().contains("replace it with --force"),
        "{}",
        again.stderr
    );
    assert_eq!(fs::read(&target).unwrap(), b"mine");
    fetch(&target, &["--force"]).done();
    assert_eq!(fs::read(&target).unwrap(), sample());
    let mode = fs::metadata(&target).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "what was private stays so");

    let link = folder.path("link.heap");
    symlink(&target, &link).unwrap();
    fs::write(&target, "mine").unwrap();
    fetch(&link, &["--force"]).done();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(
        fs::read(&target).unwrap(),
        sample(),
        "what the link points to"
    );

    let broken = folder.write("broken.heap", &sample()[..sample().len() / 2]);
    let mut command = heapwatch(["fetch"]);
    command.arg(&broken).args(["--force", "-o"]).arg(&target);
    assert!(finish(&mut command, &[]).refused().contains("cut off"));
    assert_eq!(
        fs::read(&target).unwrap(),
        sample(),
        "a bad answer replaces nothing"
    );

    assert!(
        fetch(&folder.path("none/a.heap"), &[])
            .refused()
            .contains("no such folder")
    );
    let folder_itself = folder.path(".");
    assert!(
        fetch(&folder_itself, &["--force"])
            .refused()
            .contains("not a file")
    );
    let device = PathBuf::from("/dev/null");
    assert!(
        fetch(&device, &["--force"])
            .refused()
            .contains("not a file")
    );
    assert_eq!(
        folder.files(),
        ["a.heap", "b.heap", "broken.heap", "link.heap"]
    );
}

#[test]
fn colours_are_for_terminals() {
    let (_folder, file) = kept();
    let plain = run(["top", &file]).done();
    assert!(!plain.text().contains('\x1b'));
    let mut command = heapwatch(["top", &file]);
    let forced = finish(command.env("CLICOLOR_FORCE", "1"), &[]).done();
    assert!(forced.text().contains("\x1b["), "{}", forced.text());
    let mut command = heapwatch(["top", &file]);
    let never = finish(command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"), &[]).done();
    assert_eq!(never.text(), plain.text());
}

/// `heapwatch top FILE | head -1`
#[test]
fn a_reader_that_has_gone_is_no_error() {
    let (_folder, file) = kept();
    for args in [
        ["top", "--format=json", "-n=10000"],
        ["flamegraph", "--format=folded", "--sample=live"],
    ] {
        let mut command = heapwatch(args);
        let mut child = command
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(!line.is_empty());
        assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), &b""[..]));
    }
}

#[test]
fn shells_and_manuals_know_every_command() {
    let page = run(["man"]).done();
    for command in ["top", "fetch", "diff", "growth", "check", "flamegraph"] {
        assert!(
            page.text()
                .contains(&format!("HEAPWATCH {}", command.to_uppercase()))
        );
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            assert!(
                run(["completions", shell]).done().text().contains(command),
                "{shell}"
            );
        }
    }
    for option in ["fail\\-on", "Exit status", "HEAPWATCH_TOKEN"] {
        assert!(
            page.text().contains(option),
            "{option} is not in {}",
            page.text()
        );
    }
}

/// What is misspelt is answered with what would be right, and status 2.
#[test]
fn wrong_arguments_are_refused() {
    let (_folder, file) = kept();
    for (args, said) in [
        (vec!["top"], "<SOURCE>"),
        (vec!["top", &file, "--by=module"], "site, function, crate"),
        (vec!["top", &file, "--sort=size"], "live, growth, allocated"),
        (vec!["top", &file, "--format=xml"], "text, json"),
        (vec!["top", &file, "-n", "-1"], "-1"),
        (vec!["diff", &file], "<TO>"),
        (vec!["diff", &file, &file, "--fail-on-growth=big"], "10MiB"),
        (
            vec!["check", "http://127.0.0.1:1", "--for=soon"],
            "60s, 5min or 1h",
        ),
        (
            vec!["check", "http://127.0.0.1:1", "--fail-on=bad"],
            "leaking, growing",
        ),
        (vec!["fetch", &file], "--output"),
        (vec!["top", "https://127.0.0.1/"], "plain http only"),
        (vec!["leaks", &file], "unrecognized subcommand"),
    ] {
        let run = run(&args);
        assert_eq!(run.status, Some(2), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn the_sample_is_what_the_library_reads() {
    let snapshot = Snapshot::read(sample()).unwrap();
    assert!(snapshot.info().error_bars && snapshot.live().bytes > 1e6);
}
