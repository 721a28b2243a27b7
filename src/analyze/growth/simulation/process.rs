//! The process that is simulated: objects of a site are born, sampled in proportion to their bytes,
//! and die; the structures are fed as the allocator and the history thread feed them.

use crate::analyze::growth::{Lifetimes, LiveObject, SiteEvidence, Watch};
use crate::analyze::series::{Reading, Series};
use crate::snapshot::evidence::Deaths;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp1, Poisson, StandardNormal};

pub(crate) const INTERVAL: u64 = 512 * 1024;
/// Small against the interval: a sample stands for one interval of bytes.
pub(crate) const SMALL: u64 = 200;

/// A sampled object; times in ticks, `life` may be infinite.
pub(crate) struct Object {
    pub(crate) birth: f64,
    pub(crate) life: f64,
    pub(crate) bytes: u64,
    pub(crate) weight: f32,
    pub(crate) site: usize,
}

/// One trial: a shape adds the objects of all time to it.
pub(crate) struct World {
    pub(crate) rng: SmallRng,
    /// Ticks in all.
    pub(crate) t: f64,
    /// Sampling interval at a tick.
    pub(crate) interval: fn(f64) -> u64,
    /// Whether the sites share the overflow entry of a full table.
    pub(crate) mixed: bool,
    /// Site of the objects that are being added.
    pub(crate) site: usize,
    pub(crate) objects: Vec<Object>,
}

impl World {
    pub(crate) fn new(seed: u64, ticks: u32) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            t: f64::from(ticks),
            interval: |_| INTERVAL,
            mixed: false,
            site: 0,
            objects: Vec::new(),
        }
    }

    pub(crate) fn unit(&mut self) -> f64 {
        self.rng.random()
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        let draw: f64 = Exp1.sample(&mut self.rng);
        draw * mean
    }

    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let draw: f64 = StandardNormal.sample(&mut self.rng);
        median * (sigma * draw).exp()
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean <= 0.0 {
            return 0;
        }
        Poisson::new(mean).map_or(0, |poisson| poisson.sample(&mut self.rng) as u64)
    }

    /// One real object, seen or not.
    pub(crate) fn object(&mut self, birth: f64, bytes: u64, life: f64) {
        let p = chance(bytes, (self.interval)(birth / self.t));
        if self.unit() < p {
            self.sampled(birth, bytes, life, p);
        }
    }

    /// One object of a kind of which one in `1/p` is seen: this one is.
    pub(crate) fn certain(&mut self, birth: f64, bytes: u64, life: f64) {
        let p = chance(bytes, (self.interval)(birth / self.t));
        self.sampled(birth, bytes, life, p);
    }

    /// Objects at `rate` expected samples per tick, were the interval [`INTERVAL`] throughout.
    pub(crate) fn stream(
        &mut self,
        (from, to): (f64, f64),
        rate: impl Fn(f64) -> f64,
        bytes: u64,
        life: impl Fn(&mut World, f64) -> f64,
    ) {
        let normal = chance(bytes, INTERVAL);
        for tick in from as u32..to as u32 {
            let p = chance(bytes, (self.interval)(f64::from(tick) / self.t));
            let births = self.poisson(rate(f64::from(tick)) * p / normal);
            for _ in 0..births {
                let birth = f64::from(tick) + self.unit();
                let life = life(self, birth);
                self.sampled(birth, bytes, life, p);
            }
        }
    }

    fn sampled(&mut self, birth: f64, bytes: u64, life: f64, p: f64) {
        let site = self.site;
        let weight = (1.0 / p) as f32;
        self.objects.push(Object {
            birth,
            life,
            bytes,
            weight,
            site,
        });
    }

    /// Feeds site `site` up to tick `end`.
    pub(crate) fn feed(&self, site: usize, end: u32) -> Fed {
        let mut feeder = self.feeder(site);
        feeder.advance(end);
        feeder.fed
    }

    /// What is needed to feed site `site` tick by tick.
    pub(crate) fn feeder(&self, site: usize) -> Feeder<'_> {
        let mut events = Vec::new();
        for object in self.objects.iter().filter(|object| object.site == site) {
            let death = object.birth + object.life;
            events.push((object.birth as u32, true, object));
            if death < self.t {
                events.push((death as u32, false, object));
            }
        }
        events.sort_by_key(|(tick, birth, _)| (*tick, !birth));
        let first = events.first().map_or(0, |(tick, ..)| *tick);
        Feeder {
            events: events.into_iter().peekable(),
            alive: Vec::new(),
            live_bytes: 0.0,
            next: first,
            fed: Fed {
                series: Series::new(first),
                deaths: Deaths::new(),
                live: Vec::new(),
                lifetimes: [0; 40],
                mixed: self.mixed,
            },
        }
    }
}

/// A tick, whether something is born, and what is or dies.
type Event<'a> = (u32, bool, &'a Object);

/// Feeds one site as time goes by.
pub(crate) struct Feeder<'a> {
    events: std::iter::Peekable<std::vec::IntoIter<Event<'a>>>,
    alive: Vec<&'a Object>,
    live_bytes: f64,
    next: u32,
    pub(crate) fed: Fed,
}

impl<'a> Feeder<'a> {
    /// Feeds all ticks before `end`.
    pub(crate) fn advance(&mut self, end: u32) {
        for tick in self.next..end {
            let mut reading = Reading::default();
            while let Some((_, born, object)) = self.events.next_if(|(at, ..)| *at == tick) {
                self.happens(tick, born, object, &mut reading);
            }
            reading.live_bytes = self.live_bytes.max(0.0) as u64;
            self.fed.series.push(tick, &reading);
        }
        self.next = self.next.max(end);
        self.fed.deaths.advance(end);
        self.fed.live.clear();
        self.fed
            .live
            .extend(self.alive.iter().map(|object| LiveObject {
                birth: object.birth as u32,
                weight: object.weight,
                bytes: object.bytes,
            }));
    }

    fn happens(&mut self, tick: u32, born: bool, object: &'a Object, reading: &mut Reading) {
        let bytes = object.bytes as f64 * f64::from(object.weight);
        if born {
            self.live_bytes += bytes;
            reading.births += 1;
            reading.allocated_bytes += bytes as u64;
            self.alive.push(object);
        } else {
            self.live_bytes -= bytes;
            let same = |one: &&Object| std::ptr::eq(*one, object);
            let at = self.alive.iter().rposition(same).expect("born before");
            self.alive.swap_remove(at);
            self.fed.deaths.record(object.birth as u32, tick);
            let octave = 64 - (object.life as u64).leading_zeros() as usize;
            self.fed.lifetimes[octave.min(39)] += 1;
        }
    }
}

/// Poisson sampling by bytes.
pub(crate) fn chance(bytes: u64, interval: u64) -> f64 {
    -(-(bytes as f64) / interval as f64).exp_m1()
}

/// What heapwatch would hold of one site.
pub(crate) struct Fed {
    pub(crate) series: Series,
    pub(crate) deaths: Deaths,
    pub(crate) live: Vec<LiveObject>,
    pub(crate) lifetimes: [u64; 40],
    pub(crate) mixed: bool,
}

impl Fed {
    pub(crate) fn evidence(&self) -> SiteEvidence<'_> {
        SiteEvidence {
            series: &self.series,
            deaths: Some(&self.deaths),
            deaths_since: 0,
            live: &self.live,
            lifetimes: Lifetimes {
                counts: &self.lifetimes,
                unit_seconds: 5.0,
            },
            mixed: self.mixed,
        }
    }
}

pub(crate) fn watch(now: u32) -> Watch {
    Watch {
        now,
        started: 0,
        tick_seconds: 5.0,
        interval_bytes: INTERVAL,
        min_seconds: 60.0,
        min_bytes: 256 * 1024,
    }
}
