//! A real Prometheus.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::time::{Duration, Instant};

use super::Server;
use super::test_client::server;

/// Answers one request at a time on a port of its own with what `server` answers to it without
/// `Accept`, as an older scraper would ask.
fn without_accept(server: &Server) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, endpoint) = (listener.local_addr().unwrap(), server.local_addr());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if client.read_exact(&mut byte).is_err() {
                    break;
                }
                head.push(byte[0]);
            }
            let mut endpoint = Client::connect(endpoint).unwrap();
            let ask = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            endpoint.write_all(ask).unwrap();
            let _ = std::io::copy(&mut endpoint, &mut client);
        }
    });
    addr
}

struct Prometheus {
    process: std::process::Child,
    directory: std::path::PathBuf,
    addr: SocketAddr,
}

impl Prometheus {
    fn start(open: SocketAddr, classic: SocketAddr) -> Prometheus {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let directory = std::env::temp_dir().join(format!("heapwatch-prometheus-{}", addr.port()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
             - {{job_name: open, static_configs: [{{targets: ['{open}']}}]}}\n\
             - {{job_name: classic, static_configs: [{{targets: ['{classic}']}}]}}\n"
        );
        std::fs::write(directory.join("prometheus.yml"), config).unwrap();
        let process = std::process::Command::new("prometheus")
            .current_dir(&directory)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={addr}"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("prometheus is installed");
        Prometheus {
            process,
            directory,
            addr,
        }
    }

    /// The values that a query answers, by job.
    fn query(&self, query: &str) -> Vec<(String, f64)> {
        let Ok(mut client) = Client::connect(self.addr) else {
            return Vec::new();
        };
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let ask = format!("GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        client.write_all(ask.as_bytes()).unwrap();
        client.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let Ok(body) = serde_json::from_str::<serde_json::Value>(body) else {
            return Vec::new();
        };
        let results = body["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let value = |result: &serde_json::Value| {
            let job = result["metric"]["job"].as_str().unwrap().to_string();
            (job, result["value"][1].as_str().unwrap().parse().unwrap())
        };
        let mut values: Vec<(String, f64)> = results.iter().map(value).collect();
        values.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        values
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
#[ignore = "needs prometheus"]
fn prometheus_scrapes_both_forms() {
    let server = server();
    let prometheus = Prometheus::start(server.local_addr(), without_accept(&server));
    let both = |value: f64| vec![("classic".to_string(), value), ("open".to_string(), value)];
    let begun = Instant::now();
    while prometheus.query("up") != both(1.0) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            prometheus.query("up")
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(prometheus.query("heapwatch_live_bytes"), both(150.0));
    assert_eq!(
        prometheus.query("heapwatch_allocated_bytes_total"),
        both(300.0)
    );
    let top = prometheus.query("topk(3, heapwatch_site_live_bytes) by (job)");
    let values: Vec<f64> = top.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, [100.0, 50.0, 0.0, 100.0, 50.0, 0.0]);
}
