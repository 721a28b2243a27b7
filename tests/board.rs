//! What is shipped for Prometheus and Grafana, read as files: whole, in order, and pointing at each
//! other. `tests/dashboard.rs` asks every query of a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn board() -> Value {
    serde_json::from_str(&read("grafana/heapwatch.json")).expect("JSON")
}

fn panels(board: &Value) -> Vec<&Value> {
    board["panels"].as_array().expect("panels").iter().collect()
}

/// All but the headings.
fn drawn(board: &Value) -> Vec<&Value> {
    let mut panels = panels(board);
    panels.retain(|panel| panel["type"] != "row");
    panels
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// Grafana replaces a panel whose id another has, and draws panels over each other that overlap.
#[test]
fn panels_have_ids_and_places_of_their_own() {
    let board = board();
    let ids: BTreeSet<u64> = panels(&board)
        .iter()
        .map(|panel| panel["id"].as_u64().expect("an id"))
        .collect();
    assert_eq!(ids.len(), panels(&board).len());
    let mut taken = BTreeMap::new();
    for panel in panels(&board) {
        let of = |field: &str| panel["gridPos"][field].as_u64().expect("a place");
        let (x, y, w, h) = (of("x"), of("y"), of("w"), of("h"));
        assert!(x + w <= 24, "{} is too wide", panel["title"]);
        for cell in (y..y + h).flat_map(|row| (x..x + w).map(move |column| (row, column))) {
            let before = taken.insert(cell, text(panel, "title").to_owned());
            assert_eq!(before, None, "below {}", panel["title"]);
        }
    }
}

/// A number without a unit, or a line of which nobody knows whose it is, misleads at 3 a.m.
#[test]
fn every_panel_says_what_it_shows_and_of_which_instance() {
    let board = board();
    for panel in drawn(&board) {
        let title = text(panel, "title");
        assert!(
            text(panel, "description").len() > 30,
            "{title}: description"
        );
        let unit = text(&panel["fieldConfig"]["defaults"], "unit");
        assert!(!unit.is_empty(), "{title}: unit");
        assert_eq!(
            text(&panel["datasource"], "uid"),
            "${datasource}",
            "{title}"
        );
        let targets = panel["targets"].as_array().expect("queries");
        let mut refs = BTreeSet::new();
        for target in targets {
            assert!(refs.insert(text(target, "refId")), "{title}: refId");
            assert_eq!(
                text(&target["datasource"], "uid"),
                "${datasource}",
                "{title}"
            );
            let query = text(target, "expr");
            let selectors = query
                .matches(r#"{job=~"$job",instance=~"$instance""#)
                .count();
            assert!(selectors > 0, "{title}: {query}");
            assert_eq!(query.matches('{').count(), selectors, "{title}: {query}");
            for grouping in query.split(" by (").skip(1) {
                assert!(grouping.starts_with("job, instance"), "{title}: {query}");
            }
            let table = text(target, "format") == "table";
            let legend = text(target, "legendFormat");
            assert!(
                table || legend.starts_with("{{instance}}"),
                "{title}: legend"
            );
        }
    }
}

#[test]
fn variables_choose_the_source_the_jobs_and_the_instances() {
    let board = board();
    let variables = board["templating"]["list"].as_array().expect("variables");
    let names: Vec<&str> = variables.iter().map(|one| text(one, "name")).collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
    assert_eq!(text(&variables[0], "type"), "datasource");
    for variable in &variables[1..] {
        assert_eq!(variable["multi"], true);
        assert_eq!(variable["includeAll"], true);
        assert!(text(variable, "definition").starts_with("label_values(heapwatch_live_bytes"));
    }
    assert_eq!(text(&board, "uid"), "heapwatch", "the guide links to it");
    assert!(
        board["id"].is_null(),
        "an id is the importing Grafana's to give"
    );
}

/// What a Go service's board shows, and what only heapwatch knows.
#[test]
fn the_board_shows_what_its_readers_expect() {
    let text = read("grafana/heapwatch.json");
    for metric in [
        // reserved, stack, heap
        "jemalloc_mapped_bytes",
        "jemalloc_retained_bytes",
        "heapwatch_live_task_bytes",
        "heapwatch_live_bytes",
        // allocation rate, object rate, live objects
        "rate(heapwatch_allocated_bytes_total",
        "rate(heapwatch_allocated_objects_total",
        "heapwatch_live_objects",
        // goroutines
        "heapwatch_live_tasks",
        "process_threads",
        // ours
        "jemalloc_allocated_bytes",
        "jemalloc_active_bytes",
        "jemalloc_resident_bytes",
        "process_resident_memory_bytes",
        "heapwatch_memory_limit_bytes",
        "heapwatch_site_live_bytes",
        "heapwatch_site_growth_bytes_per_second",
        "heapwatch_sites",
        "heapwatch_lifetime_seconds_bucket",
        "heapwatch_self_bytes",
        "heapwatch_self_cpu_seconds_total",
        "heapwatch_samples_dropped_total",
    ] {
        assert!(text.contains(metric), "{metric}");
    }
}

/// An alert without a test for silence is one that calls at every deploy.
#[test]
fn every_alert_has_tests_for_firing_and_for_silence() {
    let rules = read("prometheus/heapwatch.rules.yml");
    let files = std::fs::read_dir(path("prometheus/tests")).expect("tests");
    let tests: String = files
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text"))
        .collect();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 6, "{alerts:?}");
    for alert in alerts {
        let fires = tests
            .split("alertname: ")
            .any(|case| case.starts_with(alert) && case.contains("exp_alerts"));
        assert!(fires, "{alert}: no test that it fires");
        let silent = tests.contains(&format!("{{ alertname: {alert}, "));
        assert!(silent, "{alert}: no test that it is silent");
    }
}

#[test]
#[ignore = "needs promtool"]
fn the_rules_pass_their_tests() {
    let tests = std::fs::read_dir(path("prometheus/tests")).expect("tests");
    let tests = tests.map(|file| file.expect("a file").path());
    let run = |arguments: &mut Command| {
        let output = arguments.output().expect("promtool is installed");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(
            output.status.success() && !text.contains("FAILED"),
            "{text}"
        );
    };
    run(Command::new("promtool")
        .args(["check", "config"])
        .arg(path("prometheus/prometheus.yml")));
    run(Command::new("promtool").args(["test", "rules"]).args(tests));
}

/// A mount of what is not there becomes an empty directory, and a container without its configuration.
#[test]
fn what_the_containers_mount_is_there() {
    let compose = read("compose.yaml");
    let mounts: Vec<(&str, &str)> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./")?.split_once(':'))
        .collect();
    assert_eq!(mounts.len(), 3, "{mounts:?}");
    for (host, _) in &mounts {
        assert!(path(host).exists(), "{host}");
    }
    let provider = read("grafana/provisioning/dashboards/heapwatch.yaml");
    let directory = provider
        .lines()
        .find_map(|line| line.trim().strip_prefix("path: "));
    let board = format!("{}/heapwatch.json:ro", directory.expect("a path"));
    assert!(
        mounts.contains(&("grafana/heapwatch.json", &board)),
        "{mounts:?}"
    );
    let config = "--config.file=/etc/prometheus/prometheus.yml";
    assert!(compose.contains(config) && mounts.contains(&("prometheus", "/etc/prometheus:ro")));
    let source = read("grafana/provisioning/datasources/prometheus.yaml");
    let port = ":9090";
    assert!(
        source.contains(port) && compose.contains(&format!("--web.listen-address=127.0.0.1{port}"))
    );
    let settings = read("prometheus/prometheus.yml");
    assert!(settings.contains("scrape_interval: 15s") && source.contains("timeInterval: 15s"));
}
