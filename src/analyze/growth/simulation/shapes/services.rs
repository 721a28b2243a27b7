//! Shapes of services' memory, each with the verdicts that were stated before anything was run on them.

use super::Verdict::{Cyclic, Growing, Leaking, Plateaued, Stable};
use super::*;

/// A fourth set of new shapes. The rules were changed after its first figures.
pub(crate) const SERVICES: &[Shape] = &[
    // Live bytes follow the day's load a lifetime later and return each night.
    innocent_as("TTL cache, T/8, daily load", &[Cyclic, Stable], |w| {
        let load = daily(w, 5.0, 0.7);
        w.stream((0.0, w.t), load, SMALL, |w, _| w.t / 8.0);
    }),
    // A pool keeps as many connections as were ever needed at once: steps, ever rarer.
    innocent_as(
        "pool that ratchets with spikes",
        &[Plateaued, Stable],
        pool_ratchet,
    ),
    // Each file is dropped two rotations later.
    innocent_as("log rotation, T/10", &[Cyclic, Stable], |w| {
        let file = w.t / 10.0;
        w.stream(
            (0.0, w.t),
            |_| 1.0,
            SMALL,
            move |_, birth| ((birth / file).floor() + 2.0) * file - birth,
        );
    }),
    // The old configuration goes when the new one has come.
    innocent_as("reload each T/15, old freed", &[Stable, Plateaued], |w| {
        reloads(w, 40.0, 0.0)
    }),
    // A real LRU list under Zipf's law: popular keys live long, none is made anew for ever.
    innocent_as("LRU, Zipf's popularity", &[Stable, Plateaued], zipf_lru),
    // Filled for half of the watch, flat since.
    innocent_as("warm-up over half the watch", &[Plateaued, Stable], |w| {
        let t = w.t;
        w.stream(
            (0.0, t / 2.0),
            |tick| 800.0 / t * (1.0 - 2.0 * tick / t),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    // All is freed after each batch, so nothing is kept, however large the batches become.
    innocent_as("batches that grow", &[Cyclic, Stable], |w| {
        for job in 0..8u32 {
            let at = (f64::from(job) + 0.3) / 8.0;
            let life = w.t / 20.0;
            burst(w, at, at + 0.02, 20.0 * f64::from(job + 1), life);
        }
    }),
    // An outage backs the queue up and is over.
    innocent_as(
        "retry queue that drains",
        &[Cyclic, Stable, Plateaued],
        |w| {
            let (from, to, drained) = (0.55 * w.t, 0.7 * w.t, 0.8 * w.t);
            w.stream(
                (0.0, w.t),
                |_| 2.0,
                SMALL,
                move |w, birth| {
                    let waits = (from..to).contains(&birth);
                    let served = to + (birth - from) / (to - from) * (drained - to);
                    w.exponential(w.t / 150.0) + if waits { served - birth } else { 0.0 }
                },
            );
        },
    ),
    // One table, doubled by realloc until it holds all keys.
    innocent_as("table full at 0.35 T", &[Plateaued, Stable], |w| {
        vector(w, 0.0, 0.35, 150.0)
    }),
    // Twice the clients hold twice the sessions.
    innocent_as("clients double at T/3", &[Plateaued, Stable], |w| {
        let t = w.t;
        ramp_of(
            w,
            move |tick| if tick < t / 3.0 { 0.8 } else { 1.6 },
            t / 10.0,
        );
    }),
    // Each loaded once, most of them early; the last third of the watch sees none.
    innocent_as(
        "modules loaded on first use",
        &[Plateaued, Stable, Verdict::TooEarly],
        |w| {
            for _ in 0..25 {
                let at = 0.02 * 30f64.powf(w.unit());
                burst(w, at, at + 0.001, 4.0, FOREVER);
            }
        },
    ),
    // Workers come and go with their buffers.
    innocent_as("workers replaced, T/20 each", &[Stable, Cyclic], |w| {
        for _ in 0..16 {
            let mut at = 0.0;
            while at < w.t {
                let life = w.exponential(w.t / 20.0);
                w.object(at, 4 << 20, life);
                at += life;
            }
        }
    }),
    // It stopped: nothing has come since.
    innocent_as("leak that stops at T/2", &[Plateaued, Stable], |w| {
        churn(w, 1.0, w.t / 100.0);
        let t = w.t;
        w.stream((0.0, t / 2.0), |_| 120.0 / t, SMALL, |_, _| FOREVER);
    }),
    leak_as("reload each T/15 leaks a quarter", &[Leaking], |w| {
        reloads(w, 32.0, 0.25)
    }),
    leak_as("30 samples under 40 a tick", &[Leaking], |w| {
        churn(w, 40.0, w.t / 400.0);
        pure(w, 30.0);
    }),
    leak_as("leak in ten spells of errors", &[Leaking], |w| {
        churn(w, 1.0, w.t / 80.0);
        for _ in 0..10 {
            let at = 0.98 * w.unit();
            burst(w, at, at + 1.0 / 60.0, 8.0, FOREVER);
        }
    }),
    leak_as("leak from 0.6 T", &[Leaking, Growing], |w| {
        churn(w, 1.0, w.t / 100.0);
        let t = w.t;
        w.stream((0.6 * t, t), |_| 250.0 / t, SMALL, |_, _| FOREVER);
    }),
    // New words come ever more slowly, but for ever.
    leak_as("interner by Heaps' law", &[Leaking, Growing], |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 60.0 / t / ((tick + 0.5) / t).sqrt(),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    leak_as("table that doubles from 0.1 T", &[Growing], |w| {
        vector(w, 0.1, 1.0, 150.0)
    }),
    leak_as("3 % among sessions of T/15", &[Leaking], |w| {
        share(w, 2000.0 / w.t, 0.03, w.t / 15.0)
    }),
    leak_as("channel, consumer at 93 %", &[Growing, Leaking], |w| {
        queue(w, 15.0, 0.93)
    }),
    leak_as("connections not returned, daily load", &[Leaking], |w| {
        let load = daily(w, 4.0, 0.8);
        w.stream((0.0, w.t), load, SMALL, |w, _| w.exponential(w.t / 60.0));
        let load = daily(w, 4.0, 0.8);
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 60.0 / t * load(tick),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    leak_as("one cycle of pointers, 20 sites", &[Leaking], |w| {
        for site in 0..20 {
            w.site = site;
            pure(w, 5.0);
        }
    }),
    leak_as("label values, more by the day", &[Leaking], |w| {
        for day in 0..10u32 {
            let from = f64::from(day) / 10.0;
            burst(w, from + 0.02, from + 0.06, 4.0 + f64::from(day), FOREVER);
        }
    }),
];

/// Load that swings `cycles` times by this share around one sample a tick.
fn daily(w: &World, cycles: f64, share: f64) -> impl Fn(f64) -> f64 + use<> {
    let t = w.t;
    move |tick| 1.0 + share * (tick / t * cycles * std::f64::consts::TAU).sin()
}

fn ramp_of(w: &mut World, load: impl Fn(f64) -> f64, mean: f64) {
    w.stream((0.0, w.t), load, SMALL, |w, _| w.exponential(mean));
}

/// Twenty spikes of exponential height; what exceeds all before it is kept.
fn pool_ratchet(w: &mut World) {
    let mut most = 0.0;
    for _ in 0..3 {
        most = f64::max(most, w.exponential(30.0));
    }
    burst(w, 0.0, 0.05, most, FOREVER);
    for spike in 0..20u32 {
        let at = 0.05 + 0.95 * (f64::from(spike) + w.unit()) / 20.0;
        let height = w.exponential(30.0);
        burst(w, at, at + 0.005, (height - most).max(0.0), FOREVER);
        most = f64::max(most, height);
    }
}

fn reloads(w: &mut World, samples: f64, leaked: f64) {
    for round in 0..15u32 {
        let at = f64::from(round) / 15.0;
        let life = w.t / 15.0 + 1.0;
        burst(w, at, at + 0.003, samples * (1.0 - leaked), life);
        burst(w, at, at + 0.003, samples * leaked, FOREVER);
    }
}

/// 3,000 requests for 1,000 keys; 60 entries of one sample each.
fn zipf_lru(w: &mut World) {
    let weights: Vec<f64> = (1..=1000u32).map(|rank| 1.0 / f64::from(rank)).collect();
    let total: f64 = weights.iter().sum();
    // Least recently used first: key, birth.
    let mut entries: Vec<(usize, f64)> = Vec::new();
    for request in 0..3000u32 {
        let now = (f64::from(request) + w.unit()) / 3000.0 * w.t;
        let mut left = w.unit() * total;
        let key = weights
            .iter()
            .position(|weight| {
                left -= weight;
                left < 0.0
            })
            .unwrap_or(999);
        let entry = match entries.iter().position(|(held, _)| *held == key) {
            Some(at) => entries.remove(at),
            None => (key, now),
        };
        entries.push(entry);
        if entries.len() > 60 {
            let (_, birth) = entries.remove(0);
            w.certain(birth, SMALL, now - birth);
        }
    }
    for (_, birth) in entries {
        w.certain(birth, SMALL, FOREVER);
    }
}
