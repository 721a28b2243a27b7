use super::*;
use crate::analyze::series::Reading;
use crate::analyze::series::Series;

const UNIT: u64 = 1 << 20;

fn watch(now: u32, started: u32) -> Watch {
    Watch {
        now,
        started,
        tick_seconds: 5.0,
        interval_bytes: UNIT,
        min_seconds: 60.0,
        min_bytes: UNIT,
    }
}

fn series(ticks: u32, live: fn(u64) -> u64, births: fn(u64) -> u64) -> Series {
    let mut series = Series::new(0);
    for tick in 0..ticks {
        let births = births(u64::from(tick));
        let live_bytes = live(u64::from(tick)) * UNIT;
        series.push(
            tick,
            &Reading {
                live_bytes,
                births,
                allocated_bytes: births * UNIT,
            },
        );
    }
    series
}

fn judged(series: &Series, live: &[LiveObject], watch: &Watch) -> Judgement {
    judged_since(0, series, live, watch)
}

/// The same with no death noted before a tick.
fn judged_since(
    deaths_since: u32,
    series: &Series,
    live: &[LiveObject],
    watch: &Watch,
) -> Judgement {
    let lifetimes = Lifetimes {
        counts: &[],
        unit_seconds: 1.0,
    };
    judge(
        &SiteEvidence {
            series,
            deaths: None,
            deaths_since,
            live,
            lifetimes,
            mixed: false,
        },
        watch,
    )
}

fn born_every_20_ticks(count: u32) -> Vec<LiveObject> {
    let object = |index| LiveObject {
        birth: index * 20,
        weight: 1_000.0,
        bytes: UNIT / 1_000,
    };
    (0..count).map(object).collect()
}

/// By Little's law the same growth is the load's if births grew as much, and the site's if not.
#[test]
fn growth_is_told_from_load() {
    let watch = watch(320, 0);
    let with_load = series(320, |tick| tick * 4, |tick| tick);
    let without = series(320, |tick| tick * 4, |_| 100);
    assert_eq!(
        judged(&with_load, &[], &watch).pattern,
        Some(Pattern::WithLoad)
    );
    assert!(!judged(&with_load, &[], &watch).alarms());
    let alarm = judged(&without, &[], &watch);
    assert_eq!(
        (alarm.verdict, alarm.pattern),
        (Verdict::Growing, Some(Pattern::Backlog))
    );
    let slope = 4.0 * UNIT as f64 / 5.0;
    assert!(
        (alarm.rate.estimate / slope - 1.0).abs() < 0.01,
        "{:?}",
        alarm.rate
    );
}

/// Samples are known from the start of the process also where the history began later.
#[test]
fn a_watch_may_begin_late() {
    let live = born_every_20_ticks(62);
    let flat = series(240, |_| 60, |_| 0);
    let judgement = judged(&flat, &live, &watch(1_240, 1_000));
    assert_eq!(judgement.verdict, Verdict::Leaking);
    assert_eq!(judgement.watched_seconds, 1_200.0);
    let rate = f64::from(1_000 * (UNIT / 1_000) as u32) / 100.0;
    assert!(
        (judgement.rate.estimate / rate - 1.0).abs() < 0.05,
        "{:?}",
        judgement.rate
    );
}

/// Where deaths went unnoted, who is alive says nothing of those who died: to take none noted for
/// none died would accuse every site for which there was no memory. What came later counts.
#[test]
fn unnoted_deaths_are_not_taken_for_none() {
    let live = born_every_20_ticks(60);
    let flat = series(1_200, |_| 60, |tick| tick / 20);
    let watch = watch(1_200, 0);
    let verdict = |since| judged_since(since, &flat, &live, &watch).verdict;
    assert_eq!(verdict(0), Verdict::Leaking);
    assert_eq!(verdict(600), Verdict::Leaking);
    assert_ne!(verdict(1_000), Verdict::Leaking);
    assert_ne!(verdict(1_201), Verdict::Leaking);
}

#[test]
fn doubling_is_a_container_until_it_is_overdue() {
    let largest = [LiveObject {
        birth: 256,
        weight: 1.0,
        bytes: 512 * UNIT,
    }];
    let fills = |tick: u64| {
        if tick == 0 {
            0
        } else {
            tick.next_power_of_two()
        }
    };
    let growing = judged(
        &series(400, fills, |tick| u64::from(tick.is_power_of_two())),
        &largest,
        &watch(400, 0),
    );
    assert_eq!(growing.pattern, Some(Pattern::Container));
    let stops = |tick: u64| {
        if tick == 0 {
            0
        } else {
            tick.min(128).next_power_of_two()
        }
    };
    let full = judged(
        &series(400, stops, |tick| u64::from(tick.is_power_of_two())),
        &largest,
        &watch(400, 0),
    );
    assert!(!full.alarms(), "{full:?}");
}

/// A hash map holds its old table and the new one while it moves. A reading that falls into that
/// moment is neither a level nor, when it is over, a fall.
#[test]
fn a_container_may_be_read_while_it_moves() {
    let moves = |tick: u64| {
        let table = tick.max(1).next_power_of_two();
        if tick.is_power_of_two() {
            table + 2 * table
        } else {
            table
        }
    };
    let largest = [LiveObject {
        birth: 65,
        weight: 1.0,
        bytes: 128 * UNIT,
    }];
    for ticks in 40..120 {
        let map = series(ticks, moves, |tick| u64::from(tick.is_power_of_two()));
        let judged = judged(&map, &largest, &watch(ticks, 0));
        // On the tick of a move nothing can be told.
        if !(ticks - 1).is_power_of_two() {
            assert_eq!(
                judged.pattern,
                Some(Pattern::Container),
                "{ticks}: {judged:?}"
            );
        }
    }
}

#[test]
fn odd_input_is_survived() {
    let late = [LiveObject {
        birth: u32::MAX,
        weight: f32::INFINITY,
        bytes: u64::MAX,
    }; 9];
    for now in [0, 1, 2, 31, u32::MAX] {
        let watch = Watch {
            tick_seconds: 0.0,
            interval_bytes: 0,
            min_seconds: 0.0,
            ..watch(now, 5)
        };
        judged(&Series::new(0), &late, &watch);
        judged(&series(40, |_| u64::MAX / UNIT, |_| 0), &late, &watch);
    }
}
