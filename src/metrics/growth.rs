//! What the history says: when it was last noted, and the verdicts.

use std::time::{SystemTime, UNIX_EPOCH};

use super::families::{Family, Labels};
use crate::analyze::{Growth, Overview};

/// Whether the history goes on.
pub(super) fn history(last_tick: SystemTime, tick_seconds: f64) -> Vec<Family> {
    let since_epoch = last_tick.duration_since(UNIX_EPOCH).unwrap_or_default();
    vec![
        Family::gauge(
            "heapwatch_last_tick_timestamp",
            "When the history of call sites was last noted, since unix epoch in seconds.",
        )
        .seconds()
        .value(since_epoch.as_secs_f64()),
        Family::gauge(
            "heapwatch_tick",
            "Time between two points of the history of call sites.",
        )
        .seconds()
        .value(tick_seconds),
    ]
}

/// What the verdicts say.
pub(super) fn verdicts(overview: &Overview) -> Vec<Family> {
    let sites = Family::gauge(
        "heapwatch_sites",
        "Call sites by what their history says of them.",
    );
    let counts = overview.counts.iter();
    let sites = counts.fold(sites, |family, (verdict, count)| {
        let labels = vec![("verdict", verdict.name().to_owned())];
        family.labelled(labels, *count as u64)
    });
    let mut rate = Family::gauge(
        "heapwatch_site_growth_bytes_per_second",
        "Growth of the call sites that leak or grow, and of those that hold most, estimated.",
    );
    let mut low = Family::gauge(
        "heapwatch_site_growth_low_bytes_per_second",
        "Lower end of the 95 % interval of heapwatch_site_growth_bytes_per_second.",
    );
    let mut high = Family::gauge(
        "heapwatch_site_growth_high_bytes_per_second",
        "Upper end of the 95 % interval of heapwatch_site_growth_bytes_per_second.",
    );
    for growth in &overview.shown {
        let estimate = growth.rate_bytes_per_second;
        rate = rate.labelled(labels(growth), estimate.estimate);
        low = low.labelled(labels(growth), estimate.low);
        high = high.labelled(labels(growth), estimate.high);
    }
    vec![sites, rate, low, high]
}

/// All but the verdict are the same while the same stacks are judged together. A function and a place
/// other than before are those of the caller, when its callees are judged as one, or no longer are.
fn labels(growth: &Growth) -> Labels {
    vec![
        ("site", format!("{:016x}", growth.site)),
        ("function", growth.function.clone()),
        ("location", growth.location.clone().unwrap_or_default()),
        (
            "own_location",
            growth.own_location.clone().unwrap_or_default(),
        ),
        ("verdict", growth.verdict.name().to_owned()),
    ]
}
