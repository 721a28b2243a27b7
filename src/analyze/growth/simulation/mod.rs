//! Monte-Carlo study of the growth verdicts.
//!
//! `cargo test --release --lib simulation -- --ignored --nocapture` prints every figure: recall of all
//! leaking shapes, false alarms of all innocent ones, coverage of the rates' intervals, cost. `SEEDS`
//! sets the trials per shape and length (300), `ONLY` picks shapes by a part of their name, `SET` a set by its name. A subset of
//! the study runs as an ordinary test.

mod limits;
mod oracle;
mod process;
mod rates;
mod shapes;

use crate::analyze::growth::{self, Judgement, Member};
use process::{World, watch};
use shapes::{CLOSING, COLLECTIONS, FRESH, HELD_OUT, Kind, LAST, RESERVE, SERVICES, Shape, TUNED};
use std::collections::BTreeMap;

/// Only the last is blind: the rules were changed after the first figures of each of the others, never for its.
const SETS: &[(&str, &[Shape])] = &[
    ("tuned", TUNED),
    ("held out", HELD_OUT),
    ("fresh", FRESH),
    ("last", LAST),
    ("services", SERVICES),
    ("reserve", RESERVE),
    ("collections", COLLECTIONS),
    ("closing, blind", CLOSING),
];

const LENGTHS: [u32; 3] = [240, 720, 2160];

/// The worst verdict on the sites of one trial, or on their group.
fn trial(shape: &Shape, seed: u64, ticks: u32) -> Judgement {
    let mut world = World::new(seed ^ (u64::from(ticks) << 32), ticks);
    (shape.build)(&mut world);
    let sites = world
        .objects
        .iter()
        .map(|object| object.site)
        .max()
        .unwrap_or(0);
    let fed: Vec<_> = (0..=sites).map(|site| world.feed(site, ticks)).collect();
    let members: Vec<_> = fed
        .iter()
        .map(|fed| Member {
            site: fed.evidence(),
            keys: [0, 0, 0],
        })
        .collect();
    growth::judge_all(&members, &watch(ticks))
        .into_iter()
        .map(|group| group.judgement)
        .min_by_key(|judgement| (!judgement.alarms(), judgement.verdict))
        .expect("a shape has a site")
}

/// Trials of one shape at one length.
struct Row {
    kind: Kind,
    alarms: u64,
    seeds: u64,
    line: String,
}

fn run(shape: &Shape, seeds: u64, ticks: u32) -> Row {
    let mut verdicts: BTreeMap<String, u32> = BTreeMap::new();
    let (mut alarms, mut expected) = (0, 0);
    for seed in 0..seeds {
        let judgement = trial(shape, seed, ticks);
        alarms += u64::from(judgement.alarms());
        expected += u64::from(shape.expected.contains(&judgement.verdict));
        let pattern = judgement
            .pattern
            .map_or(String::new(), |one| format!("/{}", one.name()));
        *verdicts
            .entry(format!("{}{pattern}", judgement.verdict.name()))
            .or_default() += 1;
    }
    let share = alarms as f64 / seeds as f64;
    let wrong = match shape.kind {
        Kind::Innocent => alarms > 0,
        Kind::Leak | Kind::HardLeak => share < 0.99,
    };
    let mark = if wrong { "<<" } else { "  " };
    let right = expected as f64 / seeds as f64;
    let line = format!(
        "{ticks:5} {:38} {share:.3} {mark} as expected {right:.3} {verdicts:?}",
        shape.name
    );
    Row {
        kind: shape.kind,
        alarms,
        seeds,
        line,
    }
}

/// All shapes of a set on two threads.
fn run_set(shapes: &[Shape], seeds: u64, ticks: u32) -> Vec<Row> {
    let only = std::env::var("ONLY").unwrap_or_default();
    let shapes: Vec<&Shape> = shapes
        .iter()
        .filter(|shape| shape.name.contains(&only))
        .collect();
    let (even, odd) = std::thread::scope(|scope| {
        let part = |first: usize| {
            let mine: Vec<&Shape> = shapes.iter().skip(first).step_by(2).copied().collect();
            scope.spawn(move || {
                mine.into_iter()
                    .map(|shape| run(shape, seeds, ticks))
                    .collect::<Vec<_>>()
            })
        };
        let (even, odd) = (part(0), part(1));
        (
            even.join().expect("no panic"),
            odd.join().expect("no panic"),
        )
    });
    even.into_iter().chain(odd).collect()
}

/// Alarms and trials, of the innocent and of the leaking.
#[derive(Default, Clone, Copy)]
struct Score {
    false_alarms: u64,
    innocent: u64,
    found: u64,
    leaking: u64,
    hard_found: u64,
    hard: u64,
}

impl Score {
    fn add(&mut self, row: &Row) {
        match row.kind {
            Kind::Innocent => {
                self.false_alarms += row.alarms;
                self.innocent += row.seeds;
            }
            Kind::Leak => {
                self.found += row.alarms;
                self.leaking += row.seeds;
            }
            Kind::HardLeak => {
                self.hard_found += row.alarms;
                self.hard += row.seeds;
                self.found += row.alarms;
                self.leaking += row.seeds;
            }
        }
    }

    fn false_alarms(&self) -> f64 {
        self.false_alarms as f64 / self.innocent.max(1) as f64
    }

    fn recall(&self) -> f64 {
        self.found as f64 / self.leaking.max(1) as f64
    }

    fn print(&self, name: &str) {
        println!(
            "{name:24} recall {:.4} ({} of {}), false alarms {:.5} ({} of {}), hard among them {} of {}",
            self.recall(),
            self.found,
            self.leaking,
            self.false_alarms(),
            self.false_alarms,
            self.innocent,
            self.hard_found,
            self.hard,
        );
    }
}

fn study(lengths: &[u32], seeds: u64, verbose: bool) -> Score {
    let mut all = Score::default();
    let wanted = std::env::var("SET").unwrap_or_default();
    for (set, shapes) in SETS.iter().filter(|(set, _)| set.contains(&wanted)) {
        let mut of_set = Score::default();
        for ticks in lengths {
            let mut score = Score::default();
            for row in run_set(shapes, seeds, *ticks) {
                [&mut score, &mut of_set, &mut all]
                    .into_iter()
                    .for_each(|sum| sum.add(&row));
                if verbose {
                    println!("{}", row.line);
                }
            }
            score.print(&format!("{set}, {ticks} ticks"));
        }
        of_set.print(set);
    }
    all.print("all");
    all
}

/// The promise of the verdicts: of a hundred leaks ninety-nine are found, of a thousand harmless sites
/// two alarm at most.
#[test]
#[ignore = "takes a minute in release"]
fn full_study() {
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(300);
    let score = study(&LENGTHS, seeds, true);
    assert!(score.recall() >= 0.99, "recall {}", score.recall());
    assert!(
        score.false_alarms() <= 0.002,
        "false alarms {}",
        score.false_alarms()
    );
}

/// Runs of a hundred ticks, ten seconds at a tick of 0.1 s: judged, though less is seen in them.
#[test]
#[ignore = "part of the study"]
fn short_runs() {
    study(&[100], 300, true);
}

/// The same promise with fewer seeds at the two shorter lengths, about 10,700 leaking and 12,400 innocent
/// trials. From the full study 82 ± 9 misses and 7 ± 3 false alarms are expected; 107 and 24 are allowed.
#[test]
fn fast_study() {
    let score = study(&LENGTHS[..2], 60, false);
    assert!(score.recall() >= 0.99, "recall {}", score.recall());
    assert!(
        score.false_alarms() <= 0.002,
        "false alarms {}",
        score.false_alarms()
    );
}

/// A verdict must not change with the length of a tick: only ticks are counted, seconds are for people
/// and for the minimum watch.
#[test]
fn ticks_of_a_tenth_of_a_second_judge_alike() {
    let shape = TUNED
        .iter()
        .find(|shape| shape.name == "pure leak, 40 samples")
        .expect("named");
    let mut world = World::new(7, 240);
    (shape.build)(&mut world);
    let fed = world.feed(0, 240);
    let slow = watch(240);
    let fast = growth::Watch {
        tick_seconds: 0.1,
        min_seconds: 10.0,
        ..slow
    };
    let early = growth::Watch {
        min_seconds: 30.0,
        ..fast
    };
    let rate = |watch| growth::judge(&fed.evidence(), watch).rate.estimate;
    assert_eq!(
        growth::judge(&fed.evidence(), &fast).verdict,
        growth::Verdict::Leaking
    );
    assert!(
        (rate(&fast) / rate(&slow) - 50.0).abs() < 1e-6,
        "bytes per second scale with the tick"
    );
    assert_eq!(
        growth::judge(&fed.evidence(), &early).verdict,
        growth::Verdict::TooEarly
    );
}

/// The overflow entry holds many call sites: an alarm on it must say so and never name it a leak.
#[test]
fn the_overflow_entry_is_never_called_leaking() {
    for (_, shapes) in SETS {
        for shape in shapes
            .iter()
            .filter(|shape| shape.name.starts_with("overflow"))
        {
            for seed in 0..20 {
                let judgement = trial(shape, seed, 240);
                assert_ne!(judgement.verdict, growth::Verdict::Leaking);
                if judgement.alarms() {
                    assert_eq!(judgement.pattern, Some(growth::Pattern::Mixed));
                    let caution = growth::caution(&judgement).expect("alarms have one");
                    assert!(caution.contains("many call sites"), "{caution}");
                }
            }
        }
    }
}

/// Among hundreds of harmless sites of few samples, chance alone must not alarm, and a leak of forty
/// samples must still be found.
#[test]
fn many_sites_at_once() {
    let mut world = World::new(11, 720);
    for site in 0..300 {
        world.site = site;
        let life = world.t / 6.0;
        world.stream(
            (0.0, 720.0),
            |_| 15.0 / 720.0,
            process::SMALL,
            |w, _| w.exponential(life),
        );
    }
    world.site = 300;
    world.stream(
        (0.0, 720.0),
        |_| 60.0 / 720.0,
        process::SMALL,
        |_, _| f64::INFINITY,
    );
    let fed: Vec<_> = (0..=300).map(|site| world.feed(site, 720)).collect();
    let members: Vec<Member<'_, usize>> = fed
        .iter()
        .enumerate()
        .map(|(site, fed)| Member {
            site: fed.evidence(),
            keys: [site, site, site],
        })
        .collect();
    let alarms: Vec<Vec<usize>> = growth::judge_all(&members, &watch(720))
        .into_iter()
        .filter(|group| group.judgement.alarms())
        .map(|group| group.members)
        .collect();
    assert_eq!(alarms, [[300]]);
}

/// What this thread has spent so far; other work on the machine does not count.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = stat.split(' ').next().and_then(|first| first.parse().ok());
    nanos.map_or(f64::NAN, |nanos: f64| nanos / 1e9)
}

/// A site of a large process: twenty live samples among lives of a fifth of the watch.
fn ten_thousand_sites() {
    let mut world = World::new(2, 720);
    for site in 0..1_000 {
        world.site = site;
        world.stream(
            (0.0, 720.0),
            |_| 100.0 / 720.0,
            process::SMALL,
            |w, _| w.exponential(144.0),
        );
    }
    let fed: Vec<_> = (0..1_000).map(|site| world.feed(site, 720)).collect();
    let members: Vec<Member<'_, usize>> = (0..10_000)
        .map(|site| Member {
            site: fed[site % 1_000].evidence(),
            keys: [site, site, site],
        })
        .collect();
    let start = cpu_seconds();
    std::hint::black_box(growth::judge_all(&members, &watch(720)));
    println!(
        "judge_all: {:.1} ms for 10,000 sites with 200,000 live samples",
        (cpu_seconds() - start) * 1e3
    );
}

/// What judging costs, by the slowest kinds of site.
#[test]
#[ignore = "a measurement"]
fn cost() {
    for (name, ticks) in [
        ("steady churn", 2160),
        ("pure leak, 200 samples", 2160),
        ("long lives, T/8", 2160),
        ("queue, consumer at 75 %", 2160),
        ("doubling vector", 2160),
    ] {
        let shape = TUNED
            .iter()
            .find(|shape| shape.name == name)
            .expect("named");
        let mut world = World::new(1, ticks);
        (shape.build)(&mut world);
        let fed = world.feed(0, ticks);
        let watch = watch(ticks);
        let start = cpu_seconds();
        for _ in 0..2_000 {
            std::hint::black_box(growth::judge(std::hint::black_box(&fed.evidence()), &watch));
        }
        let each = (cpu_seconds() - start) * 1e6 / 2_000.0;
        println!(
            "judge: {each:6.1} us, {:5} live samples, {name}",
            fed.live.len()
        );
    }
    ten_thousand_sites();
    let mut all = vec![crate::analyze::series::Series::new(0); 5_000];
    let start = cpu_seconds();
    for tick in 0..200u32 {
        for (site, series) in all.iter_mut().enumerate() {
            let live_bytes = (site as u64 * 7919 + u64::from(tick) * 104_729) % 10_000_000;
            let reading = crate::analyze::series::Reading {
                live_bytes,
                births: 1,
                allocated_bytes: 524_288,
            };
            series.push(tick, &reading);
        }
    }
    let tick = (cpu_seconds() - start) * 1e6 / 200.0;
    println!("push: {tick:.0} us per tick of 5,000 sites");
    let mut deaths = crate::snapshot::evidence::Deaths::new();
    let start = cpu_seconds();
    for tick in 0..10_000_000u32 {
        std::hint::black_box(&mut deaths).record(tick - tick / 3, tick);
    }
    println!(
        "record: {:.1} ns per death",
        (cpu_seconds() - start) * 1e9 / 1e7
    );
    println!(
        "sizes: Deaths {} B, Series {} B, LiveObject {} B, Judgement {} B",
        size_of::<crate::snapshot::evidence::Deaths>(),
        size_of::<crate::analyze::series::Series>(),
        size_of::<growth::LiveObject>(),
        size_of::<Judgement>(),
    );
}
