use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::analyze::watched_sample;
use crate::metrics::fixture;
use crate::snapshot::testing::{Builder, frame, own};

fn collector(live_bytes: Vec<f64>) -> Arc<Collector> {
    Arc::new(Collector::over(Arc::new(move |_| {
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

/// One site whose name needs escaping, as text.
fn awkward(form: Exposition) -> String {
    let series = SiteSeries {
        site: "00000000000000aa".into(),
        function: "a<\"quoted\", b'\\'>::\nf".into(),
        location: "C:\\src\\lib.rs:7".into(),
        live_bytes: 5.0,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Fixed(vec![heap::sites(vec![series])])));
    written(&registry, form)
}

fn written(registry: &Registry, form: Exposition) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    match form {
        Exposition::OpenMetrics => text,
        Exposition::Classic => exposition::classic(&text),
    }
}

/// What is said of verdicts, as text.
fn verdicts(form: Exposition) -> String {
    let mut registry = Registry::default();
    let families = growth::verdicts(&watched_sample().growth_overview(None).unwrap());
    registry.register_collector(Box::new(Fixed(families)));
    written(&registry, form)
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
            "heapwatch_samples_dropped_total{reason=\"live_table_full\"} ",
            3.0,
        ),
        // The first loss must be an increase, so there is a zero before it.
        (
            "heapwatch_samples_dropped_total{reason=\"region_refused\"} ",
            0.0,
        ),
        ("heapwatch_live_tasks{task=\"other\"} ", 0.0),
        ("heapwatch_live_task_bytes{task=\"other\"} ", 0.0),
        ("heapwatch_interval_bytes ", 524_288.0),
        ("heapwatch_self_bytes ", 4096.0),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(value(&text, "heapwatch_self_cpu_seconds_total ") >= 0.0);
    assert!(value(&text, "heapwatch_memory_limit_bytes ") > 0.0);
    let bounds = ["low", "high"].map(|end| value(&text, &format!("heapwatch_live_{end}_bytes ")));
    // The fixture's counters have no variance: what may have been missed is above them.
    assert!(
        bounds[0] == 500.0 && bounds[1] > 3.0 * 524_288.0,
        "{bounds:?}"
    );
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
    let collector = Arc::new(Collector::over(Arc::new(move |_| {
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
    let collector = Arc::new(Collector::over(Arc::new(|_| Err(Error::NotInstalled))));
    let text = render(&collector, Exposition::Classic).unwrap();
    assert!(!text.contains("heapwatch_live_bytes"));
    assert!(text.contains("jemalloc_resident_bytes ") && text.contains("process_threads "));
}

#[test]
fn process_metrics_can_be_left_out() {
    let source: Source = Arc::new(|_| Ok(fixture::snapshot(&[1.0])));
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

/// Octaves in pairs, cumulative, and none of them lost: `le` must be what the lifetimes were below.
#[test]
fn lifetimes_are_a_histogram() {
    let source: Source = Arc::new(|_| {
        let mut snapshot = fixture::snapshot(&[1.0, 1.0]);
        snapshot.sites[0].lifetimes[0] = 5;
        snapshot.sites[1].lifetimes[1] = 2;
        snapshot.sites[1].lifetimes[2] = 1;
        snapshot.sites[1].lifetimes[39] = 10;
        Ok(snapshot)
    });
    let text = render(&Arc::new(Collector::over(source)), Exposition::Classic).unwrap();
    let buckets: Vec<(f64, f64)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("heapwatch_lifetime_seconds_bucket{le=\""))
        .map(|line| {
            let (bound, count) = line.split_once("\"} ").unwrap();
            (bound.parse().unwrap(), count.parse().unwrap())
        })
        .collect();
    assert_eq!(buckets.len(), 20);
    assert_eq!(buckets[0], (2048e-9, 7.0));
    assert_eq!(buckets[1], (8192e-9, 8.0));
    assert_eq!(buckets[18], (2048e-9 * 4_f64.powi(18), 8.0));
    assert_eq!(buckets[19], (f64::INFINITY, 18.0));
    assert_eq!(value(&text, "heapwatch_lifetime_seconds_count "), 18.0);
    let middle = |octave: i32| 1024e-9 * 2_f64.powi(octave) * 0.75;
    let sum = 5.0 * middle(0) + 2.0 * middle(1) + middle(2) + 10.0 * middle(39);
    let found = value(&text, "heapwatch_lifetime_seconds_sum ");
    assert!((found / sum - 1.0).abs() < 1e-9, "{found} for {sum}");
}

/// Stacks 1, 2, … of which each second one is a task; 30 different tasks, each spawned at two places.
fn tasks() -> Snapshot {
    let mut b = Builder::new();
    for site in 1..=120_u32 {
        let function = match site % 2 {
            0 => "alloc::vec::Vec<u8>::with_capacity".to_owned(),
            _ => format!(
                "tokio::runtime::task::core::Cell::new<app::task_{}::{{async_fn_env#0}}, S>",
                site / 2 % 30
            ),
        };
        let tokio = crate::snapshot::testing::dependency("tokio", "1.54.1");
        let inner = b.location(u64::from(site), &[frame(&function, "", 0, tokio)]);
        let outer = b.location(
            1000 + u64::from(site),
            &[frame("app::accept", "src/app.rs", 7, own("app"))],
        );
        let sizes = vec![1e6; 1 + (site / 2 % 30) as usize];
        b.site(u64::from(site), &[inner, outer], &sizes, 0);
    }
    b.build()
}

/// Tasks are told by what was spawned, wherever that was, and their number of series is bounded.
#[test]
fn tasks_are_counted_by_what_was_spawned() {
    let source: Source = Arc::new(|_| Ok(tasks()));
    let collector = Arc::new(Collector::over(source));
    let text = render(&collector, Exposition::Classic).unwrap();
    let named: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("heapwatch_live_tasks{"))
        .collect();
    assert_eq!(named.len(), 21, "{named:#?}");
    let weight = 1.0 / (1.0 - (-1e6_f64 / 524_288.0).exp());
    let most = value(&text, "heapwatch_live_tasks{task=\"app::task_29\"} ");
    assert_eq!(most, (2.0 * 30.0 * weight).round());
    let bytes = value(&text, "heapwatch_live_task_bytes{task=\"app::task_29\"} ");
    assert!(
        (bytes / (60.0 * 1e6 * weight) - 1.0).abs() < 1e-6,
        "{bytes}"
    );
    let other: f64 = (1..=10).map(f64::from).sum::<f64>() * 2.0 * weight;
    assert_eq!(
        value(&text, "heapwatch_live_tasks{task=\"other\"} "),
        other.round()
    );
    // The second scrape looks no name up and says the same.
    assert_eq!(
        render(&collector, Exposition::Classic)
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("heapwatch_live_task"))
            .collect::<Vec<_>>(),
        text.lines()
            .filter(|line| line.starts_with("heapwatch_live_task"))
            .collect::<Vec<_>>()
    );
}

/// An alert names the line from these labels alone.
#[test]
fn growth_has_the_verdict_and_the_interval_at_each_site() {
    let text = verdicts(Exposition::Classic);
    assert_eq!(value(&text, "heapwatch_sites{verdict=\"leaking\"} "), 1.0);
    let site = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name) && line.contains("verdict=\"leaking\""));
        let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        assert!(
            line.contains(
                "function=\"chat::register\",location=\"src/chat.rs:41\",own_location=\"\""
            ),
            "{line}"
        );
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let [low, rate, high] = [
        "heapwatch_site_growth_low_bytes_per_second{",
        "heapwatch_site_growth_bytes_per_second{",
        "heapwatch_site_growth_high_bytes_per_second{",
    ]
    .map(site);
    assert!(low < rate && rate < high, "{low} {rate} {high}");
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
    promtool_check(&verdicts(Exposition::Classic));
}
