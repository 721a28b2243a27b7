//! Sampled through the real allocator, estimates are right on average, and so is what they say of
//! their own error.
//!
//! The allocator's random numbers cannot be seeded from outside. So each mean of `TRIALS` trials
//! must lie within 3σ of the truth, and one that does not gets a second hearing of four times as
//! many: a right sampler fails both about once in 150,000 means, a wrong one surely.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Block, Counts, layout, my_turn, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const TRIALS: usize = 400;

/// Allocates all sizes, lets `between` act before each, and frees them later than the snapshot.
#[inline(never)]
fn populate(sizes: &[usize], between: &mut dyn FnMut(usize)) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(0);
    // The table of blocks is not part of the population.
    reserve(&mut blocks, sizes.len());
    for (i, &size) in sizes.iter().enumerate() {
        between(i);
        blocks.push(allocate(size));
    }
    black_box(blocks)
}

#[inline(never)]
fn reserve(blocks: &mut Vec<Block>, len: usize) {
    blocks.reserve_exact(len);
    black_box(blocks);
}

#[inline(never)]
fn allocate(size: usize) -> Block {
    black_box(Block::alloc(layout(size)).unwrap())
}

struct Trials(Vec<Counts>);

impl Trials {
    /// What each of so many populations was estimated at while it was live.
    fn run(count: usize, sizes: &[usize], between: &mut dyn FnMut(usize)) -> Trials {
        let counts = (0..count).map(|_| {
            let before = now_through(allocate as *const ());
            let blocks = populate(sizes, between);
            let now = now_through(allocate as *const ());
            blocks.into_iter().for_each(Block::free);
            // All that was live before is freed, so this is the population's alone.
            assert_eq!(before.live_bytes, 0.0);
            let mut grown = now - before;
            grown.live_variance = now.live_variance;
            grown
        });
        Trials(counts.collect())
    }

    /// How many σ the mean of a number lies off, σ from the trials' spread or the formula's.
    fn off(&self, of: impl Fn(&Counts) -> f64, truth: f64, variance: f64) -> f64 {
        let n = self.0.len() as f64;
        let mean = self.0.iter().map(&of).sum::<f64>() / n;
        let spread = self.0.iter().map(|c| (of(c) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Fixed point and floating point round.
        let sigma = (spread.max(variance) / n).sqrt().max(1e-6 * truth);
        (mean - truth) / sigma
    }

    fn variance(&self) -> f64 {
        let n = self.0.len() as f64;
        let mean = self.0.iter().map(|c| c.live_bytes).sum::<f64>() / n;
        self.0
            .iter()
            .map(|c| (c.live_bytes - mean).powi(2))
            .sum::<f64>()
            / (n - 1.0)
    }
}

/// What an object says that is sampled with probability p: `s/p` bytes, `1/p` objects, and
/// `s²·(1−p)/p²` of variance. Each is its value `v` over p, so it has variance `v²·(1−p)/p`.
fn variance(sizes: &[usize], interval: u64, value: impl Fn(f64, f64) -> f64) -> f64 {
    let of = |&size: &usize| {
        let size = size as f64;
        let missed = (-size / interval as f64).exp();
        value(size, missed).powi(2) * missed / (1.0 - missed)
    };
    sizes.iter().map(of).sum()
}

/// A name, where it is found, its true mean, and its variance.
type Number = (&'static str, fn(&Counts) -> f64, f64, f64);

/// `interval` is what the formulas for the errors go by, 0 if there is no one interval.
fn check(name: &str, sizes: &[usize], interval: u64, between: &mut dyn FnMut(usize)) {
    let bytes = sizes.iter().sum::<usize>() as f64;
    let (of_bytes, of_objects, of_variance) = match interval {
        0 => (0.0, 0.0, 0.0),
        r => (
            variance(sizes, r, |size, _| size),
            variance(sizes, r, |_, _| 1.0),
            variance(sizes, r, |size, missed| {
                size.powi(2) * missed / (1.0 - missed)
            }),
        ),
    };
    let numbers: [Number; 4] = [
        ("live bytes", |c| c.live_bytes, bytes, of_bytes),
        (
            "live objects",
            |c| c.live_objects,
            sizes.len() as f64,
            of_objects,
        ),
        ("allocated bytes", |c| c.allocated_bytes, bytes, of_bytes),
        ("variance", |c| c.live_variance, of_bytes, of_variance),
    ];
    let trials = Trials::run(TRIALS, sizes, between);
    let mut again: Option<Trials> = None;
    for (what, of, truth, sigma2) in numbers {
        if (what == "variance" && interval == 0) || truth == 0.0 {
            continue;
        }
        // A variance that is next to nothing is below what the counters' fixed point resolves.
        let first = trials.off(of, truth, sigma2);
        if first.abs() <= 3.0 || (what == "variance" && of_bytes < 1e-3 * bytes * bytes * 1e-3) {
            continue;
        }
        let again = again.get_or_insert_with(|| Trials::run(4 * TRIALS, sizes, between));
        let second = again.off(of, truth, sigma2);
        assert!(
            second.abs() <= 3.0,
            "{name}: {what} {first:.1}σ off its mean, and again {second:.1}σ"
        );
    }
    if interval > 0 && of_bytes > 0.0 {
        // The estimates spread as the formula says. Relative σ of a variance of n numbers is
        // √(2/n) = 0.1 for normal ones, more for few heavy samples.
        let ratio = trials.variance() / of_bytes;
        let expected_samples = bytes / interval as f64;
        if expected_samples > 4.0 && sizes.len() > 20 {
            assert!(
                (0.55..1.8).contains(&ratio),
                "{name}: spread {ratio:.2} of the formula's"
            );
        }
    }
}

fn mixed() -> Vec<usize> {
    let mut sizes = vec![16; 8000];
    for i in 0..24 {
        sizes.insert(i * 331, 1 << (9 + i % 13));
    }
    sizes.push(8 << 20);
    sizes
}

/// A bias here is a lie in every number of the crate.
#[test]
fn all_sizes_at_usual_intervals() {
    let _turn = my_turn();
    for interval in [512 << 10, 64 << 10] {
        heapwatch::set_interval(interval).unwrap();
        for size in [16, 100, 4096, 64 << 10, 512 << 10, 8 << 20] {
            let count = ((4 << 20) / size).clamp(4, 12_000);
            let name = format!("{count} × {size} at {interval}");
            check(&name, &vec![size; count], interval, &mut |_| {});
        }
        check(
            &format!("mixed at {interval}"),
            &mixed(),
            interval,
            &mut |_| {},
        );
    }
}

/// The owner may change the interval at any moment: from the thread that allocates...
#[test]
fn across_changes_by_this_thread() {
    let _turn = my_turn();
    let intervals = [512 << 10, 64 << 10, 4096, 1 << 20, 64 << 10];
    check("changing", &mixed(), 0, &mut |i| {
        if i % 1000 == 0 {
            heapwatch::set_interval(intervals[i / 1000 % 5]).unwrap();
        }
    });
}

/// ...and from another one, when this thread notices only as its countdown runs out.
#[test]
fn across_changes_by_another_thread() {
    let _turn = my_turn();
    static STOP: AtomicBool = AtomicBool::new(false);
    let changer = std::thread::spawn(|| {
        while !STOP.load(Ordering::Relaxed) {
            for interval in [512 << 10, 2048, 64 << 10, 16 << 10] {
                heapwatch::set_interval(interval).unwrap();
                std::thread::sleep(std::time::Duration::from_micros(50));
            }
        }
    });
    check("changed from outside", &mixed(), 0, &mut |_| {});
    STOP.store(true, Ordering::Relaxed);
    changer.join().unwrap();
}
