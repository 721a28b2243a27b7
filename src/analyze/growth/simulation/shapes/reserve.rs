//! Shapes with stated verdicts that were written together with the set before and not run until the
//! rules had been changed for that one.

use super::Verdict::{Cyclic, Growing, Leaking, Plateaued, Stable};
use super::*;

/// A fifth set of new shapes. One rule was changed after its first figures.
pub(crate) const RESERVE: &[Shape] = &[
    innocent_as(
        "gamma lives, shape 2, mean T/7",
        &[Stable, Plateaued],
        |w| {
            stream(w, 1.0, |w, _| {
                w.exponential(w.t / 14.0) + w.exponential(w.t / 14.0)
            });
        },
    ),
    innocent_as("a tenth lives T/9 among T/200", &[Stable], |w| {
        stream(w, 3.0, |w, _| {
            let mean = w.t / if w.unit() < 0.1 { 9.0 } else { 200.0 };
            w.exponential(mean)
        });
    }),
    innocent_as(
        "TTL T/5 with jitter, load to 2x",
        &[Plateaued, Stable],
        |w| {
            let t = w.t;
            w.stream(
                (0.0, t),
                |tick| 0.5 + (tick / t).min(0.5),
                SMALL,
                |w, _| w.t / 5.0 * (0.7 + 0.6 * w.unit()),
            );
        },
    ),
    // Garbage of the old generation stays until the next full collection.
    innocent_as("two generations, full at T/6", &[Cyclic, Stable], |w| {
        stream(w, 2.0, |w, birth| {
            if w.unit() < 0.15 {
                let full = w.t / 6.0;
                full - birth % full
            } else {
                w.exponential(w.t / 100.0)
            }
        });
    }),
    innocent_as("idle connections, weekly load", &[Cyclic, Stable], |w| {
        let t = w.t;
        let load = move |tick: f64| {
            if (tick / t * 14.0).rem_euclid(7.0) >= 5.0 {
                0.3
            } else {
                1.5
            }
        };
        w.stream((0.0, t), load, SMALL, |w, _| {
            w.t / 12.0 + w.exponential(w.t / 100.0)
        });
    }),
    // Everything is built anew once, and the old dropped.
    innocent_as("state rebuilt at T/2", &[Stable, Plateaued], |w| {
        churn(w, 0.5, w.t / 80.0);
        let life = 0.5 * w.t;
        burst(w, 0.0, 0.03, 150.0, life);
        burst(w, 0.5, 0.52, 180.0, FOREVER);
    }),
    innocent_as("copy held each T/5", &[Cyclic, Stable], |w| {
        burst(w, 0.0, 0.03, 100.0, FOREVER);
        for round in 0..5u32 {
            let at = (f64::from(round) + 0.6) / 5.0;
            let life = w.t / 40.0;
            burst(w, at, at + 0.005, 100.0, life);
        }
    }),
    innocent_as(
        "overflow of TTL caches and steps",
        &[Stable, Plateaued],
        |w| {
            w.mixed = true;
            stream(w, 0.5, |w, _| w.t / 7.0);
            stream(w, 0.5, |w, _| w.t / 20.0);
            burst(w, 0.2, 0.21, 60.0, FOREVER);
            burst(w, 0.4, 0.41, 60.0, FOREVER);
        },
    ),
    innocent_as("lives of T/10, interval changed twice", &[Stable], |w| {
        w.interval = |x| match (x * 3.0) as u32 {
            1 => INTERVAL / 8,
            _ => INTERVAL,
        };
        churn(w, 0.5, w.t / 10.0);
    }),
    innocent_as(
        "result kept until the next run, T/6",
        &[Stable, Cyclic],
        |w| {
            for round in 0..6u32 {
                let at = f64::from(round) / 6.0;
                let life = w.t / 6.0;
                burst(w, at, at + 0.01, 80.0, life);
            }
        },
    ),
    innocent_as("Pareto lives, 1.5", &[Stable, Plateaued], |w| {
        pareto(w, 1.5)
    }),
    // The heaviest tail of which the mean is not known: half of those of any age die before twice that age.
    innocent_as("Pareto lives, 1.0", &[Stable, Plateaued], |w| {
        pareto(w, 1.0)
    }),
    innocent_as("lognormal T/20, sigma 1", &[Stable, Plateaued], |w| {
        stream(w, 1.0, |w, _| w.lognormal(w.t / 20.0, 1.0))
    }),
    innocent_as("Weibull lives, shape 0.5", &[Stable, Plateaued], |w| {
        burst(w, 0.0, 0.08, 100.0, FOREVER);
        stream(w, 1.0, |w, _| w.t / 100.0 * w.exponential(1.0).powi(2));
    }),
    leak_as("40 samples among Weibull lives", &[Leaking], |w| {
        stream(w, 2000.0 / w.t, |w, _| {
            w.t / 60.0 * w.exponential(1.0).powf(1.0 / 0.7)
        });
        pure(w, 40.0);
    }),
    leak_as("40 samples among lognormal, sigma 1", &[Leaking], |w| {
        stream(w, 1000.0 / w.t, |w, _| w.lognormal(w.t / 100.0, 1.0));
        pure(w, 40.0);
    }),
    leak_as("8 % among sessions of T/10", &[Leaking], |w| {
        share(w, 1500.0 / w.t, 0.08, w.t / 10.0)
    }),
    leak_as("leak on weekdays only", &[Leaking], |w| {
        churn(w, 1.0, w.t / 60.0);
        let t = w.t;
        let weekday = move |tick: f64| (tick / t * 28.0).rem_euclid(7.0) < 5.0;
        w.stream(
            (0.0, t),
            move |tick| if weekday(tick) { 60.0 / t } else { 0.0 },
            SMALL,
            |_, _| FOREVER,
        );
    }),
    leak_as("leak of 64 B and of 1 MiB", &[Leaking], |w| {
        let t = w.t;
        w.stream((0.0, t), |_| 15.0 / t, 64, |_, _| FOREVER);
        w.stream((0.0, t), |_| 20.0 / t, 1 << 20, |_, _| FOREVER);
    }),
    leak_as("compaction misses 8 %", &[Leaking], |w| {
        sawtooth(w, 1000.0 / w.t, w.t / 8.0, 0.08)
    }),
    leak_as("leak from 0.3 T beside 500 statics", &[Leaking], |w| {
        burst(w, 0.0, 0.04, 500.0, FOREVER);
        let t = w.t;
        w.stream((0.3 * t, t), |_| 70.0 / t, SMALL, |_, _| FOREVER);
    }),
    leak_as(
        "random server at 80 % of arrivals",
        &[Growing, Leaking],
        |w| {
            let (mut clock, mut free) = (0.0, 0.0);
            while clock < w.t {
                clock += w.exponential(0.2);
                let service = w.exponential(0.25);
                free = f64::max(free, clock) + service;
                w.certain(clock, SMALL, free - clock);
            }
        },
    ),
    leak_as("6 shards of a map", &[Growing, Leaking], |w| shards(w, 6)),
    leak_as("25 samples, interval to 64 KiB at T/2", &[Leaking], |w| {
        w.interval = finer_later;
        churn(w, 0.3, w.t / 50.0);
        pure(w, 25.0);
    }),
    leak_as("overflow of twenty, one leaks", &[Growing], |w| {
        w.mixed = true;
        for part in 1..20u32 {
            churn(w, 0.1, w.t / (20.0 + 10.0 * f64::from(part)));
        }
        pure(w, 50.0);
    }),
    leak_as("15 % of requests hang from 0.2 T", &[Leaking], |w| {
        let rate = 400.0 / w.t;
        stream(w, rate, |w, birth| {
            if birth > 0.2 * w.t && w.unit() < 0.15 {
                FOREVER
            } else {
                w.exponential(w.t / 100.0)
            }
        });
    }),
];

/// Lives of at least T/200, of which the share above `x` is `(T/200/x)^shape`.
fn pareto(w: &mut World, shape: f64) {
    w.stream(
        (0.0, w.t),
        |_| 2.0,
        SMALL,
        |w, _| w.t / 200.0 * w.exponential(1.0 / shape).exp(),
    );
}
