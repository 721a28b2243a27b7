//! What could be told at best of a leak that hides among long lives.
//!
//! An oracle knows the number of objects, how long the mortal ones live, what share leaks if any does,
//! and the exact age of each object that lives or died. By Neyman and Pearson no test that alarms as
//! rarely on the innocent finds more than one of the ratio of likelihoods. Two innocents are compared:
//! without the leaking share, and with that share living exponentially for half of the watch on average,
//! which is where long lives begin that nobody can tell from leaks.

use super::process::World;
use crate::analyze::distributions::normal_above;

/// Objects that leak among others; times in shares of the watch.
struct Hidden {
    name: &'static str,
    /// Whether its shape is called so.
    hard: bool,
    /// Samples in all.
    samples: fn(f64) -> f64,
    /// Samples that leak.
    leaked: fn(f64) -> f64,
    /// Share of the mortal that is still alive at an age.
    survival: fn(f64) -> f64,
    life: fn(&mut World) -> f64,
}

const HIDDEN: &[Hidden] = &[
    Hidden {
        name: "5 % among sessions of T/12",
        hard: false,
        samples: |_| 3000.0,
        leaked: |_| 150.0,
        survival: |age| (-12.0 * age).exp(),
        life: |w| w.exponential(1.0 / 12.0),
    },
    Hidden {
        name: "3 % among sessions of T/15",
        hard: false,
        samples: |_| 2000.0,
        leaked: |_| 60.0,
        survival: |age| (-15.0 * age).exp(),
        life: |w| w.exponential(1.0 / 15.0),
    },
    Hidden {
        name: "30 samples among lognormal lives",
        hard: true,
        samples: |ticks| 2.0 * ticks + 30.0,
        leaked: |_| 30.0,
        survival: |age| normal_above((age * 200.0).ln() / 1.5),
        life: |w| w.lognormal(1.0 / 200.0, 1.5),
    },
];

/// Mean life of the long but mortal.
const LONG: f64 = 0.5;

/// What the objects do that would leak.
#[derive(Clone, Copy, PartialEq)]
enum Share {
    Forever,
    /// So many times as many live long.
    Long(f64),
    /// All live as the mortal do, but from this age on as Pareto has it.
    Heavy(f64),
}

fn survival(hidden: &Hidden, share: f64, of: Share, age: f64) -> f64 {
    let others = (hidden.survival)(age);
    match of {
        Share::Forever => (1.0 - share) * others + share,
        Share::Long(times) => {
            let share = (share * times).min(1.0);
            (1.0 - share) * others + share * (-age / LONG).exp()
        }
        Share::Heavy(from) if age > from => {
            (hidden.survival)(from) * (age / from).powf(-slope(hidden, from))
        }
        Share::Heavy(_) => others,
    }
}

/// Log-likelihood of one object: alive at `age`, or dead within a hundredth before it.
fn likelihood(hidden: &Hidden, share: f64, of: Share, age: f64, alive: bool) -> f64 {
    let reached = survival(hidden, share, of, age);
    let seen = if alive {
        reached
    } else {
        survival(hidden, share, of, age * 0.99) - reached
    };
    seen.max(1e-300).ln()
}

/// The log-likelihood of a leak over that of `against`, in one trial in which `truth` holds.
fn ratio(hidden: &Hidden, against: Share, truth: Share, ticks: f64, seed: u64) -> f64 {
    let mut world = World::new(seed, 1);
    let share = (hidden.leaked)(ticks) / (hidden.samples)(ticks);
    let count = world.poisson((hidden.samples)(ticks));
    (0..count)
        .map(|_| {
            let age = world.unit();
            let life = life(hidden, share, truth, &mut world);
            let (seen, alive) = if life > age {
                (age, true)
            } else {
                (life, false)
            };
            likelihood(hidden, share, Share::Forever, seen, alive)
                - likelihood(hidden, share, against, seen, alive)
        })
        .sum()
}

fn life(hidden: &Hidden, share: f64, truth: Share, world: &mut World) -> f64 {
    let hides = world.unit();
    let life = (hidden.life)(world);
    match truth {
        Share::Forever if hides < share => f64::INFINITY,
        Share::Long(times) if hides < share * times => world.exponential(LONG),
        Share::Heavy(from) if life > from => {
            from * (world.exponential(1.0) / slope(hidden, from)).exp()
        }
        _ => life,
    }
}

/// Age × hazard.
fn slope(hidden: &Hidden, age: f64) -> f64 {
    ((hidden.survival)(age) / (hidden.survival)(age * 1.01)).ln() / 1.01f64.ln()
}

/// Share of leaks found by the oracle that alarms on 5 % and on 0.2 % of the innocent.
fn power(hidden: &Hidden, against: Share, ticks: f64) -> [f64; 2] {
    const TRIALS: u64 = 500;
    let mut innocent: Vec<f64> = (0..TRIALS)
        .map(|seed| ratio(hidden, against, against, ticks, seed))
        .collect();
    innocent.sort_by(|a, b| b.total_cmp(a));
    let found: Vec<f64> = (0..TRIALS)
        .map(|seed| ratio(hidden, against, Share::Forever, ticks, TRIALS + seed))
        .collect();
    [0.05, 0.002].map(|level| {
        let limit = innocent[(level * TRIALS as f64) as usize];
        found.iter().filter(|ratio| **ratio > limit).count() as f64 / TRIALS as f64
    })
}

#[test]
#[ignore = "part of the study"]
fn what_an_oracle_finds() {
    for hidden in HIDDEN {
        for ticks in super::LENGTHS {
            let least = |against: &[Share]| {
                let powers = against
                    .iter()
                    .map(|against| power(hidden, *against, f64::from(ticks)));
                powers.fold([1.0, 1.0], |a, b| {
                    [f64::min(a[0], b[0]), f64::min(a[1], b[1])]
                })
            };
            let (long, heavy) = (
                least(&[1.0, 1.5, 2.0, 2.5].map(Share::Long)),
                least(&[1.0 / 32.0, 1.0 / 16.0, 1.0 / 8.0].map(Share::Heavy)),
            );
            let enough = long[1].min(heavy[1]) >= 0.99;
            assert!(enough || hidden.hard, "{} is hard too", hidden.name);
            println!(
                "{ticks:5} {:34} found at 5 % and 0.2 %, against long lives {:?}, against heavy tails {:?}",
                hidden.name, long, heavy,
            );
        }
    }
}
