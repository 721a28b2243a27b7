//! Shapes of collections that real programs showed: maps that are enlarged long after they filled, and caches that
//! are full from the start.

use super::Verdict::{Growing, Leaking, Plateaued, Stable};
use super::*;

/// A seventh set, written when a map of the latest requests and a full cache had been accused. Two rules were changed
/// for it.
pub(crate) const COLLECTIONS: &[Shape] = &[
    // Removed entries use up a map's free slots until it is enlarged, however few it holds.
    innocent_as("full map, enlarged once more", &[Plateaued, Stable], |w| {
        let (full, again) = (0.02 + 0.04 * w.unit(), 0.4 + 0.55 * w.unit());
        enlarged_once_more(w, full, again);
    }),
    innocent_as(
        "full map among requests, enlarged at 0.9 T",
        &[Plateaued, Stable],
        |w| {
            churn(w, 1.0, w.t / 200.0);
            w.site = 1;
            enlarged_once_more(w, 0.05, 0.9);
        },
    ),
    innocent_as(
        "four full maps, each enlarged once more",
        &[Plateaued, Stable],
        |w| {
            for _ in 0..4 {
                let again = 0.2 + 0.75 * w.unit();
                enlarged_once_more(w, 0.03, again);
            }
        },
    ),
    innocent_as(
        "buffer that doubles twice, then stays",
        &[Plateaued, Stable],
        |w| {
            doublings(w, &[0.0, 0.01, 0.02, 0.04, 0.3, 0.35], 4.0);
        },
    ),
    // Filled at once; an entry is replaced at random, or the oldest is. Lives are too long to be seen to end by those
    // that came later, but the first ones do end.
    innocent_as(
        "cache full at once, lives of 0.8 T",
        &[Plateaued, Stable],
        |w| {
            replaced(w, |w| w.exponential(0.8 * w.t));
        },
    ),
    innocent_as(
        "cache full at once, lives of 2 T",
        &[Plateaued, Stable],
        |w| {
            replaced(w, |w| w.exponential(2.0 * w.t));
        },
    ),
    innocent_as(
        "cache full at once, in order over T",
        &[Plateaued, Stable],
        |w| {
            for nth in 0..300u32 {
                let first = f64::from(nth) / 300.0 * w.t;
                w.certain(0.01 * w.t, SMALL, first);
                w.certain(0.01 * w.t + first, SMALL, FOREVER);
            }
        },
    ),
    leak_as(
        "leak after a first batch, freed at 0.3 T",
        &[Leaking],
        |w| {
            let t = w.t;
            w.stream(
                (0.0, 0.02 * t),
                |_| 2_500.0 / t,
                SMALL,
                |_, birth| 0.3 * t - birth,
            );
            pure(w, 150.0);
        },
    ),
    leak_as("leak beside a cache full at once", &[Leaking], |w| {
        replaced(w, |w| w.exponential(0.8 * w.t));
        pure(w, 900.0);
    }),
    leak_as("vector with a first load", &[Growing, Leaking], |w| {
        // The first load takes a fiftieth of the time, and fills a tenth of what it comes to.
        doublings(w, &[0.0, 0.005, 0.01, 0.02, 0.1, 0.27, 0.6], 4.0);
    }),
    leak_as(
        "vector that is filled in bursts",
        &[Growing, Leaking],
        |w| {
            // Full at these parts of what it comes to; it grows in the first tenth of each tenth of the time.
            let mut times = [0.01, 0.03, 0.06, 0.12, 0.25, 0.5, 0.95].map(|part: f64| {
                let tenth = (part * 10.0).floor();
                (tenth + (part * 10.0 - tenth) / 10.0) / 10.0
            });
            times[0] = 0.0;
            doublings(w, &times, 4.0);
        },
    ),
    leak_as("vector, pace falls to a third", &[Growing, Leaking], |w| {
        doublings(w, &[0.0, 0.0375, 0.075, 0.15, 0.3, 0.7], 4.0);
    }),
];

/// Filled evenly until `full` of the run; one that is twice as large takes its place at `again`.
fn enlarged_once_more(w: &mut World, full: f64, again: f64) {
    let evenly = [32.0, 16.0, 8.0, 4.0, 2.0].map(|part| full / part);
    let times: Vec<f64> = [0.0].into_iter().chain(evenly).chain([again]).collect();
    doublings(w, &times, 1.0);
}

/// A collection that is moved to one twice as large at each of these parts of the run; `first` intervals at first.
fn doublings(w: &mut World, times: &[f64], first: f64) {
    let mut size = (first * INTERVAL as f64) as u64;
    for (nth, at) in times.iter().enumerate() {
        let until = times.get(nth + 1).map_or(FOREVER, |next| next * w.t);
        w.object(at * w.t, size, until - at * w.t);
        size *= 2;
    }
}

/// Three hundred entries from the start, each replaced when its life is over.
fn replaced(w: &mut World, life: fn(&mut World) -> f64) {
    for _ in 0..300 {
        let mut birth = 0.0;
        while birth < w.t {
            let life = life(w);
            w.certain(birth, SMALL, life);
            birth += life;
        }
    }
}
