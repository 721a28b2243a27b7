//! A second set of new shapes.

use super::*;

/// A second set, written after the rules had been changed for the first; its own first figures led to
/// changes too, so it is not blind any more.
pub(crate) const FRESH: &[Shape] = &[
    innocent("uniform lives up to T/5", |w| {
        stream(w, 1.0, |w, _| w.unit() * w.t / 5.0)
    }),
    innocent("Weibull lives, shape 0.7", |w| {
        stream(w, 1.0, |w, _| {
            w.t / 40.0 * w.exponential(1.0).powf(1.0 / 0.7)
        });
    }),
    innocent("TTL T/10, a fifth refreshed", |w| {
        stream(w, 1.0, |w, _| {
            w.t / 10.0 * if w.unit() < 0.2 { 2.0 } else { 1.0 }
        });
    }),
    innocent("cache that drops its older half", |w| {
        // Full at 0.25 T; then half of it, the older, goes each 0.125 T.
        stream(w, 1.0, |w, birth| {
            let step = 0.125 * w.t;
            ((birth / step).floor() + 2.0) * step - birth
        });
    }),
    innocent("nightly job at 0.8 T", |w| {
        churn(w, 0.5, w.t / 60.0);
        let life = 0.1 * w.t;
        burst(w, 0.8, 0.82, 150.0, life);
    }),
    innocent("load and lives double at 0.6 T", |w| {
        let t = w.t;
        w.stream(
            (0.0, 0.6 * t),
            |_| 1.0,
            SMALL,
            |w, _| w.exponential(w.t / 60.0),
        );
        w.stream(
            (0.6 * t, t),
            |_| 2.0,
            SMALL,
            |w, _| w.exponential(w.t / 30.0),
        );
    }),
    innocent("pool that fills, e-fold T/10", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 150.0 / (0.1 * t) * (-tick / (0.1 * t)).exp(),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    innocent("resized buffer", |w| {
        let mut at = 0.0;
        while at < w.t {
            let life = w.exponential(w.t / 50.0);
            let size = (1u64 << 20) << (w.unit() * 4.0) as u32;
            w.object(at, size, life);
            at += life;
        }
    }),
    innocent("arena reset each T/9", |w| {
        for round in 0..9 {
            let from = f64::from(round) / 9.0;
            vector_for(w, from, from + 0.11, 60.0, from + 0.11);
        }
    }),
    innocent("wandering load", |w| {
        let (mut level, t) = (0.0, w.t);
        let keep = (-20.0 / t).exp();
        for tick in 0..t as u32 {
            level = level * keep + (1.0 - keep * keep).sqrt() * (w.lognormal(1.0, 1.0)).ln();
            let rate = (0.5 * level).exp();
            let from = f64::from(tick);
            w.stream(
                (from, from + 1.0),
                |_| rate,
                SMALL,
                |w, _| w.exponential(w.t / 50.0),
            );
        }
    }),
    innocent("load to 3x, lives of T/12", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 0.5 + tick / t,
            SMALL,
            |w, _| w.exponential(w.t / 12.0),
        );
    }),
    innocent("consumer that stalls and drains", |w| {
        stream(w, 2.0, |w, birth| {
            let stall = w.t / 40.0;
            let into = birth % (w.t / 8.0);
            w.t / 300.0 + (stall - into).max(0.0)
        });
    }),
    innocent("double buffers of 32 MiB", |w| {
        for phase in 0..4 {
            let mut at = f64::from(phase) * w.t / 40.0;
            while at < w.t {
                w.object(at, 32 << 20, w.t / 10.0);
                at += w.t / 10.0;
            }
        }
    }),
    innocent("five tables full at T/4", |w| {
        for site in 0..5 {
            w.site = site;
            vector(w, 0.0, 0.15 + 0.02 * site as f64, 30.0);
        }
    }),
    leak("25 samples beside churn", |w| {
        churn(w, 1.0, w.t / 50.0);
        pure(w, 25.0);
    }),
    leak("40 objects of 1 MiB", |w| {
        let t = w.t;
        w.stream((0.0, t), |_| 40.0 / t, 1 << 20, |_, _| FOREVER);
    }),
    leak("20 % of sessions of T/20", |w| {
        share(w, 300.0 / w.t, 0.2, w.t / 20.0)
    }),
    leak("20 objects of 16 MiB", |w| {
        let t = w.t;
        w.stream((0.0, t), |_| 20.0 / t, 16 << 20, |_, _| FOREVER);
    }),
    leak("leak from 0.4 T over statics", |w| {
        burst(w, 0.0, 0.03, 300.0, FOREVER);
        let t = w.t;
        w.stream((0.4 * t, t), |_| 60.0 / t, SMALL, |_, _| FOREVER);
    }),
    leak("20 bursts at random times", |w| {
        for _ in 0..20 {
            let at = 0.99 * w.unit();
            burst(w, at, at + 0.005, 4.0, FOREVER);
        }
    }),
    leak("leak on and off by sixths", |w| {
        let t = w.t;
        let on = move |tick: f64| {
            if (tick / t * 6.0) as u32 % 2 == 1 {
                1.0
            } else {
                0.0
            }
        };
        w.stream(
            (0.0, t),
            move |tick| 120.0 / t * on(tick),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    leak("queue at 80 %, diurnal", |w| {
        let t = w.t;
        let load = move |tick: f64| 4.0 + 2.0 * (tick / t * 5.0 * std::f64::consts::TAU).sin();
        w.stream((0.0, t), load, SMALL, |_, birth| birth * 0.25);
    }),
    leak("vector that grows by half", |w| {
        let (mut size, mut birth) = (1u64 << 16, 0.0);
        let end = 100.0 * INTERVAL as f64;
        while birth < w.t {
            let full = size as f64 / end * w.t;
            let life = if full >= w.t { FOREVER } else { full - birth };
            w.object(birth, size, life);
            birth += life;
            size += size / 2;
        }
    }),
    leak("interval changed twice", |w| {
        w.interval = |x| match (x * 3.0) as u32 {
            0 => INTERVAL,
            1 => INTERVAL / 16,
            _ => INTERVAL,
        };
        churn(w, 0.3, w.t / 70.0);
        pure(w, 40.0);
    }),
    leak("queue, consumer at 97 %", |w| queue(w, 40.0, 0.97)),
    hard("30 samples among lognormal lives", |w| {
        w.stream(
            (0.0, w.t),
            |_| 2.0,
            SMALL,
            |w, _| w.lognormal(w.t / 200.0, 1.5),
        );
        pure(w, 30.0);
    }),
];
