use super::*;
use crate::analyze::series::Reading;
use crate::snapshot::evidence::{Deaths, LiveObject};
use crate::snapshot::testing::{self, Builder, dependency, frame, own};

const TICKS: u32 = 240;
const MIB: u64 = 1 << 20;

fn watched() -> Watched {
    Watched {
        watch: Watch {
            now: TICKS,
            started: 0,
            tick_seconds: 5.0,
            interval_bytes: testing::INTERVAL,
            min_seconds: 300.0,
            min_bytes: 256 * 1024,
        },
        sites_left_out: 0,
        resident_bytes: Some(100 * MIB),
        limit_bytes: Some(4_096 * MIB),
    }
}

/// A site's series and evidence.
type Lived = (Series, Evidence);

fn lived(site: u32, live: Vec<LiveObject>, at: impl Fn(u32) -> u64, births: u64) -> Lived {
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
    let evidence = Evidence {
        site: SiteKey::of(site),
        deaths: None,
        live,
    };
    (series, evidence)
}

/// One object every `apart` ticks from `first` on, none of which dies.
fn leaking(site: u32, first: u32, apart: u32) -> Lived {
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
    lived(site, live, at, 0)
}

/// Twenty objects a tick, of which the youngest live.
fn churning(site: u32) -> Lived {
    let live = (0..20)
        .map(|_| LiveObject {
            birth: TICKS - 1,
            weight: 1.0,
            bytes: testing::INTERVAL,
        })
        .collect();
    let mut lived = lived(site, live, |_| 20 * testing::INTERVAL, 20);
    let mut deaths = Deaths::new();
    for tick in 1..TICKS {
        (0..20).for_each(|_| deaths.record(tick - 1, tick));
    }
    lived.1.deaths = Some(deaths);
    lived
}

fn judged(snapshot: &Snapshot, lived: Vec<Lived>) -> Report {
    let (series, evidence): (Vec<Series>, Vec<Evidence>) = lived.into_iter().unzip();
    let histories = evidence.iter().map(|one| one.site).zip(series).collect();
    verdicts(snapshot, &evidence, &histories, &watched())
}

/// The chat service of the other reports, of which the session map leaks.
pub(crate) fn sample() -> Report {
    let snapshot = testing::sample();
    let lived = (0..snapshot.sites.len() as u32)
        .map(|site| {
            if site == 0 {
                leaking(site, 0, 6)
            } else {
                churning(site)
            }
        })
        .collect();
    judged(&snapshot, lived)
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
}

/// One mistake that splits into stacks which are each too small to be judged, below a container
/// that is nobody's fault.
fn split() -> (Snapshot, Vec<Lived>) {
    let mut b = Builder::new();
    let slab = dependency("slab", "0.4.9");
    let insert = b.location(1, &[frame("slab::Slab<T>::insert", "src/lib.rs", 9, slab)]);
    let open = b.location(2, &[frame("chat::open", "src/chat.rs", 7, own("chat"))]);
    for caller in 0..4 {
        let name = format!("chat::caller_{caller}");
        let caller_at = b.location(10 + caller, &[frame(&name, "src/main.rs", 3, own("chat"))]);
        b.site(caller, &[insert, open, caller_at], &[500_000.0; 4], 0);
    }
    let lived = (0..4).map(|site| leaking(site, site * 15, 60)).collect();
    (b.build(), lived)
}

/// Without the roll-up none of the four would be seen; named by the container, none would be found.
#[test]
fn one_mistake_at_many_stacks_is_one_verdict_named_by_what_they_share() {
    let (snapshot, lived) = split();
    let report = judged(&snapshot, lived);
    assert_eq!(report.verdicts.len(), 1);
    let growth = &report.verdicts[0];
    assert_eq!(growth.verdict, Verdict::Leaking, "{growth}");
    assert_eq!((growth.function.as_str(), growth.sites), ("chat::open", 4));
    let names: Vec<&str> = growth.frames.iter().map(|f| f.function.as_str()).collect();
    assert_eq!(names, ["chat::open"]);
    let (snapshot, mut lived) = split();
    let alone = judged(&snapshot, lived.drain(..1).collect());
    assert_eq!(alone.count(Verdict::Leaking), 0, "{alone}");
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
