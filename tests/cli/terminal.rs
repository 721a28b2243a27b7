//! The full screen in a real terminal, tmux's: what is on it before and after each key, and what is
//! left when it ends.

use std::process::{self, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::service::Service;

const PATIENCE: Duration = Duration::from_secs(30);

/// A tmux server of this test's own, with one window that runs a shell.
struct Terminal(String);

impl Terminal {
    /// Wide enough that no row of the example's is cut at its end.
    fn open(test: &str) -> Terminal {
        let terminal = Terminal(format!("heapwatch-{test}-{}", process::id()));
        terminal.tmux(&["new-session", "-d", "-x", "300", "-y", "40", "sh"]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.0, "-f", "/dev/null"])
            .args(arguments)
            .output();
        let Output { status, stdout, .. } = output.expect("this test needs tmux");
        assert!(status.success(), "tmux {arguments:?}: {status}");
        String::from_utf8(stdout).unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn type_line(&self, line: &str) {
        self.press(&["-l", line]);
        self.press(&["Enter"]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "no {what} on\n{screen}");
            sleep(Duration::from_millis(100));
        }
    }

    fn until_has(&self, words: &str) -> String {
        self.until(words, |screen| screen.contains(words))
    }

    fn watch(&self, service: &Service) {
        let program = env!("CARGO_BIN_EXE_heapwatch");
        self.type_line(&format!(
            "clear; {program} watch --every 500ms {}",
            service.url
        ));
        self.until_has("rows by live bytes");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.0, "kill-server"])
            .output();
    }
}

/// The rows of the table, without its heading.
fn rows(screen: &str) -> Vec<&str> {
    let table = screen.lines().skip_while(|line| !line.contains("rows by"));
    table.skip(2).filter(|line| line.contains("iB")).collect()
}

fn settings(terminal: &Terminal, name: &str) -> String {
    let mark = format!("settings {name}:");
    terminal.type_line(&format!("clear; echo '{mark}' $(stty -g)"));
    let screen = terminal.until("settings", |screen| {
        screen.lines().any(|line| line.starts_with(&mark))
    });
    let line = screen.lines().find(|line| line.starts_with(&mark)).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[test]
#[ignore = "needs tmux"]
fn rows_are_ordered_found_and_compared_with_a_mark() {
    let service = Service::with(&[], "127.0.0.1:0", &[("HEAPWATCH_TICK", "0.5")]);
    sleep(Duration::from_secs(5));
    let terminal = Terminal::open("keys");
    terminal.watch(&service);
    let before = terminal.until_has("Session::new (examples/leaky_chat.rs");
    assert!(rows(&before)[0].contains("leaky_chat"), "{before}");

    terminal.press(&["s"]);
    let ordered = terminal.until_has("rows by live objects");
    assert_ne!(rows(&before)[0], rows(&ordered)[0], "{ordered}");

    terminal.press(&["/"]);
    terminal.press(&["-l", "previews::render"]);
    terminal.press(&["Enter"]);
    let found = terminal.until_has("with “previews::render”");
    assert!(!rows(&found).is_empty(), "{found}");
    assert!(
        rows(&found)
            .iter()
            .all(|row| row.contains("previews::render")),
        "{found}"
    );
    terminal.press(&["Escape"]);
    terminal.until("all rows", |screen| !screen.contains("with “"));

    terminal.press(&["m"]);
    terminal.until_has("change since the mark");
    let grown = terminal.until("growth of the leak", |screen| {
        rows(screen)
            .first()
            .is_some_and(|row| row.contains("Session::new") && row.contains(" +"))
    });
    assert!(grown.contains("rows by change since the mark"), "{grown}");

    terminal.press(&["Home"]);
    terminal.press(&["Enter"]);
    let stack = terminal.until_has("innermost first");
    assert!(stack.contains("leaky_chat::Session::new"), "{stack}");
}

#[test]
#[ignore = "needs tmux"]
fn a_restart_is_told_and_survived() {
    let service = Service::start(&[]);
    let addr = service.addr().to_owned();
    let terminal = Terminal::open("restart");
    terminal.watch(&service);
    drop(service);
    terminal.until_has("connection refused");
    let service = Service::with(&[], &addr, &[]);
    terminal.until_has("the service restarted");
    drop(service);
    terminal.until_has("no answer for");
}

/// What is wider than the terminal is torn by it, and its columns cannot be read.
#[test]
#[ignore = "needs tmux"]
fn tables_are_as_wide_as_the_terminal() {
    let service = Service::start(&[]);
    sleep(Duration::from_secs(3));
    let terminal = Terminal::open("width");
    for width in [100, 80, 40] {
        terminal.tmux(&["resize-window", "-x", &width.to_string(), "-y", "60"]);
        let program = env!("CARGO_BIN_EXE_heapwatch");
        terminal.type_line(&format!(
            // tmux tells the terminal of its size when it finds the time.
            "until stty size | grep -q ' {width}$'; do sleep 0.1; done; clear; {program} top -n 5 {}; \
             echo e''nd of {width}",
            service.url
        ));
        // Not the end of the table before, which is still there until the shell has read the line.
        let end = format!("end of {width}");
        terminal.until("all of the table", |screen| {
            screen.lines().any(|line| line == end)
        });
        let joined = terminal.tmux(&["capture-pane", "-p", "-J"]);
        let table = joined
            .lines()
            .skip_while(|line| !line.starts_with("heap by site"));
        for line in table.take_while(|line| line.trim_end() != end) {
            let length = line.trim_end().chars().count();
            assert!(length <= width, "{length} of {width}: {line}");
        }
    }
}

/// However it ends, the terminal is as it was: echo, line mode, the screen's content.
#[test]
#[ignore = "needs tmux"]
fn the_terminal_is_left_as_it_was() {
    let service = Service::start(&[]);
    let terminal = Terminal::open("end");
    let before = settings(&terminal, "before");
    for (name, end) in [("q", "q"), ("control-c", "C-c"), ("term", "")] {
        terminal.watch(&service);
        terminal.tmux(&["resize-window", "-x", "70", "-y", "16"]);
        terminal.until("a redrawn screen", |screen| {
            screen.contains("rows by") && !screen.contains(" ago ")
        });
        if end.is_empty() {
            let pattern = format!("heapwatch watch .*{}", service.addr());
            let killed = Command::new("pkill")
                .args(["-TERM", "-f", &pattern])
                .status();
            assert!(killed.unwrap().success());
        } else {
            terminal.press(&[end]);
        }
        terminal.until("the shell", |screen| !screen.contains("rows by"));
        terminal.tmux(&["resize-window", "-x", "300", "-y", "40"]);
        assert_eq!(settings(&terminal, name), before, "after {name}");
    }
}

/// Whether a process whose command line has these words is there.
fn runs(words: &str) -> bool {
    let found = Command::new("pgrep").args(["-f", words]).output();
    found.expect("this test needs pgrep").status.success()
}

/// A window that is closed must not leave a process behind that nobody sees and that never ends.
#[test]
#[ignore = "needs tmux"]
fn it_ends_with_its_terminal() {
    let service = Service::start(&[]);
    let terminal = Terminal::open("closed");
    terminal.watch(&service);
    let words = format!("heapwatch watch .*{}", service.addr());
    assert!(runs(&words));
    drop(terminal);
    let begun = Instant::now();
    while runs(&words) {
        assert!(begun.elapsed() < PATIENCE, "it goes on without a terminal");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn without_a_terminal_there_is_one_clear_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_heapwatch"))
        .args(["watch", "http://127.0.0.1:1/"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("needs a terminal"), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
}
