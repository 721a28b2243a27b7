//! Shapes that no rule was ever changed for.

use super::Verdict::{Cyclic, Growing, Leaking, Plateaued, Stable};
use super::*;

/// A sixth set: what the rules do on shapes that they have never been fitted to.
pub(crate) const CLOSING: &[Shape] = &[
    innocent_as("lives from T/10 to T/5", &[Stable, Plateaued], |w| {
        stream(w, 1.0, |w, _| w.t * (0.1 + 0.1 * w.unit()))
    }),
    innocent_as("TTL T/4, load falls to half", &[Stable, Plateaued], |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 1.0 - 0.5 * tick / t,
            SMALL,
            |w, _| w.t / 4.0,
        );
    }),
    // Each spike fills the pool, which is trimmed bit by bit.
    innocent_as("pool that is trimmed", &[Cyclic, Stable, Plateaued], |w| {
        for spike in 0..8u32 {
            let at = (f64::from(spike) + w.unit()) / 8.0;
            for _ in 0..40 {
                let life = w.unit() * w.t / 8.0;
                w.certain(at * w.t, SMALL, life);
            }
        }
    }),
    innocent_as(
        "code cache that fills, e-fold T/15",
        &[Plateaued, Stable],
        |w| {
            churn(w, 0.5, w.t / 60.0);
            let t = w.t;
            w.stream(
                (0.0, t),
                |tick| 200.0 * 15.0 / t * (-15.0 * tick / t).exp(),
                SMALL,
                |_, _| FOREVER,
            );
        },
    ),
    innocent_as(
        "tables full at 0.1, 0.2, 0.3 T",
        &[Plateaued, Stable],
        |w| {
            for site in 0..3 {
                w.site = site;
                vector(w, 0.0, 0.1 * (1.0 + site as f64), 80.0);
            }
        },
    ),
    innocent_as("tenants of the first third", &[Plateaued, Stable], |w| {
        churn(w, 1.0, w.t / 90.0);
        burst(w, 0.0, 0.33, 120.0, FOREVER);
    }),
    innocent_as("twenty batches", &[Cyclic, Stable], |w| {
        for job in 0..20u32 {
            let at = f64::from(job) / 20.0;
            let life = w.t / 25.0;
            burst(w, at, at + 0.005, 50.0, life);
        }
    }),
    innocent_as("log segments until each T/9", &[Cyclic, Stable], |w| {
        stream(w, 0.5, |w, birth| {
            let checkpoint = w.t / 9.0;
            checkpoint - birth % checkpoint + w.t / 200.0
        });
    }),
    innocent_as("lives by the time of day", &[Cyclic, Stable], |w| {
        stream(w, 1.0, |w, birth| {
            let day = 1.0 + (birth / w.t * 4.0 * std::f64::consts::TAU).sin();
            w.exponential(w.t / 100.0 + w.t / 50.0 * day)
        });
    }),
    innocent_as(
        "load halves and returns",
        &[Stable, Cyclic, Plateaued],
        |w| ramp(w, |x| if (0.4..0.6).contains(&x) { 1.0 } else { 2.0 }),
    ),
    innocent_as("Pareto lives, 1.3", &[Stable, Plateaued], |w| {
        stream(w, 2.0, |w, _| w.t / 400.0 * w.exponential(1.0 / 1.3).exp());
    }),
    innocent_as("a part replaced at 0.6 T", &[Stable, Plateaued], |w| {
        let life = 0.4 * w.t;
        burst(w, 0.2, 0.22, 80.0, life);
        burst(w, 0.6, 0.62, 100.0, FOREVER);
        churn(w, 0.3, w.t / 70.0);
    }),
    innocent_as(
        "forty sites of sawteeth",
        &[Cyclic, Stable, Plateaued],
        |w| {
            for site in 0..40 {
                w.site = site;
                sawtooth(w, 40.0 / w.t, w.t / 9.0, 0.0);
            }
        },
    ),
    leak_as("2 % of requests, load doubles at T/2", &[Leaking], |w| {
        let t = w.t;
        let load = move |tick: f64| {
            if tick < t / 2.0 {
                1500.0 / t
            } else {
                3000.0 / t
            }
        };
        w.stream((0.0, t), load, SMALL, |w, _| {
            if w.unit() < 0.02 {
                FOREVER
            } else {
                w.exponential(w.t / 150.0)
            }
        });
    }),
    leak_as("one of ten sites of one caller", &[Leaking], |w| {
        for site in 0..10 {
            w.site = site;
            churn(w, 60.0 / w.t, w.t / 40.0);
        }
        pure(w, 35.0);
    }),
    leak_as("25 samples among sessions of T/25", &[Leaking], |w| {
        churn(w, 500.0 / w.t, w.t / 25.0);
        pure(w, 25.0);
    }),
    // Filled by day only.
    leak_as("vector that is filled by day", &[Growing], |w| {
        let first = w.objects.len();
        vector(w, 0.0, 1.0, 120.0);
        let t = w.t;
        let warp = |at: f64| {
            let x = at / t;
            t * (x + 0.9 / (6.0 * std::f64::consts::TAU) * (x * 6.0 * std::f64::consts::TAU).sin())
        };
        for object in &mut w.objects[first..] {
            let death = warp((object.birth + object.life).min(10.0 * t));
            object.birth = warp(object.birth);
            if object.life.is_finite() {
                object.life = death - object.birth;
            }
        }
    }),
    leak_as(
        "80 samples from T/2 beside sessions",
        &[Leaking, Growing],
        |w| {
            churn(w, 1.0, w.t / 50.0);
            let t = w.t;
            w.stream((0.5 * t, t), |_| 160.0 / t, SMALL, |_, _| FOREVER);
        },
    ),
    leak_as("queue, consumer at 88 %", &[Growing, Leaking], |w| {
        queue(w, 8.0, 0.88)
    }),
    leak_as("25 objects of 2 MiB", &[Leaking], |w| {
        let t = w.t;
        w.stream((0.0, t), |_| 25.0 / t, 2 << 20, |_, _| FOREVER);
    }),
    leak_as("every third batch is kept", &[Leaking], |w| {
        for job in 0..30u32 {
            let at = f64::from(job) / 30.0;
            let life = if job % 3 == 0 { FOREVER } else { w.t / 60.0 };
            burst(w, at, at + 0.005, 12.0, life);
        }
    }),
    leak_as("leak that grows with uptime", &[Leaking], |w| {
        churn(w, 0.5, w.t / 80.0);
        let t = w.t;
        w.stream((0.0, t), |tick| 120.0 * tick / t / t, SMALL, |_, _| FOREVER);
    }),
    leak_as("LRU full at T/4, some pinned", &[Leaking], |w| {
        lru(w, 0.25);
        pure(w, 50.0);
    }),
    leak_as("listeners, 6 % never removed", &[Leaking], |w| {
        share(w, 900.0 / w.t, 0.06, w.t / 20.0)
    }),
];
