//! `heapwatch check`: watches a service for a while and holds it to limits.

use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use heapwatch::Snapshot;
use heapwatch::growth::{Report, Verdict};
use heapwatch::report::{Diff, Estimate};
use serde_json::{Value, json};

use crate::args::{Check, Format};
use crate::diff::name;
use crate::failure::Failure;
use crate::limit::{Culprit, Limit};
use crate::output::Output;
use crate::source;
use crate::span::Span;
use crate::waiting::Countdown;
use crate::{Outcome, colour};

/// Looks at the service while it is watched: so many times, but not more often than this.
const LOOKS: u32 = 6;
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);

/// Why something that holds is not known to.
const UNSAMPLED: &str = "but not all was sampled: sampling is off, or was for a while";

pub(crate) fn run(args: &Check) -> Result<Outcome, Failure> {
    let output = Output::from(&args.to);
    output.check()?;
    args.source.endpoint("check")?;
    let watched = watch(args).map_err(|failure| failure.about(&args.source))?;
    let Watched { before, after } = &watched;
    let diff = before.diff(after).by(args.rows.by).limit(args.rows.limit);
    let report = after.growth();
    let findings = findings(&args.fail_on, report.as_ref(), &diff);
    let held = findings.iter().all(|finding| finding.culprits.is_empty());
    let written = match args.format {
        Format::Text => {
            let text = text(
                &findings,
                report.as_ref(),
                &diff.clone().width(output.width()),
            );
            output.text(&colour::table(&colour::verdicts(&text)))
        }
        Format::Json => output.bytes(json(held, &findings, report.as_ref(), &diff)?.as_bytes()),
    };
    Outcome::of(held).after(written)
}

/// The service at the beginning and at the end.
struct Watched {
    before: Snapshot,
    after: Snapshot,
}

fn watch(args: &Check) -> Result<Watched, Failure> {
    let look = || source::read_quietly(&args.source, args.access.token());
    let before = source::read_unnamed(&args.source, args.access.token())?;
    let verdicts = args.fail_on.iter().any(Limit::needs_verdicts);
    if verdicts {
        check_judgeable(&before, args.span.0)?;
    }
    let countdown = Countdown::new(args.span.0);
    let pause = (args.span.0 / LOOKS).max(SHORTEST_PAUSE);
    let end = Instant::now() + args.span.0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        thread::sleep(left.min(pause));
        if left <= pause {
            break;
        }
        match look() {
            Ok(now) => {
                check_same(&before, &now)?;
                countdown.say(&state(&now));
            }
            // A service under load may be slow to answer; what counts is the end.
            Err(failure) => countdown.say(&failure.to_string()),
        }
    }
    let after = look().map_err(|failure| failure.about("at the end of the check"))?;
    drop(countdown);
    check_same(&before, &after)?;
    check_sampled(&after)?;
    if verdicts {
        check_judgeable(&after, Duration::ZERO)?;
    }
    Ok(Watched { before, after })
}

/// `live 24 MiB ± 4, 2 leaking`
fn state(snapshot: &Snapshot) -> String {
    let live = snapshot
        .top(heapwatch::report::By::Crate)
        .total()
        .live_bytes;
    let mut state = format!("live {}", live.bytes_text());
    for verdict in [Verdict::Leaking, Verdict::Growing] {
        let count = snapshot.growth().map_or(0, |report| report.count(verdict));
        if count > 0 {
            let _ = write!(state, ", {count} {}", verdict.name());
        }
    }
    state
}

fn check_same(before: &Snapshot, now: &Snapshot) -> Result<(), Failure> {
    if before.diff(now).same_process() {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "the service was restarted while it was watched (process {} became {}), so its growth \
         cannot be told; was it killed for its memory?",
        before.info().pid,
        now.info().pid
    )))
}

/// Without samples every limit would hold.
fn check_sampled(snapshot: &Snapshot) -> Result<(), Failure> {
    let info = snapshot.info();
    if info.interval_bytes == 0 {
        return Err(Failure::new(
            "sampling is off in the service (interval 0), so nothing can be told; set \
             HEAPWATCH_INTERVAL, or call heapwatch::set_interval",
        ));
    }
    if info.samples == 0 {
        let why = info.notes.first().map_or("", String::as_str);
        return Err(Failure::new(format_args!(
            "no allocation of the service was sampled, so nothing can be told; {why}"
        )));
    }
    Ok(())
}

/// Verdicts need time. In `span` more of it there must be enough.
fn check_judgeable(snapshot: &Snapshot, span: Duration) -> Result<(), Failure> {
    let Some(report) = snapshot.growth() else {
        return Err(Failure::new(
            "nothing watches growth in this service; start the endpoint with heapwatch::serve",
        ));
    };
    let missing = report.min_watch_seconds - report.watched_seconds - span.as_secs_f64();
    if missing <= 0.0 {
        return Ok(());
    }
    let needed = Span(Duration::from_secs_f64(report.min_watch_seconds));
    let watched = Span(Duration::from_secs_f64(report.watched_seconds.max(0.0)));
    Err(Failure::new(format_args!(
        "the service judges growth after {needed} of watching, and has watched for {watched}; \
         check for {missing:.0} s more, or start it with a smaller HEAPWATCH_TICK than {} s",
        report.tick_seconds
    )))
}

/// A limit, and who broke it.
struct Finding<'c> {
    limit: &'c Limit,
    culprits: Vec<Culprit<'c>>,
}

fn findings<'c>(
    limits: &'c [Limit],
    report: Option<&'c Report>,
    diff: &'c Diff<'c>,
) -> Vec<Finding<'c>> {
    let seconds = seconds(diff);
    let finding = |limit: &'c Limit| Finding {
        limit,
        culprits: limit.broken_by(report, diff, seconds),
    };
    limits.iter().map(finding).collect()
}

fn seconds(diff: &Diff<'_>) -> f64 {
    diff.later().info().watched_seconds - diff.earlier().info().watched_seconds
}

/// What a log keeps: each limit, then the evidence.
fn text(findings: &[Finding<'_>], report: Option<&Report>, diff: &Diff<'_>) -> String {
    let mut text = String::new();
    let mut any_change = false;
    for Finding { limit, culprits } in findings {
        if culprits.is_empty() {
            let _ = writeln!(text, "held: {}", held(limit, report, diff));
            continue;
        }
        let _ = writeln!(text, "broken: {limit}");
        for culprit in culprits {
            match culprit {
                Culprit::Verdict(growth) => {
                    let _ = writeln!(text, "\n{growth}");
                }
                Culprit::Change(change) => {
                    any_change = true;
                    let by = change.live_bytes.change_text();
                    let _ = writeln!(text, "  {} grew by {by}", name(change));
                }
            }
        }
        text.push('\n');
    }
    if any_change {
        let _ = write!(text, "\n{diff}");
    }
    text
}

/// What holds, and how far it can be known.
fn held(limit: &Limit, report: Option<&Report>, diff: &Diff<'_>) -> String {
    match (limit, report) {
        (Limit::Leaking | Limit::Growing, Some(report)) => {
            let judged = report.verdicts.len() - report.count(Verdict::TooEarly);
            let who = match limit {
                Limit::Leaking => "leaks",
                _ => "leaks or grows",
            };
            let unseen = match report.visible_bytes_per_second {
                Some(rate) => {
                    let rate = Estimate::exact(rate).rate_text();
                    format!("too early to tell below {}", rate.trim_start_matches('+'))
                }
                None => UNSAMPLED.to_owned(),
            };
            format!(
                "no call site {who}; {judged} judged after {} of watching, {unseen}",
                Span(Duration::from_secs_f64(report.watched_seconds)),
            )
        }
        _ => {
            let unseen = match diff.later().info().was_off {
                true => format!(", {UNSAMPLED}"),
                false => String::new(),
            };
            format!(
                "no growth beyond {limit}; live bytes changed by {} in {}{unseen}",
                diff.total().live_bytes.change_text(),
                Span(Duration::from_secs_f64(seconds(diff).max(0.0)))
            )
        }
    }
}

fn json(
    held: bool,
    findings: &[Finding<'_>],
    report: Option<&Report>,
    diff: &Diff<'_>,
) -> Result<String, Failure> {
    let parse = |text: String| -> Result<Value, Failure> {
        serde_json::from_str(&text).map_err(Failure::new)
    };
    let limits: Vec<Value> = findings.iter().map(finding_json).collect();
    let whole = json!({
        "held": held,
        "seconds": seconds(diff),
        "limits": limits,
        "growth": report.map(|report| parse(report.to_json())).transpose()?,
        "diff": parse(diff.to_json())?,
    });
    Ok(format!("{whole:#}\n"))
}

fn finding_json(finding: &Finding<'_>) -> Value {
    let broken_by: Vec<Value> = finding
        .culprits
        .iter()
        .map(|culprit| match culprit {
            Culprit::Verdict(growth) => json!(growth),
            Culprit::Change(change) => json!({
                "id": change.id.map(|id| format!("{id:016x}")),
                "function": change.function,
                "location": change.location,
                "own_function": change.own_function,
                "own_location": change.own_location,
                "crate": change.krate,
                "live_bytes_change": change.live_bytes,
            }),
        })
        .collect();
    json!({
        "limit": finding.limit.to_string(),
        "held": finding.culprits.is_empty(),
        "broken_by": broken_by,
    })
}
