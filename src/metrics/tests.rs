use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::metrics::fixture;

fn collector(live_bytes: Vec<f64>) -> Arc<Collector> {
    Arc::new(Collector::over(Arc::new(move || {
        Ok(fixture::snapshot(&live_bytes))
    })))
}

/// The value of a sample, which starts a line.
fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample));
    let value = line.unwrap_or_else(|| panic!("no {sample} in\n{text}"));
    value.trim().parse().unwrap()
}

#[derive(Debug)]
struct Fixed(Vec<Family>);

impl prometheus_client::collector::Collector for Fixed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|family| family.encode(&mut encoder))
    }
}

/// Families of a snapshot whose one site has a name that needs escaping, as text.
fn awkward(form: Exposition) -> String {
    let series = SiteSeries {
        site: "00000000000000aa".into(),
        function: "a<\"quoted\", b'\\'>::\nf".into(),
        location: "C:\\src\\lib.rs:7".into(),
        live_bytes: 5.0,
    };
    let mut registry = Registry::default();
    let families = families::heap(&fixture::snapshot(&[5.0]), vec![series], 0.25);
    registry.register_collector(Box::new(Fixed(families)));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    match form {
        Exposition::OpenMetrics => text,
        Exposition::Classic => exposition::classic(&text),
    }
}

/// The names are the contract with dashboards and alerts.
#[test]
fn all_metrics_are_there_with_their_values() {
    let text = render(&collector(vec![300.4, 200.0]), Exposition::Classic).unwrap();
    for (sample, expected) in [
        ("heapwatch_live_bytes ", 500.0),
        ("heapwatch_live_objects ", 5.0),
        ("heapwatch_allocated_bytes_total ", 1001.0),
        ("heapwatch_freed_bytes_total ", 500.0),
        ("heapwatch_allocated_objects_total ", 10.0),
        ("heapwatch_freed_objects_total ", 5.0),
        ("heapwatch_samples_total ", 1000.0),
        (
            "heapwatch_samples_dropped_total{reason=\"table_full\"} ",
            3.0,
        ),
        ("heapwatch_interval_bytes ", 524_288.0),
        ("heapwatch_self_bytes ", 4096.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(value(&text, "heapwatch_self_cpu_seconds_total ") >= 0.0);
    for name in [
        "allocated",
        "active",
        "metadata",
        "resident",
        "mapped",
        "retained",
    ] {
        value(&text, &format!("jemalloc_{name}_bytes "));
    }
    for name in [
        "resident_memory_bytes",
        "virtual_memory_bytes",
        "cpu_seconds_total",
        "open_fds",
        "threads",
        "start_time_seconds",
    ] {
        value(&text, &format!("process_{name} "));
    }
}

#[test]
fn twenty_sites_have_a_series_and_the_rest_is_one() {
    let bytes: Vec<f64> = (1..=30).map(f64::from).collect();
    let text = render(&collector(bytes), Exposition::OpenMetrics).unwrap();
    let sites: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("heapwatch_site_live_bytes{"))
        .collect();
    assert_eq!(sites.len(), 21);
    assert!(sites[0].starts_with("heapwatch_site_live_bytes{site=\"000000000000001e\","));
    assert!(sites[0].ends_with(" 30"));
    let rest = "heapwatch_site_live_bytes{site=\"other\",function=\"other\",location=\"\"} 55";
    assert_eq!(sites[20], rest);
}

/// Memory that is given back must not leave a series standing at its last value.
#[test]
fn a_site_that_holds_nothing_any_more_has_no_series() {
    let live = Arc::new(Mutex::new(vec![10.0, 20.0]));
    let source = Arc::clone(&live);
    let collector = Arc::new(Collector::over(Arc::new(move || {
        Ok(fixture::snapshot(&source.lock().unwrap()))
    })));
    let count = |collector: &Arc<Collector>| {
        let text = render(collector, Exposition::Classic).unwrap();
        text.matches("heapwatch_site_live_bytes{").count()
    };
    assert_eq!(count(&collector), 3);
    *live.lock().unwrap() = vec![0.0, 20.0];
    assert_eq!(count(&collector), 2);
    assert_eq!(collector.shown.lock().unwrap().names.len(), 1);
}

/// Without the allocator there is nothing to say of the heap, but jemalloc's and the process's
/// figures must not go with it.
#[test]
fn without_a_snapshot_the_rest_is_still_there() {
    let collector = Arc::new(Collector::over(Arc::new(|| Err(Error::NotInstalled))));
    let text = render(&collector, Exposition::Classic).unwrap();
    assert!(!text.contains("heapwatch_live_bytes"));
    assert!(text.contains("jemalloc_resident_bytes ") && text.contains("process_threads "));
}

#[test]
fn process_metrics_can_be_left_out() {
    let source: Source = Arc::new(|| Ok(fixture::snapshot(&[1.0])));
    let collector = Arc::new(Collector::over(source).without_process_metrics());
    let text = render(&collector, Exposition::Classic).unwrap();
    assert!(!text.contains("process_") && text.contains("heapwatch_live_bytes 1\n"));
}

#[test]
fn names_with_quotes_backslashes_and_line_breaks_are_escaped_in_both_forms() {
    let expected = "heapwatch_site_live_bytes{site=\"00000000000000aa\",\
        function=\"a<\\\"quoted\\\", b'\\\\'>::\\nf\",location=\"C:\\\\src\\\\lib.rs:7\"} 5\n";
    for form in [Exposition::OpenMetrics, Exposition::Classic] {
        let text = awkward(form);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn open_metrics_has_units_and_ends_with_the_end_mark() {
    let text = render(&collector(vec![1.0]), Exposition::OpenMetrics).unwrap();
    assert!(text.ends_with("\n# EOF\n"));
    assert!(text.contains("# TYPE heapwatch_allocated_bytes counter\n"));
    assert!(text.contains("# UNIT heapwatch_allocated_bytes bytes\n"));
    let classic = render(&collector(vec![1.0]), Exposition::Classic).unwrap();
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"));
    assert!(classic.contains("# TYPE heapwatch_allocated_bytes_total counter\n"));
}

fn promtool_check(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
#[ignore = "needs promtool"]
fn promtool_accepts_the_classic_form() {
    let bytes: Vec<f64> = (1..=30).map(f64::from).collect();
    promtool_check(&render(&collector(bytes), Exposition::Classic).unwrap());
    promtool_check(&awkward(Exposition::Classic));
}
