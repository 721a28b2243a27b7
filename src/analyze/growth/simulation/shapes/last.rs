//! A third set of new shapes.

use super::*;

/// A third such set. One change was made after its first figures: a burst may not speak for a leak.
pub(crate) const LAST: &[Shape] = &[
    innocent("Erlang lives, mean T/10", |w| {
        stream(w, 1.0, |w, _| {
            (0..3).map(|_| w.exponential(w.t / 30.0)).sum()
        });
    }),
    innocent("cache replaced each T/7", |w| {
        for round in 0..7 {
            let at = f64::from(round) / 7.0;
            let life = w.t / 7.0;
            burst(w, at, at + 0.01, 60.0, life);
        }
    }),
    innocent("sessions, lognormal T/15, sigma 0.8", |w| {
        stream(w, 1.0, |w, _| w.lognormal(w.t / 15.0, 0.8))
    }),
    innocent("steps at 0.35 and 0.7 T", |w| {
        burst(w, 0.35, 0.36, 100.0, FOREVER);
        burst(w, 0.7, 0.71, 100.0, FOREVER);
    }),
    innocent("reconnect storm at 0.9 T", |w| {
        churn(w, 0.5, w.t / 40.0);
        burst(w, 0.9, 0.92, 150.0, FOREVER);
    }),
    innocent("LRU full at 0.2 T, diurnal", |w| {
        let t = w.t;
        let load = move |tick: f64| 1.0 + 0.5 * (tick / t * 4.0 * std::f64::consts::TAU).sin();
        w.stream((0.0, t), load, SMALL, |w, _| {
            0.2 * w.t * (0.9 + 0.2 * w.unit())
        });
    }),
    innocent("many sites of few samples", |w| {
        for site in 0..40 {
            w.site = site;
            churn(w, 20.0 / w.t, w.t / 8.0);
        }
    }),
    leak("35 samples, statics and churn", |w| {
        burst(w, 0.0, 0.04, 100.0, FOREVER);
        churn(w, 0.5, w.t / 80.0);
        pure(w, 35.0);
    }),
    leak("10 % of sessions of T/30", |w| {
        share(w, 400.0 / w.t, 0.1, w.t / 30.0)
    }),
    leak("queue, consumer at 85 %", |w| queue(w, 6.0, 0.85)),
    leak("vector from 0.15 T", |w| vector(w, 0.15, 1.0, 200.0)),
    leak("12 shards of a map", |w| shards(w, 12)),
    leak("50 samples from 0.25 T", |w| {
        let t = w.t;
        w.stream((0.25 * t, t), |_| 50.0 / (0.75 * t), SMALL, |_, _| FOREVER);
    }),
    leak("one mistake, three sites", |w| {
        for site in 0..3 {
            w.site = site;
            pure(w, 15.0);
        }
    }),
    leak("one leak among forty sites", |w| {
        for site in 0..40 {
            w.site = site;
            churn(w, 20.0 / w.t, w.t / 20.0);
        }
        pure(w, 40.0);
    }),
];
