use super::*;
use crate::report::golden;

fn rate(estimate: f64, low: f64, high: f64) -> Estimate {
    Estimate {
        estimate,
        low,
        high,
    }
}

/// A rate that nobody can picture, or with digits that nobody knows, would be of no use in a ticket.
#[test]
fn rates_are_told_in_mebibytes_at_least_where_they_can_be() {
    let mib = 1_048_576.0;
    let text = |per_second: f64| {
        let rate = rate(per_second, per_second * 0.9, per_second * 1.1);
        rate_text(&rate)
    };
    assert_eq!(text(3.0 * mib), "3.0 MiB/s ± 0.3");
    assert_eq!(text(3.1 * mib / 60.0), "3.1 MiB/min ± 0.3");
    assert_eq!(text(3.0 * mib / 3_600.0), "3.0 MiB/h ± 0.3");
    assert_eq!(text(3.0), "10.5 KiB/h ± 1.1");
}

/// Someone at 3 a.m. reads this line: infinity is no time of day.
#[test]
fn the_outlook_is_told_as_far_as_it_is_known() {
    let memory = |limit, seconds_to_limit| Memory {
        resident_bytes: 1 << 30,
        limit,
        limit_bytes: limit.map(|_| 4 << 30),
        left_bytes: limit.map(|_| 3 << 30),
        seconds_to_limit,
    };
    let hour = Some(rate(3_600.0, 1_800.0, 7_200.0));
    assert_eq!(
        outlook(&memory(Some(Limit::Cgroup), hour)),
        "memory: 1 GiB resident of 4 GiB that its control group may have; at this growth it is reached in 60 min (30 min to 2 h)"
    );
    let machine = outlook(&memory(Some(Limit::Machine), None));
    assert!(
        machine.starts_with("memory: 1 GiB resident, 3 GiB available of the machine's 4 GiB;"),
        "{machine}"
    );
    let unknown = outlook(&memory(None, None));
    assert!(unknown.ends_with("no limit is known"), "{unknown}");
    let memory = |seconds| memory(Some(Limit::Cgroup), seconds);
    let open = outlook(&memory(Some(rate(3_600.0, 1_800.0, f64::INFINITY))));
    assert!(open.ends_with("60 min (30 min at the soonest)"), "{open}");
    let calm = outlook(&memory(None));
    assert!(
        calm.ends_with("nothing is known to grow towards it"),
        "{calm}"
    );
}

/// A rate that was ten samples at the present interval is not what the past could show, and with
/// sampling off no rate is.
#[test]
fn what_cannot_be_seen_yet_is_told_by_the_largest_interval() {
    let mut snapshot = crate::analyze::watched_sample();
    let told = |snapshot: &crate::Snapshot| {
        let report = snapshot.growth().unwrap();
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        (
            json["too_early_below_bytes_per_second"].clone(),
            report.to_string(),
        )
    };
    let (before, _) = told(&snapshot);
    snapshot.info.interval_bytes /= 64;
    assert_eq!(told(&snapshot).0, before);
    snapshot.info.interval_bytes = 0;
    let (rate, text) = told(&snapshot);
    assert!(rate.is_null(), "{rate}");
    assert!(text.contains("\nsampling is off: "), "{text}");
    assert!(!text.contains("too early to tell below"), "{text}");
    snapshot.info.interval_bytes = 1;
    snapshot.info.was_off = true;
    let (rate, text) = told(&snapshot);
    assert!(rate.is_null(), "{rate}");
    assert!(text.contains("\nsampling was off "), "{text}");
}

/// Scripts read these fields and people paste these lines: a change to them is a change to the
/// public surface.
#[test]
fn report_is_as_agreed() {
    let report = crate::analyze::growth_sample();
    golden::check("growth.json", &report.to_json());
    golden::check("growth.txt", &report.to_string());
}
