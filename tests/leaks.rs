//! Runs the corpus of real leaks in `tests/leaks` at an interval of 64 KiB and a tick of 0.1 s: every leak is named
//! before 10 MiB of it have leaked, and no healthy twin is ever called leaking or growing.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use serde::Deserialize;
use serde_json::Value;

const MIB: i64 = 1 << 20;
/// A leak must be named before this much has leaked.
const LEAKED: i64 = 10 * MIB;
/// Above what the watcher and the allocator's caches move by, far below what half of a healthy run would leak.
const HEALTHY_RSS_GROWTH: i64 = 8 * MIB;
const HEALTHY_HEAP_GROWTH: i64 = 4 * MIB;
const LEAKING_SECONDS: u32 = 15;
/// So long that a slow machine, which does less work a second, leaks as much, too.
const TRUTH_SECONDS: u32 = 2 * LEAKING_SECONDS;
const HEALTHY_SECONDS: u32 = 10 * LEAKING_SECONDS;
/// Naming call sites takes some MiB for a moment now and then, which so many reports look between.
const HEALTHY_REPORTS: u32 = 50;

struct Program {
    name: &'static str,
    /// Workspace of the leaking program.
    leaking: &'static str,
    /// Workspace of its healthy twin, run with `--healthy`.
    healthy: &'static str,
    /// What the first verdict must name, one of these: a crate (`moka`) or a function of the program (`parse()`).
    names: &'static [&'static str],
}

const fn past(name: &'static str, names: &'static [&'static str]) -> Program {
    Program {
        name,
        leaking: "past",
        healthy: "fixed",
        names,
    }
}

const fn usage(name: &'static str, names: &'static [&'static str]) -> Program {
    Program {
        name,
        leaking: "usage",
        healthy: "usage",
        names,
    }
}

const PROGRAMS: &[Program] = &[
    past("bytes_owner", &["bytes"]),
    past("cancellation_tokens", &["tokio-util"]),
    past("flume_stream", &["flume"]),
    // A collection to heapwatch, so its user is named and the crate as what it was done through.
    past("futures_into_iter", &["futures-util"]),
    past("h2_resets", &["h2"]),
    past("loole_timeouts", &["loole"]),
    past("minijinja_macros", &["minijinja"]),
    past("moka_evictions", &["moka"]),
    past("tokio_blocking", &["tokio"]),
    past("tokio_broadcast", &["tokio"]),
    past("tracing_registry", &["tracing-subscriber"]),
    past("unicycle_wakers", &["unicycle"]),
    usage("arc_cycle", &["parse()"]),
    usage("arena", &["bumpalo", "tokenize()"]),
    usage("audit_text", &["note()"]),
    usage("box_leak", &["static_name()"]),
    usage("dashmap_requests", &["begin()"]),
    usage("hung_tasks", &["accept()", "client()"]),
    usage("interner", &["route()"]),
    usage("join_handles", &["start()", "render()"]),
    usage("json_history", &["receive()"]),
    usage("lost_replies", &["call()", "main()"]),
    usage("metric_labels", &["prometheus-client", "count()"]),
    usage("open_spans", &["open()"]),
    usage("rare_leak", &["begin()"]),
    usage("regexes", &["compile()", "find()"]),
    usage("scattered", &["load()"]),
    usage("seen_in_shards", &["note()"]),
    usage("session_map", &["register()"]),
    usage("slots", &["enter()"]),
    usage("slow_consumer", &["produce()"]),
    usage("statements", &["query()", "plan()", "prepare()"]),
    usage("unpolled_futures", &["main()"]),
    usage("unread_channel", &["emit()"]),
    usage("vec_log", &["note()"]),
    usage("waiting_threads", &["fill_cache()"]),
];

/// One line of a program's output.
#[derive(Deserialize)]
struct Report {
    seconds: f64,
    beats: u64,
    grown_bytes: i64,
    rss_bytes: i64,
    /// Worst first.
    verdicts: Vec<Value>,
}

#[test]
#[ignore = "builds and runs the leak corpus, about a quarter of an hour"]
fn every_leak_is_named_and_no_healthy_twin_is_accused() {
    let bins = build();
    let truths = run_all(8, |program| {
        run(
            &bins,
            program.leaking,
            program.name,
            &["--plain"],
            TRUTH_SECONDS,
            0.5,
        )
    });
    let leaking = run_all(4, |program| {
        run(
            &bins,
            program.leaking,
            program.name,
            &[],
            LEAKING_SECONDS,
            0.5,
        )
    });
    let every = f64::from(HEALTHY_SECONDS) / f64::from(HEALTHY_REPORTS);
    let healthy = run_all(16, |program| {
        run(
            &bins,
            program.healthy,
            program.name,
            &["--healthy"],
            HEALTHY_SECONDS,
            every,
        )
    });

    let mut wrong = String::new();
    for (index, program) in PROGRAMS.iter().enumerate() {
        let outcome = named_in_time(program, &truths[index], &leaking[index]);
        note(&mut wrong, &format!("{} leaking", program.name), outcome);
        note(
            &mut wrong,
            &format!("{} healthy", program.name),
            never_accused(&healthy[index]),
        );
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn note(wrong: &mut String, run: &str, outcome: Result<String, String>) {
    match outcome {
        Ok(line) => println!("ok     {run}: {line}"),
        Err(line) => writeln!(wrong, "WRONG  {run}: {line}").expect("writing to a string"),
    }
}

fn named_in_time(
    program: &Program,
    truth: &[Report],
    watched: &[Report],
) -> Result<String, String> {
    let leaked = truth.last().map_or(0, |last| last.grown_bytes);
    if leaked < LEAKED {
        return Err(format!(
            "the program does not leak: {} in the whole run",
            mib(leaked)
        ));
    }
    let in_time = watched
        .iter()
        .rfind(|report| leaked_at(truth, report.beats) < LEAKED);
    let judged = in_time.ok_or("no report before 10 MiB had leaked")?;
    let at = format!(
        "{} leaked at {:.1} s",
        mib(leaked_at(truth, judged.beats)),
        judged.seconds
    );
    match judged.verdicts.first() {
        Some(first) if accuses(first) && names(program, first) => {
            Ok(format!("{at}: {}", summary(first)))
        }
        Some(first) => Err(format!(
            "{at}, must name one of {:?}, but: {}",
            program.names,
            summary(first)
        )),
        None => Err(format!("{at}, no verdict")),
    }
}

/// What an unwatched run of the same program had leaked by then; in steps, where a container doubles.
fn leaked_at(truth: &[Report], beats: u64) -> i64 {
    let then = truth
        .iter()
        .find(|report| report.beats >= beats)
        .or(truth.last());
    then.map_or(0, |report| report.grown_bytes)
}

fn never_accused(reports: &[Report]) -> Result<String, String> {
    for report in reports {
        if let Some(verdict) = report.verdicts.iter().find(|verdict| accuses(verdict)) {
            return Err(format!(
                "accused at {:.0} s: {}",
                report.seconds,
                summary(verdict)
            ));
        }
    }
    let rss = growth(reports, |report| report.rss_bytes)?;
    let heap = growth(reports, |report| report.grown_bytes)?;
    let both = format!("RSS {:+.1} MiB, heap {:+.1} MiB", in_mib(rss), in_mib(heap));
    if rss < HEALTHY_RSS_GROWTH && heap < HEALTHY_HEAP_GROWTH {
        Ok(both)
    } else {
        Err(format!("the twin itself grows: {both}"))
    }
}

/// From the least of the first half of the run to the least of the second: the memory that naming the call sites
/// takes comes and goes, and is in neither.
fn growth(reports: &[Report], of: fn(&Report) -> i64) -> Result<i64, String> {
    let (first, second) = reports.split_at(reports.len() / 2);
    let least = |half: &[Report]| half.iter().map(of).min().ok_or("too few reports");
    Ok(least(second)? - least(first)?)
}

fn accuses(verdict: &Value) -> bool {
    matches!(verdict["verdict"].as_str(), Some("leaking" | "growing"))
}

fn names(program: &Program, verdict: &Value) -> bool {
    program
        .names
        .iter()
        .any(|name| match name.strip_suffix("()") {
            Some(function) => names_function(program, verdict, function),
            None => {
                let through = field(verdict, "through").rsplit_once(" (");
                let through = through.map_or("", |(_, krate)| krate);
                [field(verdict, "crate"), through]
                    .iter()
                    .any(|krate| krate.split([' ', '@']).next() == Some(name))
            }
        })
}

fn names_function(program: &Program, verdict: &Value, wanted: &str) -> bool {
    let file = format!("{}.rs", program.name);
    let frames = [("function", "location"), ("own_function", "own_location")];
    frames.iter().any(|(function, location)| {
        bare(field(verdict, function)) == wanted && field(verdict, location).contains(&file)
    })
}

/// `parse` for `program::parse::<T>::{closure#0}`: line tables may or may not give the path and the generics.
fn bare(function: &str) -> &str {
    let path = function.split_once('<').map_or(function, |(path, _)| path);
    let mut segments = path.rsplit("::");
    segments
        .find(|segment| !segment.is_empty() && !segment.starts_with('{'))
        .unwrap_or(path)
}

fn field<'a>(verdict: &'a Value, name: &str) -> &'a str {
    verdict[name].as_str().unwrap_or_default()
}

fn summary(verdict: &Value) -> String {
    let fields = ["verdict", "function", "own_function", "crate", "evidence"];
    let values = fields
        .iter()
        .map(|field| format!("{field} {}", verdict[field]));
    values.collect::<Vec<_>>().join(", ")
}

fn mib(bytes: i64) -> String {
    format!("{:.1} MiB", in_mib(bytes))
}

fn in_mib(bytes: i64) -> f64 {
    bytes as f64 / MIB as f64
}

/// Runs every program, at most `at_once` at a time; results in the order of [`PROGRAMS`].
fn run_all(at_once: usize, run: impl Fn(&Program) -> Vec<Report> + Sync) -> Vec<Vec<Report>> {
    let waiting = Mutex::new((0..PROGRAMS.len()).collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(index) = next(&waiting) {
            let reports = run(&PROGRAMS[index]);
            done.lock().expect("no run panicked").push((index, reports));
        }
    };
    thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().expect("no run panicked");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, reports)| reports).collect()
}

fn next(waiting: &Mutex<VecDeque<usize>>) -> Option<usize> {
    waiting.lock().expect("no run panicked").pop_front()
}

fn run(
    bins: &Path,
    workspace: &str,
    name: &str,
    flags: &[&str],
    seconds: u32,
    every: f64,
) -> Vec<Report> {
    let output = Command::new(bins.join(workspace).join(name))
        .args(flags)
        .args([
            "--seconds",
            &seconds.to_string(),
            "--every",
            &every.to_string(),
        ])
        .env("HEAPWATCH_TICK", "0.1")
        // From the first allocation: threads that start before the program says so would keep another for a while.
        .env("HEAPWATCH_INTERVAL", "65536")
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{workspace}/{name} starts: {error}"));
    assert!(
        output.status.success(),
        "{workspace}/{name} ended with {}",
        output.status
    );
    let lines = String::from_utf8(output.stdout).expect("reports are UTF-8");
    let parsed = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>();
    parsed.unwrap_or_else(|error| panic!("{workspace}/{name} reports in JSON: {error}"))
}

/// Builds the workspaces into one target directory, so that what they share is built once, and puts their
/// programs, which have the same names, into a directory for each.
fn build() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR")).join("leaks");
    let target = tmp.join("target");
    for workspace in ["past", "fixed", "usage"] {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/leaks")
            .join(workspace)
            .join("Cargo.toml");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--bins", "-j2", "--manifest-path"])
            .arg(&manifest)
            .arg("--target-dir")
            .arg(&target)
            .status()
            .expect("cargo starts");
        assert!(status.success(), "{} does not build", manifest.display());
        let bins = tmp.join(workspace);
        std::fs::create_dir_all(&bins).expect("a directory for the programs");
        for program in PROGRAMS
            .iter()
            .filter(|program| [program.leaking, program.healthy].contains(&workspace))
        {
            let built = target.join("release").join(program.name);
            std::fs::copy(&built, bins.join(program.name)).expect("the built program");
        }
    }
    tmp
}
