//! What must hold of the two programs that ran side by side.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::program::{self, SEED};
use super::side_by_side::{Report, Resident, SCRAPE_EVERY, Seen, Side};
use super::{forks, plugins, workers};

const MIB: f64 = (1 << 20) as f64;

/// The promise: resident memory is at most this much more than over bare jemalloc.
const MORE_THAN_BARE: f64 = 0.03;
/// Resident memory may be this much more in the fourth quarter than in the third. What jemalloc keeps of freed pages
/// goes up and down for minutes: over bare jemalloc, medians over neighbouring minutes were up to 2 % apart.
const RESIDENT_GROWTH: f64 = 0.02;
/// In less than a long time that noise is not inside of the other tolerances. Over bare jemalloc on two busy cores,
/// medians over a minute of two processes that did the same were up to 9 MiB apart. It falls with the square root
/// of the time.
const NOISE_OF_A_MINUTE: f64 = 10.0 * MIB;
const LONG: Duration = Duration::from_secs(600);
/// The past is kept ever more coarsely: what it takes grows with the logarithm of time, from one quarter to the
/// next by 150 to 200 KiB where no library is ever loaded.
const SELF_BYTES_GROWTH: f64 = 0.5 * MIB;
/// The rarest stacks of the program itself are met late: of about 300 up to 8 from one quarter to the next, where no
/// library is ever loaded. And as one library's blocks outlive it, two libraries more may be in one median than in
/// the other.
const SITES_GROWTH: f64 = (8 + 2 * plugins::SITES) as f64;
/// In less time nothing has settled, and nothing is flat.
const SETTLED: Duration = Duration::from_secs(60);
/// Where one does much less than the other, their memory cannot be compared, and heapwatch is too slow.
const SAME_WORK: f64 = 0.5;
/// Of what a machine that has nothing else to do would do.
const ENOUGH_WORK: f64 = 0.1;

/// Medians over parts of a run.
#[derive(Clone, Copy, Debug)]
struct Medians {
    third_quarter: f64,
    fourth_quarter: f64,
    second_half: f64,
}

impl Medians {
    fn of(values: impl Iterator<Item = (Duration, u64)> + Clone, length: Duration) -> Medians {
        let median = |from: u32, to: u32| {
            let span = length * from / 4..length * to / 4;
            let within = values.clone().filter(|(at, _)| span.contains(at));
            let mut within: Vec<u64> = within.map(|(_, value)| value).collect();
            within.sort_unstable();
            // Nothing holds of what was not measured.
            within
                .get(within.len() / 2)
                .map_or(f64::NAN, |&median| median as f64)
        };
        Medians {
            third_quarter: median(2, 3),
            fourth_quarter: median(3, 4),
            second_half: median(2, 4),
        }
    }

    fn growth(&self) -> f64 {
        self.fourth_quarter - self.third_quarter
    }
}

impl Display for Medians {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Medians {
            third_quarter: third,
            fourth_quarter: fourth,
            second_half: half,
        } = self;
        if *half < MIB / 16.0 {
            return write!(f, "{half} in the second half ({third}, {fourth})");
        }
        let [half, third, fourth] = [half, third, fourth].map(|bytes| bytes / MIB);
        write!(
            f,
            "{half:.2} MiB in the second half ({third:.2}, {fourth:.2})"
        )
    }
}

impl Side {
    fn resident(&self, length: Duration, of: fn(&Resident) -> u64) -> Medians {
        Medians::of(self.resident.iter().map(|seen| (seen.at, of(seen))), length)
    }

    fn reported(&self, length: Duration, name: &str) -> Medians {
        let number =
            |report: &Report| (Duration::from_millis(report["milliseconds"]), report[name]);
        Medians::of(self.reports.iter().map(number), length)
    }

    fn last(&self) -> &Report {
        self.reports.last().expect("a report at the end")
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let length = self.length;
        writeln!(
            f,
            "{length:?}, seed {SEED:#x}; medians (of the third and of the fourth quarter):"
        )?;
        for (name, side) in [
            ("heapwatch", &self.heapwatch),
            ("bare jemalloc", &self.bare),
        ] {
            writeln!(f, "{name}:")?;
            writeln!(f, "    resident {}", side.resident(length, |seen| seen.all))?;
            writeln!(
                f,
                "    anonymous {}",
                side.resident(length, |seen| seen.anonymous)
            )?;
            for what in ["held", "self_bytes", "sites"] {
                writeln!(f, "    {what} {}", side.reported(length, what))?;
            }
            writeln!(f, "    {:?}", side.last())?;
        }
        write!(f, "{} scrapes", self.scrapes)
    }
}

/// Fails with all that does not hold, and with the figures.
pub(crate) fn check(seen: &Seen) {
    println!("{seen}");
    let mut broken = Vec::new();
    for (name, side) in [
        ("heapwatch", &seen.heapwatch),
        ("bare jemalloc", &seen.bare),
    ] {
        broken.extend(did_enough(name, side, seen.length));
    }
    broken.extend(scraped_enough(seen));
    broken.extend(did_the_same(seen));
    broken.extend(is_near_bare(seen));
    if seen.length >= SETTLED {
        broken.extend(is_flat(seen));
    }
    assert!(broken.is_empty(), "{}\n{seen}", broken.join("\n"));
}

fn unless(holds: bool, broken: impl FnOnce() -> String) -> Option<String> {
    (!holds).then(broken)
}

/// A soak in which nothing happens proves nothing.
fn did_enough(name: &str, side: &Side, length: Duration) -> Vec<String> {
    let paces = [
        ("operations", workers::PACE / workers::THREADS as u32),
        ("forks", forks::EVERY),
        ("libraries", plugins::EVERY),
        ("changes", program::INTERVAL_EVERY),
        ("exact", program::EXACT_EVERY),
    ];
    let done = |(what, pace): (&str, Duration)| {
        enough(side.last()[what], pace, length, || {
            format!("{name}: {what}")
        })
    };
    paces.into_iter().filter_map(done).collect()
}

fn scraped_enough(seen: &Seen) -> Option<String> {
    enough(seen.scrapes, SCRAPE_EVERY, seen.length, || {
        "scrapes".to_owned()
    })
}

fn enough(
    done: u64,
    pace: Duration,
    length: Duration,
    what: impl FnOnce() -> String,
) -> Option<String> {
    let least = (ENOUGH_WORK * length.div_duration_f64(pace)).max(1.0);
    unless(done as f64 >= least, || {
        format!("too few {}: {done} of {least:.0}", what())
    })
}

fn did_the_same(seen: &Seen) -> Option<String> {
    let [heapwatch, bare] = [&seen.heapwatch, &seen.bare].map(|side| side.last()["operations"]);
    unless(heapwatch as f64 >= SAME_WORK * bare as f64, || {
        format!(
            "heapwatch is slower: {heapwatch} operations in the time of {bare} over bare jemalloc"
        )
    })
}

/// How far a median over this part of a run may be off.
fn noise(seen: &Seen, part: Duration) -> f64 {
    if seen.length >= LONG {
        return 0.0;
    }
    NOISE_OF_A_MINUTE * Duration::from_secs(60).div_duration_f64(part).sqrt()
}

fn is_near_bare(seen: &Seen) -> Option<String> {
    let [heapwatch, bare] = [&seen.heapwatch, &seen.bare]
        .map(|side| side.resident(seen.length, |seen| seen.all).second_half);
    let most = bare * (1.0 + MORE_THAN_BARE) + noise(seen, seen.length / 2);
    unless(heapwatch <= most, || {
        format!(
            "resident memory is {:.1} MiB, {:+.1} % of the {:.1} MiB over bare jemalloc; at most {:.1} MiB",
            heapwatch / MIB,
            100.0 * (heapwatch / bare - 1.0),
            bare / MIB,
            most / MIB
        )
    })
}

fn is_flat(seen: &Seen) -> Vec<String> {
    let resident = seen.heapwatch.resident(seen.length, |seen| seen.all);
    let reported = |name| seen.heapwatch.reported(seen.length, name);
    let resident_growth = RESIDENT_GROWTH * resident.third_quarter + noise(seen, seen.length / 4);
    [
        ("resident memory", resident, resident_growth),
        ("self_bytes", reported("self_bytes"), SELF_BYTES_GROWTH),
        ("the number of sites", reported("sites"), SITES_GROWTH),
    ]
    .into_iter()
    .filter_map(|(what, medians, most)| {
        unless(medians.growth() <= most, || {
            format!("{what} grows: {medians}; it may by {most:.0}")
        })
    })
    .collect()
}
