//! Shapes that were written before the rules were run on them.

use super::*;

/// Shapes that were written before the rules were run on them and not used for tuning until their
/// first figures had been taken down.
pub(crate) const HELD_OUT: &[Shape] = &[
    innocent("churn of 4 MiB objects", |w| {
        let t = w.t;
        w.stream((0.0, t), |_| 1.0, 4 << 20, |w, _| w.exponential(w.t / 60.0));
    }),
    innocent("churn, 64 B to 8 MiB on one stack", |w| {
        for bytes in [64, 4096, 300_000, 8 << 20] {
            let t = w.t;
            w.stream((0.0, t), |_| 0.5, bytes, |w, _| w.exponential(w.t / 60.0));
        }
    }),
    innocent("lognormal lives, median T/30", |w| heavy(w, w.t / 30.0)),
    innocent("TTL cache, 0.35 T", |w| stream(w, 0.5, |w, _| 0.35 * w.t)),
    innocent("LRU cache with a hot tenth", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |_| 1.0,
            SMALL,
            |w, birth| {
                let hot = birth < 0.3 * w.t && w.unit() < 0.1;
                if hot { FOREVER } else { 0.27 * w.t }
            },
        );
    }),
    innocent("memo table, saturating", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 300.0 / (0.08 * t) * (-tick / (0.08 * t)).exp(),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    innocent("cache cleared and refilled", |w| {
        let t = w.t;
        w.stream(
            (0.0, 0.25 * t),
            |_| 400.0 / t,
            SMALL,
            |w, birth| 0.45 * w.t - birth,
        );
        w.stream((0.45 * t, 0.7 * t), |_| 400.0 / t, SMALL, |_, _| FOREVER);
    }),
    innocent("busy queue, load 0.95", busy_queue),
    innocent("weekly cycle", |w| weekly(w, 0.0)),
    innocent("churn, interval 64 KiB to 512 KiB", |w| {
        w.interval = finer_first;
        churn(w, 0.5, w.t / 40.0);
        burst(w, 0.0, 0.05, 50.0, FOREVER);
    }),
    innocent("churn, interval 512 KiB to 64 KiB", |w| {
        w.interval = finer_later;
        churn(w, 0.5, w.t / 40.0);
        burst(w, 0.0, 0.05, 50.0, FOREVER);
    }),
    innocent("compaction each T/5", |w| compaction(w, 0.0)),
    innocent("two populations, both mortal", |w| {
        churn(w, 3.0, w.t / 200.0);
        stream(w, 0.2, |w, _| w.t / 5.0);
    }),
    innocent("workers' buffers", |w| {
        for _ in 0..8 {
            let birth = 0.4 * w.unit() * w.t;
            w.object(birth, 2 << 20, FOREVER);
        }
    }),
    innocent("three steps", |w| {
        for _ in 0..3 {
            let at = 0.1 + 0.5 * w.unit();
            burst(w, at, at + 0.01, 60.0, FOREVER);
        }
    }),
    innocent("table full at 0.3 T", |w| vector(w, 0.0, 0.3, 100.0)),
    innocent("table filling from 0.2 to 0.45 T", |w| {
        vector(w, 0.2, 0.45, 100.0)
    }),
    innocent("reused vector", |w| {
        for round in 0..8 {
            let from = f64::from(round) / 8.0;
            vector_for(w, from, from + 0.12, 40.0, from + 0.12);
        }
    }),
    innocent("overflow of innocent sites", |w| {
        w.mixed = true;
        churn(w, 2.0, w.t / 100.0);
        burst(w, 0.0, 0.03, 100.0, FOREVER);
        stream(w, 0.2, |w, _| w.t / 6.0);
        sawtooth(w, 0.5, w.t / 12.0, 0.0);
    }),
    innocent("batch jobs", |w| {
        for job in 0..6 {
            let at = f64::from(job) / 6.0 + 0.02;
            let life = w.t / 20.0;
            burst(w, at, at + 0.02, 100.0, life);
        }
    }),
    innocent("sessions, load to 3x by T/2", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 0.5 + (2.0 * tick / t).min(1.0),
            SMALL,
            |w, _| w.lognormal(w.t / 30.0, 1.0),
        );
    }),
    innocent("pool grows until T/4", |w| {
        burst(w, 0.0, 0.25, 100.0, FOREVER)
    }),
    innocent("8 samples that live T/5", |w| {
        churn(w, 8.0 / w.t, w.t / 5.0)
    }),
    innocent("retry storm", |w| {
        churn(w, 1.0, w.t / 60.0);
        let t = w.t;
        w.stream(
            (0.6 * t, 0.65 * t),
            |_| 10.0,
            SMALL,
            |w, _| w.exponential(w.t / 15.0),
        );
    }),
    innocent("load falls to a fifth", |w| ramp(w, |x| 5.0 - 4.0 * x)),
    innocent("load triples at T/2", |w| {
        ramp(w, |x| if x < 0.5 { 1.0 } else { 3.0 })
    }),
    innocent("nine small mortal sites", |w| {
        for site in 0..9 {
            w.site = site;
            churn(w, 15.0 / w.t, w.t / 7.0);
        }
    }),
    innocent("twelve statics of one caller", |w| {
        for site in 0..12 {
            w.site = site;
            let birth = w.unit() * w.t;
            w.certain(birth, 1 << 20, FOREVER);
        }
    }),
    leak("deploy-time step, then leak", |w| {
        burst(w, 0.3, 0.32, 200.0, FOREVER);
        let t = w.t;
        w.stream((0.3 * t, t), |_| 60.0 / t, SMALL, |_, _| FOREVER);
    }),
    leak("compaction misses 15 %", |w| compaction(w, 0.15)),
    leak("two populations, one leaks", |w| {
        churn(w, 5.0, w.t / 300.0);
        pure(w, 40.0);
    }),
    leak("weekly cycle, leak", |w| weekly(w, 80.0)),
    leak("leak, interval 64 KiB to 512 KiB", |w| {
        w.interval = finer_first;
        churn(w, 0.2, w.t / 60.0);
        pure(w, 40.0);
    }),
    leak("leak, interval 512 KiB to 64 KiB", |w| {
        w.interval = finer_later;
        churn(w, 0.2, w.t / 60.0);
        pure(w, 40.0);
    }),
    leak("leak from 0.7 T", |w| {
        churn(w, 1.0, w.t / 100.0);
        let t = w.t;
        w.stream((0.7 * t, t), |_| 250.0 / t, SMALL, |_, _| FOREVER);
    }),
    leak("new site at 0.4 T leaks", |w| {
        let t = w.t;
        w.stream((0.4 * t, t), |_| 60.0 / t, SMALL, |_, _| FOREVER);
    }),
    leak("30 objects of 4 MiB", |w| {
        let t = w.t;
        w.stream((0.0, t), |_| 30.0 / t, 4 << 20, |_, _| FOREVER);
    }),
    leak("16 shards of a map", |w| shards(w, 16)),
    leak("4 shards of a map", |w| shards(w, 4)),
    leak("leak with load ramp", |w| {
        ramp(w, |x| 1.0 + 4.0 * x);
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 40.0 / t * (0.5 + tick / t),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    leak("leak speeding up", |w| {
        let t = w.t;
        w.stream((0.0, t), |tick| 120.0 * tick / t / t, SMALL, |_, _| FOREVER);
    }),
    leak("leak slowing to 0.3", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |tick| 80.0 / t * (1.0 - 0.7 * tick / t),
            SMALL,
            |_, _| FOREVER,
        );
    }),
    leak("queue, consumer at 90 %", |w| queue(w, 10.0, 0.9)),
    leak("queue backs up from T/2", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |_| 4.0,
            SMALL,
            |w, birth| {
                let late = (birth - 0.5 * w.t).max(0.0);
                w.exponential(w.t / 100.0) + late * 0.6
            },
        );
    }),
    leak("table from T/3", |w| vector(w, 0.33, 1.0, 120.0)),
    leak("one mistake, nine sites", |w| {
        for site in 0..9 {
            w.site = site;
            pure(w, 7.0);
        }
    }),
    leak("5 % among sessions of T/12", |w| {
        share(w, 3000.0 / w.t, 0.05, w.t / 12.0)
    }),
    leak("jobs that leak", |w| {
        churn(w, 1.0, w.t / 60.0);
        for job in 0..8 {
            let at = f64::from(job) / 8.0 + 0.03;
            burst(w, at, at + 0.02, 8.0, FOREVER);
        }
    }),
    leak("overflow with a leak", |w| {
        w.mixed = true;
        churn(w, 2.0, w.t / 100.0);
        burst(w, 0.0, 0.03, 100.0, FOREVER);
        pure(w, 40.0);
    }),
    leak("consumer hangs at 0.3 T", |w| {
        let t = w.t;
        w.stream(
            (0.0, t),
            |_| 1.0,
            SMALL,
            |w, birth| {
                if birth > 0.3 * w.t {
                    FOREVER
                } else {
                    w.exponential(w.t / 100.0)
                }
            },
        );
    }),
    leak("3 % through a slow sawtooth", |w| {
        sawtooth(w, 1.0 + 500.0 / w.t, w.t / 7.0, 0.03)
    }),
];
