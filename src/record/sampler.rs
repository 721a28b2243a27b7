//! Which allocations are sampled: a Poisson process over bytes. Pure, so that it can be simulated.
//!
//! Hits fall on the stream of allocated bytes at a rate of one per interval `R`; an allocation is
//! sampled when at least one hit falls on it, so one of `s` bytes is sampled with probability
//! `p = 1 − e^(−s/R)` whatever came before it. The distance to the next hit is exponential, and
//! because that distribution has no memory the rest of a sampled block may be skipped and a
//! distance may be cut short and drawn anew without bias.

/// The distance to the next hit is drawn in pieces of at most this many intervals, so that a
/// thread notices a changed interval after so many bytes at most.
const MAX_PIECE_INTERVALS: u64 = 2;
/// The bound on a piece in bytes, for large intervals and while sampling is off.
const MAX_PIECE_BYTES: u64 = 8 << 20;

/// A drawn distance: what a thread counts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Countdown {
    /// Bytes that may still be allocated before the slow path is due.
    pub(crate) left: i64,
    /// The interval that produced it: 0 is off, 1 is every allocation.
    pub(crate) interval: u32,
    /// Whether a hit lies at its end, or only the end of a piece.
    pub(crate) hit: bool,
}

impl Countdown {
    /// What a thread starts with: due at once, and not a hit, so that the first allocation of a
    /// thread is sampled no more often than any other.
    pub(crate) const START: Countdown = Countdown {
        left: 0,
        interval: 0,
        hit: false,
    };

    /// While sampling is off: what ends within it was allocated under "off" and is not sampled.
    const OFF: Countdown = Countdown {
        left: 0,
        interval: 0,
        hit: true,
    };

    /// Draws the distance from here to the next hit at `interval`.
    pub(crate) fn draw(interval: u32, rng: &mut Rng) -> Countdown {
        match interval {
            0 => Countdown {
                left: MAX_PIECE_BYTES as i64,
                ..Countdown::OFF
            },
            // Not a Poisson process any more: every allocation, exactly once, at weight 1.
            1 => Countdown {
                left: 0,
                interval,
                hit: true,
            },
            _ => {
                let piece = (u64::from(interval) * MAX_PIECE_INTERVALS).min(MAX_PIECE_BYTES);
                let distance = rng.exponential() * f64::from(interval);
                if distance < piece as f64 {
                    // Cut to whole bytes: a block of `s` bytes is hit when distance < s, which for
                    // whole s is the same as floor(distance) < s.
                    Countdown {
                        left: distance as i64,
                        interval,
                        hit: true,
                    }
                } else {
                    Countdown {
                        left: piece as i64,
                        interval,
                        hit: false,
                    }
                }
            }
        }
    }

    /// Settles an allocation that brought `left` below zero.
    ///
    /// Returns the interval to weigh it with if the allocation is sampled. `current` is the
    /// interval to draw with from here on.
    pub(crate) fn expire(&mut self, current: u32, rng: &mut Rng) -> Option<u32> {
        debug_assert!(self.left < 0);
        if self.interval == 0 && self.hit {
            *self = Countdown::draw(current, rng);
            return None;
        }
        // A block is sampled at one interval throughout, even if the interval changed meanwhile:
        // otherwise its probability would be a mixture that no weight undoes. A new thread has
        // none yet.
        let interval = if self.interval == 0 {
            current
        } else {
            self.interval
        };
        if interval == 0 {
            *self = Countdown::draw(0, rng);
            return None;
        }
        while !self.hit && self.left < 0 {
            let beyond = self.left;
            *self = Countdown::draw(interval, rng);
            self.left += beyond;
        }
        if self.left >= 0 {
            // The block itself was judged at one interval; what follows need not be.
            if current != interval {
                *self = Countdown::draw(current, rng);
            }
            return None;
        }
        *self = Countdown::draw(current, rng);
        Some(interval)
    }
}

/// The number of allocations of `size` bytes that a sample at `interval` stands for: `1/p`.
pub(crate) fn weight(size: usize, interval: u32) -> f64 {
    1.0 / probability(size, interval)
}

/// The probability that an allocation of `size` bytes is sampled at `interval`.
pub(crate) fn probability(size: usize, interval: u32) -> f64 {
    if interval <= 1 {
        1.0
    } else {
        -(-(size as f64) / f64::from(interval)).exp_m1()
    }
}

/// SplitMix64: one addition and a hash per number, and any seed will do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A standard exponential number.
    fn exponential(&mut self) -> f64 {
        // 53 random bits, moved off zero so that the logarithm is finite.
        let uniform = ((self.next() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64);
        -uniform.ln()
    }
}

/// Spreads the bits of a number over all of its bits (the finaliser of SplitMix64).
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `sizes` through a countdown; returns the sum of weighted bytes.
    fn sampled_bytes(seed: u64, interval: impl Fn(usize) -> u32, sizes: &[usize]) -> f64 {
        let mut rng = Rng(seed);
        let mut countdown = Countdown::START;
        let mut sum = 0.0;
        for (i, &size) in sizes.iter().enumerate() {
            countdown.left -= size as i64;
            if countdown.left < 0
                && let Some(r) = countdown.expire(interval(i), &mut rng)
            {
                sum += size as f64 * weight(size, r);
            }
        }
        sum
    }

    /// Mean over seeded trials within 3σ of the truth. σ from the trials' own spread, or from the
    /// formula where misses are too rare to be among the trials.
    fn assert_unbiased(name: &str, interval: impl Fn(usize) -> u32 + Copy, sizes: &[usize]) {
        let truth: usize = sizes.iter().sum();
        let trials: Vec<f64> = (0..400)
            .map(|seed| sampled_bytes(mix(seed), interval, sizes))
            .collect();
        let n = trials.len() as f64;
        let mean = trials.iter().sum::<f64>() / n;
        let variance = trials.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let expected: f64 = (sizes.iter().enumerate())
            .map(|(i, &size)| (size as f64).powi(2) * (weight(size, interval(i)) - 1.0))
            .sum();
        let sigma = (variance.max(expected) / n).sqrt();
        let off = (mean - truth as f64).abs();
        assert!(
            off <= 3.0 * sigma.max(1e-9 * truth as f64),
            "{name}: {mean} for {truth}, σ {sigma}"
        );
    }

    /// A bias here is a lie in every number of the crate.
    #[test]
    fn unbiased_for_all_sizes_and_intervals() {
        for interval in [524_288, 65_536, 4096, 2] {
            for size in [16, 100, 4096, 65_536, 524_288, 8 << 20] {
                let count = ((8 << 20) / size).clamp(8, 20_000);
                assert_unbiased(
                    &format!("{size} at {interval}"),
                    |_| interval,
                    &vec![size; count],
                );
            }
        }
    }

    /// One huge block among many small ones on one stack must not distort either.
    #[test]
    fn unbiased_for_mixed_sizes() {
        let mut sizes = vec![8; 20_000];
        for i in 0..20 {
            sizes.insert(i * 991, 1 << (10 + i % 13));
        }
        for interval in [524_288, 65_536] {
            assert_unbiased(&format!("mixed at {interval}"), |_| interval, &sizes);
        }
    }

    /// The owner may change the interval of a running service; sums must not jump.
    #[test]
    fn unbiased_across_changes_of_interval() {
        let sizes: Vec<usize> = (0..4000).map(|i| 16 << (i % 14)).collect();
        assert_unbiased(
            "changing",
            |i| [524_288, 65_536, 1, 4096, 1 << 20][i / 800],
            &sizes,
        );
    }

    /// Interval 1 promises exactness, off promises nothing taken.
    #[test]
    fn every_allocation_at_interval_one_and_none_when_off() {
        let sizes = [1, 7, 1 << 30, 16];
        assert_eq!(
            sampled_bytes(1, |_| 1, &sizes),
            sizes.iter().sum::<usize>() as f64
        );
        assert_eq!(sampled_bytes(1, |_| 0, &sizes), 0.0);
    }

    /// A thread that kept its interval until it is sampled would be deaf to a new one for as many bytes
    /// as the old one has, a GiB and more.
    #[test]
    fn a_changed_interval_is_taken_over_at_the_end_of_a_piece() {
        let (old, new) = (1 << 30, 65_536);
        for seed in 0..1000 {
            let mut rng = Rng(seed);
            let mut countdown = Countdown::draw(old, &mut rng);
            let mut allocated = 0;
            while countdown.interval == old {
                countdown.left -= 1024;
                allocated += 1024;
                if countdown.left < 0 {
                    countdown.expire(new, &mut rng);
                }
            }
            assert!(allocated <= MAX_PIECE_BYTES + 1024, "{allocated}");
        }
    }

    /// A countdown longer than a piece would make a thread deaf to a changed interval.
    #[test]
    fn countdowns_are_bounded() {
        let mut rng = Rng(7);
        for interval in [0, 1, 2, 65_536, u32::MAX] {
            for _ in 0..1000 {
                assert!(Countdown::draw(interval, &mut rng).left <= MAX_PIECE_BYTES as i64);
            }
        }
    }
}
