//! Shapes that the rules were tuned on.

use super::*;

/// The shapes that the rules were tuned on.
pub(crate) const TUNED: &[Shape] = &[
    innocent("steady churn", |w| churn(w, 2.0, w.t / 100.0)),
    innocent("long lives, T/8", |w| churn(w, 1.0, w.t / 8.0)),
    innocent("few long lives, T/6, 20 samples", |w| {
        churn(w, 20.0 / w.t, w.t / 6.0)
    }),
    innocent("lognormal lives, median T/100", |w| heavy(w, w.t / 100.0)),
    innocent("start-up statics", |w| burst(w, 0.0, 0.03, 200.0, FOREVER)),
    innocent("one step at T/2", |w| burst(w, 0.5, 0.52, 200.0, FOREVER)),
    innocent("LRU cache full at 0.3 T", |w| lru(w, 0.3)),
    innocent("TTL cache, T/6", |w| stream(w, 1.0, |w, _| w.t / 6.0)),
    innocent("batch sawtooth, T/12", |w| {
        sawtooth(w, 1.0, w.t / 12.0, 0.0)
    }),
    innocent("diurnal load, T/3", |w| diurnal(w, 3.0, 0.0)),
    innocent("load ramp to 5x", |w| ramp(w, |x| 1.0 + 4.0 * x)),
    innocent("load ramp to 5x, late", |w| {
        ramp(w, |x| 1.0 + 4.0 * ((x - 0.5) / 0.4).clamp(0.0, 1.0))
    }),
    innocent("high-water buffer, bounded", high_water),
    innocent("freed after start-up", |w| {
        let life = 0.2 * w.t;
        burst(w, 0.0, 0.05, 300.0, life);
        churn(w, 0.2, w.t / 100.0);
    }),
    leak("pure leak, 200 samples", |w| pure(w, 200.0)),
    leak("pure leak, 40 samples", |w| pure(w, 40.0)),
    leak("pure leak, 15 samples", |w| pure(w, 15.0)),
    leak("0.5 % of 20 a tick", |w| share(w, 20.0, 0.005, w.t / 200.0)),
    leak("5 % of lives of T/40", |w| share(w, 2.0, 0.05, w.t / 40.0)),
    leak("leak with diurnal load", |w| diurnal(w, 3.0, 0.2)),
    leak("10 % through a sawtooth", |w| {
        sawtooth(w, 1.0, w.t / 12.0, 0.1)
    }),
    leak("leak from T/2", |w| {
        churn(w, 1.0, w.t / 100.0);
        let t = w.t;
        w.stream((t / 2.0, t), |_| 60.0 / t, SMALL, |_, _| FOREVER);
    }),
    leak("leak in bursts", |w| {
        for burst_at in 0..12 {
            let from = (f64::from(burst_at) + 0.3) / 12.0;
            burst(w, from, from + 0.01, 10.0, FOREVER);
        }
    }),
    leak("a quarter dies late", |w| {
        stream(w, 100.0 / w.t, |w, _| {
            if w.unit() < 0.25 {
                w.t * (0.25 + 0.25 * w.unit())
            } else {
                FOREVER
            }
        });
    }),
    leak("queue, consumer at 75 %", |w| queue(w, 4.0, 0.75)),
    leak("doubling vector", |w| vector(w, 0.0, 1.0, 100.0)),
];
