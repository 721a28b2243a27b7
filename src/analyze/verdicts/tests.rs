use super::*;
use crate::analyze::series::Reading;
use crate::snapshot::evidence::{Deaths, LiveObject};
use crate::snapshot::testing::{self, Builder, dependency, frame, own};
use crate::snapshot::watched::Watched;

const TICKS: u32 = 240;
const MIB: u64 = 1 << 20;

fn watched(sites: Vec<SiteWatch>) -> Watched {
    Watched {
        now: TICKS,
        started: 0,
        tick_seconds: 5.0,
        min_seconds: 300.0,
        sites_left_out: 0,
        sites,
    }
}

fn lived(live: Vec<LiveObject>, at: impl Fn(u32) -> u64, births: u64) -> SiteWatch {
    let mut series = Series::new(0);
    for tick in 0..TICKS {
        series.push(
            tick,
            &Reading {
                live_bytes: at(tick),
                births,
                allocated_bytes: births * testing::INTERVAL,
            },
        );
    }
    SiteWatch {
        series: Some(Box::new(series)),
        deaths: None,
        deaths_since: 0,
        live,
    }
}

/// One object every `apart` ticks from `first` on, none of which dies.
fn leaking(first: u32, apart: u32) -> SiteWatch {
    let live: Vec<LiveObject> = (0..(TICKS - first).div_ceil(apart))
        .map(|index| LiveObject {
            birth: first + index * apart,
            weight: 1.0,
            bytes: testing::INTERVAL,
        })
        .collect();
    let births = live.clone();
    let at = move |tick| {
        let born = births.iter().filter(|object| object.birth <= tick);
        born.count() as u64 * testing::INTERVAL
    };
    lived(live, at, 0)
}

/// Twenty objects a tick, of which the youngest live.
fn churning() -> SiteWatch {
    let live = (0..20)
        .map(|_| LiveObject {
            birth: TICKS - 1,
            weight: 1.0,
            bytes: testing::INTERVAL,
        })
        .collect();
    let mut lived = lived(live, |_| 20 * testing::INTERVAL, 20);
    let mut deaths = Deaths::new();
    for tick in 1..TICKS {
        (0..20).for_each(|_| deaths.record(tick - 1, tick));
    }
    lived.deaths = Some(Box::new(deaths));
    lived
}

fn judged(mut snapshot: Snapshot, lived: Vec<SiteWatch>) -> Report {
    snapshot.watched = Some(Box::new(watched(lived)));
    snapshot.growth().unwrap()
}

/// The chat service of the other reports, watched; its session map leaks.
pub(crate) fn sample_snapshot() -> Snapshot {
    let mut snapshot = testing::sample();
    let mut sites = vec![churning(); snapshot.sites.len()];
    sites[0] = leaking(0, 6);
    snapshot.watched = Some(Box::new(watched(sites)));
    snapshot.info.process.resident_bytes = Some(100 * MIB);
    snapshot.info.process.limit_bytes = Some(4_096 * MIB);
    snapshot
}

pub(crate) fn sample() -> Report {
    sample_snapshot().growth().unwrap()
}

#[test]
fn the_leak_is_first_and_says_when_memory_runs_out() {
    let report = sample();
    let first = &report.verdicts[0];
    assert_eq!(first.verdict, Verdict::Leaking);
    assert_eq!(first.function, "chat::register");
    assert_eq!(first.location.as_deref(), Some("src/chat.rs:41"));
    assert_eq!(first.krate, "chat");
    assert_eq!(report.count(Verdict::Leaking), 1);
    let rate = testing::INTERVAL as f64 / 30.0;
    let found = &first.rate_bytes_per_second;
    assert!(found.low < rate && rate < found.high, "{found:?}");
    let left = report.memory.unwrap().seconds_to_limit.unwrap();
    let expected = (3_996 * MIB) as f64 / found.estimate;
    assert!((left.estimate / expected - 1.0).abs() < 1e-9);
    assert!(left.low < left.estimate && left.estimate < left.high);
    assert_eq!(report.memory.unwrap().limit, Some(Limit::Cgroup));
}

/// A container's limit that the machine cannot give is not what ends the process.
#[test]
fn the_limit_that_is_reached_first_counts() {
    let mut snapshot = sample_snapshot();
    let process = &mut snapshot.info.process;
    process.machine_bytes = Some(8_192 * MIB);
    process.machine_available_bytes = Some(1_000 * MIB);
    let memory = snapshot.growth().unwrap().memory.unwrap();
    assert_eq!(memory.limit, Some(Limit::Machine));
    assert_eq!(memory.left_bytes, Some(1_000 * MIB));
    snapshot.info.process.machine_available_bytes = Some(5_000 * MIB);
    let memory = snapshot.growth().unwrap().memory.unwrap();
    assert_eq!(memory.limit, Some(Limit::Cgroup));
    assert_eq!(memory.left_bytes, Some(3_996 * MIB));
    snapshot.info.process.limit_bytes = None;
    let memory = snapshot.growth().unwrap().memory.unwrap();
    assert_eq!(
        (memory.limit, memory.limit_bytes),
        (Some(Limit::Machine), Some(8_192 * MIB))
    );
}

/// One mistake that splits into stacks which are each too small to be judged, below a container
/// that is nobody's fault.
fn split() -> (Snapshot, Vec<SiteWatch>) {
    let mut b = Builder::new();
    let slab = dependency("slab", "0.4.9");
    let insert = b.location(1, &[frame("slab::Slab<T>::insert", "src/lib.rs", 9, slab)]);
    let open = b.location(2, &[frame("chat::open", "src/chat.rs", 7, own("chat"))]);
    for caller in 0..4 {
        let name = format!("chat::caller_{caller}");
        let caller_at = b.location(10 + caller, &[frame(&name, "src/main.rs", 3, own("chat"))]);
        b.site(caller, &[insert, open, caller_at], &[500_000.0; 4], 0);
    }
    let lived = (0..4).map(|site| leaking(site * 15, 60)).collect();
    (b.build(), lived)
}

/// Without the roll-up none of the four would be seen; named by the container, none would be found.
#[test]
fn one_mistake_at_many_stacks_is_one_verdict_named_by_what_they_share() {
    let (snapshot, lived) = split();
    let report = judged(snapshot, lived);
    assert_eq!(report.verdicts.len(), 1);
    let growth = &report.verdicts[0];
    assert_eq!(growth.verdict, Verdict::Leaking, "{growth}");
    assert_eq!((growth.function.as_str(), growth.sites), ("chat::open", 4));
    let names: Vec<&str> = growth.frames.iter().map(|f| f.function.as_str()).collect();
    assert_eq!(names, ["chat::open"]);
    let (snapshot, mut lived) = split();
    let alone = judged(snapshot, lived.drain(..1).collect());
    assert_eq!(alone.count(Verdict::Leaking), 0, "{alone}");
}

/// Every frame of every verdict made this report 60 MB, kept and asked for every ten seconds.
#[test]
fn frames_go_to_the_worst_and_are_bounded() {
    const SITES: u64 = 2_000;
    let mut b = Builder::new();
    let place = |n: u64| {
        let name = format!("chat::handlers::handle_{n}<alloc::vec::Vec<u8>, chat::Session>");
        frame(&name, "src/handlers.rs", 10, own("chat"))
    };
    let shared: Vec<u32> = (0..60).map(|n| b.location(n + 1, &[place(n)])).collect();
    for site in 0..SITES {
        let mut stack = vec![b.location(1_000 + site, &[place(1_000 + site)])];
        stack.extend(&shared);
        b.site(site, &stack, &[1e6], 0);
    }
    let calm = lived(Vec::new(), |_| 20 * testing::INTERVAL, 0);
    let mut sites = vec![calm; SITES as usize];
    *sites.last_mut().unwrap() = leaking(0, 6);
    let report = judged(b.build(), sites);
    assert_eq!(report.verdicts.len(), SITES as usize);
    assert_eq!(report.verdicts[0].verdict, Verdict::Leaking);
    let whole = report.verdicts.len() - report.verdicts_without_frames;
    assert!((10..1_000).contains(&whole), "{whole}");
    let (with, without) = report.verdicts.split_at(whole);
    assert!(with.iter().all(|growth| growth.frames.len() == 61));
    assert!(without.iter().all(|growth| growth.frames.is_empty()));
    let json = report.to_json();
    assert!(json.len() < 24 << 20, "{} bytes", json.len());
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["verdicts_without_frames"], SITES - whole as u64);
}

/// Two calm sites that hold about the same must not take turns, nor two stacks of one: each turn would
/// be a new series in Prometheus.
#[cfg(feature = "server")]
#[test]
fn those_that_are_shown_stay() {
    let snapshot = |last: [f64; 2], stacks: [f64; 2]| {
        let mut b = Builder::new();
        let mut hold = |site: u64, callers: &[u64], bytes: f64| {
            let name = format!("chat::hold_{site}");
            let held = b.location(site, &[frame(&name, "src/chat.rs", 7, own("chat"))]);
            let mut stack = vec![held];
            stack.extend(callers.iter().map(|caller| {
                let main = frame("std::rt::main", "rt.rs", 1, crate::snapshot::Origin::Std);
                b.location(*caller, &[main])
            }));
            b.site(stack.len() as u64 * 1_000 + site, &stack, &[bytes], 0);
        };
        (1..19).for_each(|site| hold(site, &[], 2e7));
        hold(19, &[], last[0]);
        hold(20, &[], last[1]);
        hold(21, &[], stacks[0]);
        hold(21, &[100], stacks[1]);
        let mut snapshot = b.build();
        snapshot.watched = Some(Box::new(watched(vec![churning(); snapshot.sites.len()])));
        snapshot
    };
    let ids = |overview: &Overview| {
        let mut ids: Vec<u64> = overview.shown.iter().map(|growth| growth.site).collect();
        ids.sort_unstable();
        ids
    };
    let first = snapshot([8.1e6, 8e6], [5.1e7, 5e7]).growth_overview(None);
    let first = first.unwrap();
    assert_eq!(ids(&first).len(), 20);
    let later = snapshot([8e6, 8.1e6], [5e7, 5.1e7]);
    let anew = later.growth_overview(None).unwrap();
    let gone = ids(&first)
        .into_iter()
        .filter(|id| !ids(&anew).contains(id));
    assert_eq!(gone.count(), 2, "both would be others");
    let next = later.growth_overview(Some(&first)).unwrap();
    assert_eq!(ids(&next), ids(&first));
}

/// The fields that the design promises to scripts.
#[test]
fn a_verdict_serialises_to_the_agreed_fields() {
    let json = serde_json::to_value(&sample().verdicts[0]).unwrap();
    let fields: Vec<&str> = json
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    for field in [
        "verdict",
        "pattern",
        "site",
        "function",
        "location",
        "own_function",
        "own_location",
        "crate",
        "type",
        "task",
        "rate_bytes_per_second",
        "live_bytes",
        "live_objects",
        "watched_seconds",
        "confidence",
        "evidence",
        "caution",
        "frames",
    ] {
        assert!(fields.contains(&field), "{field} is not among {fields:?}");
    }
    assert_eq!(json["verdict"], "leaking");
    assert_eq!(json["site"], "0000000000001111");
    assert_eq!(json["frames"][2]["function"], "chat::register");
    assert!(json["rate_bytes_per_second"]["low"].is_number());
}
