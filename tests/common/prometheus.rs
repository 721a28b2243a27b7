//! A real Prometheus on loopback.
#![allow(dead_code, unreachable_pub)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http;

/// A server in a directory of its own; both go when this is dropped.
pub struct Prometheus {
    process: Child,
    directory: PathBuf,
    addr: SocketAddr,
}

/// One series of an instant query's answer.
#[derive(Debug)]
pub struct Answer {
    metric: Value,
    pub value: f64,
}

impl Answer {
    /// A label's value; empty if there is no such label.
    pub fn label(&self, name: &str) -> &str {
        self.metric[name].as_str().unwrap_or_default()
    }
}

impl Prometheus {
    /// Starts with these files beside each other, of which `prometheus.yml` is the configuration, and
    /// waits until it answers.
    pub fn start(files: &[(&str, &str)]) -> Prometheus {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let directory = std::env::temp_dir().join(format!("heapwatch-prometheus-{}", addr.port()));
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in files {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let process = Command::new("prometheus")
            .current_dir(&directory)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={addr}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed");
        let prometheus = Prometheus {
            process,
            directory,
            addr,
        };
        let begun = Instant::now();
        while prometheus.get("/api/v1/status/buildinfo").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(30), "no Prometheus");
            std::thread::sleep(Duration::from_millis(100));
        }
        prometheus
    }

    /// What a query answers now; a query that is none is the test's failure.
    pub fn query(&self, query: &str) -> Vec<Answer> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let body = self.get(&format!("/api/v1/query?query={encoded}"));
        let body = body.expect("an answer");
        assert_eq!(body["status"], "success", "{query}: {body}");
        let results = body["data"]["result"].as_array().unwrap();
        let answer = |result: &Value| Answer {
            metric: result["metric"].clone(),
            value: result["value"][1].as_str().unwrap().parse().unwrap(),
        };
        results.iter().map(answer).collect()
    }

    /// What a path of its interface answers; none before it listens.
    pub fn get(&self, target: &str) -> Option<Value> {
        TcpStream::connect(self.addr).ok()?;
        let request = format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        serde_json::from_slice(&http::ask(self.addr, &request).body).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
