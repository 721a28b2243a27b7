//! The example service under its own load.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running `leaky_chat`; it ends when this is dropped.
pub struct Service {
    process: Child,
    /// Of its endpoint, with `/` at its end.
    pub url: String,
}

/// The example, as cargo last built it: with all tests it does, with `--test NAME` alone it does not.
pub fn example() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test has a path");
    path.pop();
    path.pop();
    path.join("examples").join("leaky_chat")
}

impl Service {
    /// Starts it with a load of ten minutes.
    pub fn start(flags: &[&str]) -> Service {
        Service::with(flags, "127.0.0.1:0", &[])
    }

    /// The same with its endpoint at this address, and these environment variables.
    pub fn with(flags: &[&str], addr: &str, variables: &[(&str, &str)]) -> Service {
        let mut process = Command::new(example())
            .args(["--seconds", "600", "--addr", addr])
            .args(flags)
            .env_remove("HEAPWATCH_TOKEN")
            .env_remove("HEAPWATCH_TICK")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the example is built with the tests");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| Some(line.ok()?.strip_prefix("heapwatch: ")?.to_owned()));
        Service {
            process,
            url: url.expect("it says where it listens"),
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `127.0.0.1:6790`
    pub fn addr(&self) -> &str {
        let (_, rest) = self.url.split_once("://").unwrap();
        rest.trim_end_matches('/')
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
