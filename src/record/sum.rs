//! Sums over samples in fixed point, so that what is added is later subtracted exactly.

use super::sampler::probability;

/// Bits after the binary point.
const FRACTION_BITS: u32 = 20;
const ONE: f64 = (1_u64 << FRACTION_BITS) as f64;

/// What one or more samples stand for, in units of 2^-20.
///
/// The same size and interval always give the same sum, so a sample's part can be taken out again
/// without a remainder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    objects: u128,
    bytes: u128,
    objects_variance: u128,
    bytes_variance: u128,
}

impl Sum {
    pub(crate) const NOTHING: Sum = Sum {
        objects: 0,
        bytes: 0,
        objects_variance: 0,
        bytes_variance: 0,
    };

    /// What a sample of `size` bytes taken at `interval` stands for.
    pub(crate) fn of(size: usize, interval: u32) -> Sum {
        let probability = probability(size, interval);
        let (weight, missed) = (1.0 / probability, 1.0 - probability);
        let bytes = size as f64 * weight;
        Sum {
            objects: fixed(weight),
            bytes: fixed(bytes),
            objects_variance: fixed(weight * weight * missed),
            bytes_variance: fixed(bytes * bytes * missed),
        }
    }

    pub(crate) fn add(&mut self, other: &Sum) {
        self.objects = self.objects.saturating_add(other.objects);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.objects_variance = self.objects_variance.saturating_add(other.objects_variance);
        self.bytes_variance = self.bytes_variance.saturating_add(other.bytes_variance);
    }

    /// What is left of `self` without `part`, which was added before.
    pub(crate) fn without(&self, part: &Sum) -> Sum {
        Sum {
            objects: self.objects.saturating_sub(part.objects),
            bytes: self.bytes.saturating_sub(part.bytes),
            objects_variance: self.objects_variance.saturating_sub(part.objects_variance),
            bytes_variance: self.bytes_variance.saturating_sub(part.bytes_variance),
        }
    }

    pub(crate) fn objects(&self) -> f64 {
        float(self.objects)
    }

    pub(crate) fn bytes(&self) -> f64 {
        float(self.bytes)
    }

    pub(crate) fn objects_variance(&self) -> f64 {
        float(self.objects_variance)
    }

    pub(crate) fn bytes_variance(&self) -> f64 {
        float(self.bytes_variance)
    }
}

#[inline(always)]
fn fixed(value: f64) -> u128 {
    let value = value * ONE;
    // A conversion to 128 bits is a function of its own, and few sums need it.
    if value < (1_u64 << 63) as f64 {
        u128::from(value as u64)
    } else {
        value as u128
    }
}

fn float(value: u128) -> f64 {
    value as f64 / ONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A remainder would let a site that freed everything show live bytes for ever.
        #[test]
        fn what_was_added_comes_out_exactly(
            samples in prop::collection::vec((1_usize..1 << 42, 1_u32..), 1..50)
        ) {
            let mut all = Sum::default();
            let mut freed = Sum::default();
            for &(size, interval) in &samples {
                all.add(&Sum::of(size, interval));
            }
            for &(size, interval) in samples.iter().rev() {
                freed.add(&Sum::of(size, interval));
            }
            prop_assert_eq!(all.without(&freed), Sum::default());
        }

        /// Interval 1 promises exact numbers.
        #[test]
        fn exact_at_interval_one(size in 1_usize..1 << 42) {
            let sum = Sum::of(size, 1);
            prop_assert_eq!(sum.objects(), 1.0);
            prop_assert_eq!(sum.bytes(), size as f64);
            prop_assert_eq!(sum.bytes_variance(), 0.0);
        }
    }
}
