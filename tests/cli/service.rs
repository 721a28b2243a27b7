//! The example as a service that is asked.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub struct Service {
    child: Child,
    /// With `/` at its end.
    pub url: String,
}

impl Service {
    /// Under load until it is dropped.
    pub fn start(flags: &[&str]) -> Service {
        Service::with(flags, "127.0.0.1:0", &[])
    }

    pub fn with(flags: &[&str], addr: &str, variables: &[(&str, &str)]) -> Service {
        let mut child = Command::new(example())
            .args(["--keep-load", "--seconds", "600", "--addr", addr])
            .args(flags)
            .env_remove("HEAPWATCH_TOKEN")
            .env_remove("HEAPWATCH_TICK")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the example is built with the tests");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .map(|line| line.unwrap())
            .find_map(|line| Some(line.strip_prefix("heapwatch: ")?.to_owned()));
        Service {
            child,
            url: url.expect("the example says where its endpoint is"),
        }
    }

    /// `127.0.0.1:6790`
    pub fn addr(&self) -> &str {
        let (_, rest) = self.url.split_once("://").unwrap();
        rest.trim_end_matches('/')
    }
}

fn example() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test has a path");
    path.pop();
    path.pop();
    path.join("examples").join("leaky_chat")
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
