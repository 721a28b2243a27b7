//! The example service under its own load.
#![allow(dead_code, unreachable_pub)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running `leaky_chat`; it ends when this is dropped.
pub struct LeakyChat {
    process: Child,
    /// Of its endpoint.
    pub addr: SocketAddr,
}

/// The example, which cargo builds with the tests.
pub fn example() -> PathBuf {
    let mut path = std::env::current_exe().expect("this test has a path");
    path.pop();
    path.pop();
    path.join("examples").join("leaky_chat")
}

impl LeakyChat {
    /// Starts it with a load of ten minutes.
    pub fn start(flags: &[&str]) -> LeakyChat {
        let mut process = Command::new(example())
            .args(["--seconds", "600", "--addr", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the example is built with the tests");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let addr = lines.find_map(|line| {
            let line = line.unwrap();
            let url = line.strip_prefix("heapwatch: http://")?;
            Some(url.trim_end_matches('/').parse().unwrap())
        });
        LeakyChat {
            process,
            addr: addr.expect("it says where it listens"),
        }
    }
}

impl Drop for LeakyChat {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
