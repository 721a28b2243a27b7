//! What many sites come to.

use super::*;
use crate::analyze::growth::{Container, Lifetimes, sentence};
use crate::analyze::series::{Reading, Series};
use crate::snapshot::evidence::LiveObject;

fn judged(verdict: Verdict, p_value: f64) -> Judgement {
    Judgement {
        verdict,
        pattern: None,
        rate: Rate::default(),
        confidence: None,
        p_value,
        finding: Finding::Nothing,
        live_objects: 10.0,
        live_bytes: 1e6,
        typical_life_seconds: None,
        watched_seconds: 100.0,
        withdrawn: false,
    }
}

/// Of ten tests with p = 0.004, 0.009, 0.02 and 0.04 the limits by rank are 0.005, 0.01, 0.015, 0.02.
#[test]
fn step_up_procedure() {
    let mut all: Vec<Judgement> = [0.02, 0.004, 0.04, 0.009]
        .map(|p| Judgement {
            pattern: Some(Pattern::Backlog),
            confidence: Some(0.9),
            ..judged(Verdict::Growing, p)
        })
        .into_iter()
        .chain((0..6).map(|_| judged(Verdict::Stable, 1.0)))
        .collect();
    control_false_discoveries(all.iter_mut().collect(), 0);
    let alarms: Vec<bool> = all.iter().take(4).map(Judgement::alarms).collect();
    assert_eq!(alarms, [false, true, false, true]);
    assert!(all[0].withdrawn && all[0].verdict == Verdict::TooEarly);
    let said = |one: &Judgement| (one.pattern, one.confidence);
    assert_eq!(said(&all[0]), (None, None), "of an alarm that is none");
    assert_eq!(said(&all[1]), (Some(Pattern::Backlog), Some(0.9)));
}

#[test]
fn containers_are_not_a_matter_of_chance() {
    let container = Judgement {
        pattern: Some(Pattern::Container),
        ..judged(Verdict::Growing, 0.9)
    };
    let mut all = [container, judged(Verdict::Stable, 1.0)];
    control_false_discoveries(all.iter_mut().collect(), 0);
    assert!(all[0].alarms());
}

#[test]
fn the_table_of_a_full_cache_is_muted() {
    let rate = Rate::exact(1e4);
    let table = Judgement {
        pattern: Some(Pattern::Container),
        live_objects: 1.0,
        rate,
        finding: Finding::Container(Container {
            from_bytes: 1e6,
            to_bytes: 8e6,
            jumps: 3,
            over_seconds: 300.0,
            since_seconds: 240.0,
            largest_bytes: 8e6,
            rate,
        }),
        ..judged(Verdict::Growing, 0.0)
    };
    let mut sites = [table.clone(), judged(Verdict::Plateaued, 1.0), table];
    mute_tables(&mut sites, &[0, 1], |_| Course {
        verdict: Verdict::Plateaued,
        pattern: None,
        peak: 8e6,
        now: 8e6,
        low: 1e6,
        flat_seconds: 400.0,
    });
    assert_eq!(sites[0].verdict, Verdict::Plateaued);
    assert_eq!(
        sentence(&sites[0]),
        "live bytes grew and have been flat at 7.6 MiB for 4 min"
    );
    assert_eq!(sites[0].rate, Rate::default(), "what is flat has no rate");
    assert_eq!(sites[2].verdict, Verdict::Growing, "of another group");
}

const UNIT: u64 = 1 << 20;

/// Twenty minutes.
fn watch(interval_bytes: u64) -> Watch {
    Watch {
        now: 240,
        started: 0,
        tick_seconds: 5.0,
        interval_bytes,
        min_seconds: 60.0,
        min_bytes: UNIT,
    }
}

/// A collection that doubles at 20, 40, 80, 160 of 240 ticks, moved from one stack to another each
/// time; the one that holds it now never did before.
#[test]
fn a_collection_that_changes_hands_is_one() {
    let watch = watch(UNIT / 16);
    let doublings = [
        (10, 20, 0),
        (20, 40, 1),
        (40, 80, 0),
        (80, 160, 1),
        (160, 240, 2),
    ];
    let holders = |holder: usize| doublings.iter().filter(move |one| one.2 == holder);
    let parts: Vec<_> = (0..3)
        .map(|holder| {
            let mut series = Series::new(0);
            for tick in 0..240 {
                let now = holders(holder).find(|one| (one.0..one.1).contains(&tick));
                let live_bytes = now.map_or(0, |one| u64::from(one.0) * UNIT);
                let reading = Reading {
                    live_bytes,
                    births: 0,
                    allocated_bytes: 0,
                };
                series.push(tick, &reading);
            }
            let died = holders(holder).filter(|one| one.1 < 240).count() as u64;
            let live = holders(holder).filter(|one| one.1 == 240);
            let live: Vec<LiveObject> = live
                .map(|one| LiveObject {
                    birth: one.0,
                    weight: 1.0,
                    bytes: u64::from(one.0) * UNIT,
                })
                .collect();
            (series, [died], live)
        })
        .collect();
    let judged = |died: bool| {
        let members: Vec<_> = parts
            .iter()
            .map(|(series, deaths, live)| Member {
                site: SiteEvidence {
                    lifetimes: Lifetimes {
                        counts: if died { deaths } else { &[] },
                        unit_seconds: 1.0,
                    },
                    ..SiteEvidence::without_deaths(series, live)
                },
                keys: ["push", "push", "serve"],
            })
            .collect();
        judge_all(&members, &watch)
    };
    let groups = judged(true);
    assert_eq!(groups.len(), 1);
    assert_eq!(
        groups[0].judgement.pattern,
        Some(Pattern::Container),
        "{groups:?}"
    );
    // Without the deaths these may be three things, made once each.
    let groups = judged(false);
    assert!(
        groups.iter().all(|group| !group.judgement.alarms()),
        "{groups:?}"
    );
}

/// Thirty functions each leave an object every sixty ticks, too few to be judged: their caller is. One leaves
/// more, enough to be seen by itself; this must not hide the others, nor be told twice.
#[test]
fn what_is_scattered_over_functions_is_their_callers() {
    let watch = watch(UNIT);
    let parts: Vec<_> = (0..30u32)
        .map(|part| {
            let births: Vec<u32> = if part == 0 {
                (0..12).map(|round| round * 20).collect()
            } else {
                (0..4).map(|round| part * 2 + round * 60).collect()
            };
            let mut series = Series::new(0);
            for tick in 0..240 {
                let count = |at: &&u32| **at <= tick;
                let live_bytes = births.iter().filter(count).count() as u64 * UNIT;
                let reading = Reading {
                    live_bytes,
                    births: u64::from(births.contains(&tick)),
                    allocated_bytes: 0,
                };
                series.push(tick, &reading);
            }
            let object = |birth| LiveObject {
                birth,
                weight: 1.0,
                bytes: UNIT,
            };
            (
                series,
                births.into_iter().map(object).collect::<Vec<_>>(),
                part.to_string(),
            )
        })
        .collect();
    let judged = |caller: &dyn Fn(usize) -> String| {
        let members: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(index, (series, live, name))| Member {
                site: SiteEvidence::without_deaths(series, live),
                keys: [name.clone(), name.clone(), caller(index)],
            })
            .collect();
        judge_all(&members, &watch)
    };
    let groups = judged(&|_| "load".to_owned());
    assert_eq!((groups.len(), groups[0].level), (1, CALLER));
    assert_eq!(groups[0].judgement.verdict, Verdict::Leaking);
    assert_eq!(groups[0].members.len(), parts.len());
    let groups = judged(&|index| format!("load {index}"));
    let alarms = groups.iter().filter(|group| group.judgement.alarms());
    let alarming: Vec<_> = alarms.flat_map(|group| &group.members).collect();
    assert_eq!(alarming, [&0], "the only one with samples enough");
}
