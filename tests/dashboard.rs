//! The board and the rules as they are shipped, in a real Prometheus that watches a service that leaks
//! and the same service corrected: every query must have an answer, and the alerts must call for
//! the one and be silent about the other.
//!
//! The rules look back for hours. They are run at a higher speed: [`faster`] divides every time in them
//! by [`SPEED`] and changes nothing else.
#![cfg(feature = "server")]

#[path = "common/http.rs"]
mod http;
#[path = "common/prometheus.rs"]
mod prometheus;
#[path = "common/service.rs"]
mod service;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prometheus::{Answer, Prometheus};
use serde_json::Value;
use service::Service;

/// An hour of the rules passes in ten seconds.
const SPEED: u32 = 360;

const JOB: &str = "chat";
const RULES: &str = "heapwatch.rules.yml";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Rules with every time divided by [`SPEED`]: durations (`[30m]`, `offset 2h`, `for: 10m`) and
/// seconds, which are written as multiples of 60 or 3600.
fn faster(rules: &str) -> String {
    let lines = rules.lines().map(|line| {
        let line = line.replace(" * 3600", &format!(" * {}", 3600.0 / f64::from(SPEED)));
        let line = line.replace(" * 60", &format!(" * {}", 60.0 / f64::from(SPEED)));
        line.split_inclusive([' ', '[', ']', ')'])
            .map(faster_word)
            .collect::<String>()
            + "\n"
    });
    lines.collect()
}

/// `30m]` → `5000ms]`; other words stay.
fn faster_word(word: &str) -> String {
    let time = word.trim_end_matches([' ', '[', ']', ')']);
    let seconds = match time.char_indices().last() {
        Some((_, 's')) => 1,
        Some((_, 'm')) => 60,
        Some((_, 'h')) => 3600,
        Some((_, 'd')) => 86_400,
        _ => return word.to_owned(),
    };
    let Ok(number) = time[..time.len() - 1].parse::<u32>() else {
        return word.to_owned();
    };
    let millis = 1000 * number * seconds / SPEED;
    format!("{millis}ms{}", &word[time.len()..])
}

#[test]
fn faster_rules_are_the_same_rules_but_for_their_times() {
    assert_eq!(faster("  for: 10m"), "  for: 1666ms\n");
    assert_eq!(
        faster("x:floor30m - min_over_time(y[30m]) offset 2h > 4 * 3600"),
        "x:floor30m - min_over_time(y[5000ms]) offset 20000ms > 4 * 10\n"
    );
    let rules = read(format!("prometheus/{RULES}"));
    let fast = faster(&rules);
    let changed = rules.lines().zip(fast.lines()).filter(|(a, b)| a != b);
    assert!(changed.count() >= 20, "{fast}");
    let leftover = fast.lines().filter(|line| !line.contains("summary"));
    let slow = leftover
        .flat_map(|line| line.split(['[', ']', ' ']))
        .filter(|word| {
            matches!(
                *word,
                "5m" | "10m" | "15m" | "30m" | "1h" | "2h" | "1d" | "3600"
            )
        });
    assert_eq!(slow.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// Every query of the board with its panel's title, its variables set.
fn panels(instances: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
    let board: Value = serde_json::from_str(&read("grafana/heapwatch.json")).unwrap();
    let panels = board["panels"].as_array().unwrap().iter();
    panels
        .filter(|panel| panel["type"] != "row")
        .map(|panel| {
            let targets = panel["targets"].as_array().unwrap();
            let text = |target: &Value, field: &str| target[field].as_str().unwrap().to_owned();
            let queries = targets.iter().map(|target| {
                text(target, "expr")
                    .replace("$job", JOB)
                    .replace("$instance", instances)
                    .replace("$__rate_interval", "4s")
            });
            let mut labels: Vec<String> = targets
                .iter()
                .flat_map(|target| labels_of(&text(target, "legendFormat")))
                .collect();
            if panel["type"] == "table" {
                labels = ["instance", "verdict", "function", "location"]
                    .map(str::to_owned)
                    .to_vec();
            }
            let title = panel["title"].as_str().unwrap().to_owned();
            (title, queries.collect(), labels)
        })
        .collect()
}

/// `{{instance}} {{task}}` → instance, task.
fn labels_of(legend: &str) -> Vec<String> {
    let parts = legend.split("{{").skip(1);
    parts
        .map(|part| part.split("}}").next().unwrap().to_owned())
        .collect()
}

/// Each operand of each alert's expression: those have a line of their own.
fn operands(rules: &str) -> Vec<String> {
    let mut operands = Vec::new();
    let mut inside = false;
    for line in rules.lines().map(str::trim) {
        if line == "expr: |-" {
            inside = true;
        } else if line.starts_with("for:") {
            inside = false;
        } else if inside {
            let line = ["and ", "or ", "unless ", "> ", "== "]
                .iter()
                .fold(line, |line, operator| {
                    line.strip_prefix(operator).unwrap_or(line)
                });
            operands.push(line.to_owned());
        }
    }
    operands
}

/// Each of `instances` must be among the answers, and each label must say something.
fn check(what: &str, query: &str, answers: &[Answer], labels: &[String], instances: &[String]) {
    let from: BTreeSet<&str> = answers.iter().map(|one| one.label("instance")).collect();
    for instance in instances {
        assert!(
            from.contains(instance.as_str()),
            "{what}: nothing of {instance} in {query}: {answers:?}"
        );
    }
    let job = |answer: &Answer| answer.label("job") == JOB;
    assert!(answers.iter().all(job), "{what}: {answers:?}");
    for label in labels {
        let some = answers.iter().any(|answer| !answer.label(label).is_empty());
        assert!(some, "{what}: no {label} in {query}: {answers:?}");
    }
    let number = |answer: &Answer| answer.value.is_finite();
    assert!(answers.iter().any(number), "{what}: {query}: {answers:?}");
}

fn configuration(instances: &[String]) -> String {
    format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 250ms}}\n\
         rule_files: [{RULES}]\n\
         scrape_configs:\n- {{job_name: {JOB}, static_configs: [{{targets: {instances:?}}}]}}\n"
    )
}

/// Names of the alerts that call for an instance.
fn firing(prometheus: &Prometheus, instance: &str) -> BTreeSet<String> {
    let query = format!("ALERTS{{alertstate='firing',instance='{instance}'}}");
    let alerts = prometheus.query(&query);
    let name = |alert: &Answer| alert.label("alertname").to_owned();
    alerts.iter().map(name).collect()
}

#[test]
#[ignore = "needs prometheus"]
fn every_query_has_an_answer_and_only_the_leaking_service_calls() {
    let services = [Service::start(&[]), Service::start(&["--fixed"])];
    let instances = services.each_ref().map(|service| service.addr().to_owned());
    let [leaking, fixed] = &instances;
    let rules = faster(&read(format!("prometheus/{RULES}")));
    let prometheus = Prometheus::start(&[
        ("prometheus.yml", &configuration(&instances)),
        (RULES, &rules),
    ]);

    let begun = Instant::now();
    for name in ["HeapwatchSiteLeaking", "HeapwatchHeapGrowing"] {
        while !firing(&prometheus, leaking).contains(name) {
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(120), "{name} does not call");
            std::thread::sleep(Duration::from_millis(250));
        }
        println!("{name} calls after {:?}", begun.elapsed());
    }
    let calls = firing(&prometheus, fixed);
    assert_eq!(calls, BTreeSet::new(), "the corrected service");
    let query = format!("ALERTS{{alertname='HeapwatchSiteLeaking',instance='{leaking}'}}");
    let alerts = prometheus.query(&query);
    let names = |alert: &Answer| alert.label("function").contains("leaky_chat::");
    assert!(alerts.iter().any(names), "{alerts:?}");

    let mut asked = 0;
    for (title, queries, labels) in panels(&instances.join("|")) {
        for query in queries {
            let answers = prometheus.query(&query);
            check(&title, &query, &answers, &labels, &instances);
            asked += 1;
        }
    }
    for operand in operands(&rules) {
        if operand.parse::<f64>().is_ok() || !operand.contains(char::is_alphabetic) {
            continue;
        }
        let of: &[String] = if operand.contains("leaking") {
            &instances[..1]
        } else {
            &instances
        };
        let answers = prometheus.query(&operand);
        check("an alert", &operand, &answers, &[], of);
        asked += 1;
    }
    let groups = prometheus.get("/api/v1/rules?type=record").unwrap();
    for group in groups["data"]["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["name"].as_str().unwrap();
            let of: &[String] = match name.contains("leaking") {
                true => &instances[..1],
                false => &instances,
            };
            check(name, name, &prometheus.query(name), &[], of);
            asked += 1;
        }
    }
    assert!(asked > 70, "{asked} queries only");
    println!("{asked} queries have an answer");
}
