//! Runs the binary.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

/// What a run came to.
pub struct Run {
    /// None if a signal ended it.
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// The most memory that it had at once.
    pub peak_mib: i64,
}

impl Run {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("text")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).expect("JSON")
    }

    /// It did what it should.
    pub fn done(self) -> Run {
        assert_eq!(self.status, Some(0), "{}", self.stderr);
        self
    }

    /// The one line of a run that could not do what it should.
    pub fn refused(&self) -> &str {
        assert_eq!(self.status, Some(2), "{}", self.stderr);
        assert!(self.stdout.is_empty(), "nothing half done is written");
        let line = self.stderr.strip_suffix('\n').expect("a line");
        assert!(line.starts_with("error: ") && line.len() < 500, "{line}");
        assert!(!line.contains('\n'), "one line: {line}");
        line
    }
}

/// The binary, with an environment of its own.
pub fn heapwatch(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heapwatch"));
    command.args(args).stdin(Stdio::null());
    for variable in ["HEAPWATCH_TOKEN", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        command.env_remove(variable);
    }
    command
}

pub fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
    finish(&mut heapwatch(args), &[])
}

/// Runs to the end, with these bytes on standard input.
pub fn finish(command: &mut Command, input: &[u8]) -> Run {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is built with its test");
    let stdin = child.stdin.take();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (stdout, stderr) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // It may end before it has read all.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let stdout = scope.spawn(move || read(&mut out));
        (stdout.join().unwrap(), read(&mut err))
    });
    let (status, stderr) = (stdout, stderr);
    let (ended, peak_mib) = wait(child);
    Run {
        status: ended.code(),
        stdout: status,
        stderr: String::from_utf8(stderr).expect("text"),
        peak_mib,
    }
}

/// Runs to the end, with a standard output that nobody reads.
pub fn unread(command: &mut Command) -> Run {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = command.stdout(writer).stderr(Stdio::piped());
    let ended = ended.spawn().unwrap().wait_with_output().unwrap();
    Run {
        status: ended.status.code(),
        stdout: Vec::new(),
        stderr: String::from_utf8(ended.stderr).expect("text"),
        peak_mib: 0,
    }
}

fn read(from: &mut impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Waits for the end, and tells the most memory that the child had.
fn wait(child: Child) -> (ExitStatus, i64) {
    let (mut status, pid) = (0, child.id().cast_signed());
    // SAFETY: an rusage is plain numbers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both point to live values, and nobody else waits for this child.
    let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    assert_eq!(ended, pid);
    (ExitStatus::from_raw(status), usage.ru_maxrss >> 10)
}
