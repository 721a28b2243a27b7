//! What shapes are made of.

use super::{FOREVER, INTERVAL, SMALL, World};

pub(super) fn stream(w: &mut World, rate: f64, life: fn(&mut World, f64) -> f64) {
    w.stream((0.0, w.t), |_| rate, SMALL, life);
}

pub(super) fn churn(w: &mut World, rate: f64, mean: f64) {
    w.stream((0.0, w.t), |_| rate, SMALL, |w, _| w.exponential(mean));
}

pub(super) fn heavy(w: &mut World, median: f64) {
    w.stream((0.0, w.t), |_| 2.0, SMALL, |w, _| w.lognormal(median, 2.0));
}

pub(super) fn pure(w: &mut World, samples: f64) {
    stream_forever(w, samples / w.t);
}

pub(super) fn stream_forever(w: &mut World, rate: f64) {
    w.stream((0.0, w.t), |_| rate, SMALL, |_, _| FOREVER);
}

pub(super) fn share(w: &mut World, rate: f64, leaked: f64, mean: f64) {
    churn(w, rate * (1.0 - leaked), mean);
    stream_forever(w, rate * leaked);
}

/// `samples` born evenly between two fractions of the run.
pub(super) fn burst(w: &mut World, from: f64, to: f64, samples: f64, life: f64) {
    let count = w.poisson(samples);
    for _ in 0..count {
        let birth = (from + (to - from) * w.unit()) * w.t;
        w.certain(birth, SMALL, life);
    }
}

/// Evicts the oldest once it is full.
pub(super) fn lru(w: &mut World, full: f64) {
    let life = full * w.t;
    w.stream(
        (0.0, w.t),
        |_| 1.0,
        SMALL,
        |w, _| life * (0.97 + 0.06 * w.unit()),
    );
}

pub(super) fn sawtooth(w: &mut World, rate: f64, period: f64, leaked: f64) {
    w.stream(
        (0.0, w.t),
        |_| rate,
        SMALL,
        |w, birth| {
            if w.unit() < leaked {
                FOREVER
            } else {
                period - birth % period
            }
        },
    );
}

pub(super) fn diurnal(w: &mut World, cycles: f64, leaked: f64) {
    let t = w.t;
    let rate = move |tick: f64| 1.0 + 0.8 * (tick / t * cycles * std::f64::consts::TAU).sin();
    w.stream((0.0, t), rate, SMALL, |w, _| {
        if w.unit() < leaked {
            FOREVER
        } else {
            w.exponential(w.t / 50.0)
        }
    });
}

pub(super) fn ramp(w: &mut World, load: fn(f64) -> f64) {
    let t = w.t;
    w.stream(
        (0.0, t),
        |tick| load(tick / t),
        SMALL,
        |w, _| w.exponential(w.t / 50.0),
    );
}

/// A buffer that is replaced by a larger one for the largest message so far, up to a limit.
pub(super) fn high_water(w: &mut World) {
    let (mut at, mut size) = (0.0, 1 << 20);
    while at < w.t {
        let full = size >= 64 << 20;
        let life = if full {
            FOREVER
        } else {
            w.exponential(w.t / 40.0)
        };
        w.object(at, size, life);
        at += life;
        size *= 2;
    }
}

/// First in, first out; the consumer takes `share` of what arrives.
pub(super) fn queue(w: &mut World, rate: f64, share: f64) {
    w.stream(
        (0.0, w.t),
        |_| rate,
        SMALL,
        |_, birth| birth / share - birth,
    );
}

/// A vector that doubles, filled from `from` to `to` of the run, `end` intervals in size at the end.
pub(super) fn vector(w: &mut World, from: f64, to: f64, end: f64) {
    let fill = |x: f64| ((x - from) / (to - from)).min(1.0) * end * INTERVAL as f64;
    let mut size = 4096u64;
    let mut birth = from * w.t;
    loop {
        let full = from + (to - from) * size as f64 / (end * INTERVAL as f64);
        let last = size as f64 > fill(1.0) || full > 1.0;
        let life = if last { FOREVER } else { full * w.t - birth };
        w.object(birth, size, life);
        if last {
            return;
        }
        birth += life;
        size *= 2;
    }
}

/// A single server with exponential times, real objects of a quarter interval.
pub(super) fn busy_queue(w: &mut World) {
    let (mut clock, mut free) = (0.0, 0.0);
    while clock < w.t {
        clock += w.exponential(0.1);
        let service = w.exponential(0.095);
        free = f64::max(free, clock) + service;
        w.object(clock, INTERVAL / 4, free - clock);
    }
}

/// Two weeks: days, and weekends with a fifth of the load.
pub(super) fn weekly(w: &mut World, leaked: f64) {
    let t = w.t;
    let load = move |tick: f64| {
        let day = tick / t * 14.0;
        let weekend = if day.rem_euclid(7.0) >= 5.0 { 0.2 } else { 1.0 };
        weekend * (1.0 + 0.7 * (day * std::f64::consts::TAU).sin())
    };
    w.stream(
        (0.0, t),
        move |tick| 2.0 * load(tick),
        SMALL,
        |w, _| w.exponential(w.t / 80.0),
    );
    w.stream(
        (0.0, t),
        move |tick| leaked / t * load(tick),
        SMALL,
        |_, _| FOREVER,
    );
}

/// Garbage collects until the next compaction beside a live set.
pub(super) fn compaction(w: &mut World, missed: f64) {
    sawtooth(w, 0.5, w.t / 5.0, missed);
    churn(w, 0.3, w.t / 30.0);
}

pub(super) fn finer_first(x: f64) -> u64 {
    if x < 0.5 { INTERVAL / 8 } else { INTERVAL }
}

pub(super) fn finer_later(x: f64) -> u64 {
    if x < 0.5 { INTERVAL } else { INTERVAL / 8 }
}

/// Shards of one map, each doubling at its own time; all call sites are one.
pub(super) fn shards(w: &mut World, count: u32) {
    for _ in 0..count {
        let phase = w.unit();
        vector(w, 0.0, 1.0, 20.0 * 2f64.powf(phase));
    }
}

pub(super) fn vector_for(w: &mut World, from: f64, to: f64, end: f64, freed: f64) {
    let first = w.objects.len();
    vector(w, from, to, end);
    let until = freed * w.t;
    for object in &mut w.objects[first..] {
        object.life = object.life.min(until - object.birth);
    }
}
