//! Estimates with their 95 % interval.
//!
//! A sum `L` over Poisson samples has the variance `V` that the snapshot keeps beside it, but its
//! distribution is skewed and often rests on a handful of samples: `L ± 1.96·√V` covers the truth
//! in 63 of 100 cases where one sample is expected. The gamma distribution with mean `L` and
//! variance `V` takes its place, and for the upper end one more sample, of mean `U` and variance
//! `U²`, is added, because the next one may just have been missed:
//!
//! ```text
//! low  = (V / L)  · Γ⁻¹(0.025; L²/V)
//! high = (V'/ L') · Γ⁻¹(0.975; L'²/V')      L' = L + U,  V' = V + U²
//! ```
//!
//! where `Γ⁻¹(p; k)` is the quantile of the gamma distribution of shape `k` and scale 1; this is the
//! `χ²` quantile with `2k` degrees of freedom, halved. For nothing seen, `high = 3.69·U`.
//!
//! For bytes, `U` is the interval `R`: what one sample of small objects stands for. For objects it is
//! the number of objects in `R` bytes, at the mean size of those seen, or the mean weight of the
//! samples (by weight: `V/N`), whichever is more. Where all objects have one size `s`, the interval
//! of the objects is then that of the bytes divided by `s`. Where sizes at one site differ tenfold
//! and more, and fewer than about ten samples were taken, small objects can hide from the interval
//! of objects. It then covers the truth in 74 to 90 of 100 cases, where sizes differ a hundredfold in
//! as few as 50: if none of the small objects was met, nothing that was seen tells of them, and to
//! allow for them everywhere would make the interval of each site with few samples several times as
//! wide. What they hold in bytes cannot hide.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::analyze::distributions;
use crate::snapshot::Totals;

const LOWER: f64 = 0.025;
const UPPER: f64 = 0.975;

/// The standard normal quantile at [`UPPER`]; that at [`LOWER`] is its negative.
const Z: f64 = 1.959_963_984_540_054;

/// Shapes from here on use the Wilson–Hilferty approximation: it is then within 2·10⁻⁵ standard
/// deviations, and the exact quantile's cost grows with the root of the shape.
const LARGE_SHAPE: f64 = 1_000.0;

/// A number that was estimated from samples, with its 95 % interval.
///
/// Serialised as `{"estimate", "low", "high"}`; whole numbers without a fraction.
///
/// ```
/// use heapwatch::report::Estimate;
///
/// let live = Estimate { estimate: 524_288.0, low: 13_274.0, high: 2_921_000.0 };
/// assert!(live.low < live.estimate && live.estimate < live.high);
/// assert_eq!(Estimate::exact(7.0).half_width(), 0.0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// The unbiased estimate.
    pub estimate: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

impl Estimate {
    /// A number that is known, not estimated.
    pub const fn exact(value: f64) -> Self {
        Estimate {
            estimate: value,
            low: value,
            high: value,
        }
    }

    /// Half of the interval's width: the `±` that a person reads.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Bytes of a sum of samples, the interval widened to whole bytes.
    ///
    /// `interval` is the largest mean number of bytes between two samples while they were taken: 1
    /// counted every allocation, and the result is exact; 0 counted none.
    pub(crate) fn bytes(totals: &Totals, interval: u64) -> Self {
        if interval <= 1 {
            return Estimate::exact(totals.bytes);
        }
        from_sum(totals.bytes, totals.bytes_variance, interval as f64).outward()
    }

    /// Objects of a sum of samples, the interval widened to whole objects.
    ///
    /// `alike` is a larger sum of objects of the same kind, which tells better how small those may
    /// be that were not seen. If nothing tells, they may be as small as one byte.
    pub(crate) fn objects(totals: &Totals, alike: &Totals, interval: u64) -> Self {
        if interval <= 1 {
            return Estimate::exact(totals.objects);
        }
        let unit = object_unit(totals, alike, interval);
        from_sum(totals.objects, totals.objects_variance, unit).outward()
    }

    /// The interval widened to whole numbers, and around the estimate.
    fn outward(self) -> Self {
        Estimate {
            estimate: self.estimate,
            low: self.low.floor().min(self.estimate),
            high: self.high.ceil().max(self.estimate),
        }
    }
}

/// The number of objects that may go unseen for each sample: those in `interval` bytes at the mean
/// size of those seen, or the mean weight of the samples, whichever is more.
pub(crate) fn object_unit(totals: &Totals, alike: &Totals, interval: u64) -> f64 {
    let per_byte = [totals, alike]
        .into_iter()
        .filter(|sums| sums.bytes > 0.0)
        .map(|sums| sums.objects / sums.bytes)
        .reduce(f64::max)
        .unwrap_or(1.0);
    let unit = interval as f64 * per_byte;
    if totals.objects > 0.0 {
        unit.max(totals.objects_variance / totals.objects)
    } else {
        unit
    }
}

impl Serialize for Estimate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Estimate", 3)?;
        for (name, value) in [
            ("estimate", self.estimate),
            ("low", self.low),
            ("high", self.high),
        ] {
            // Below 2^53 the conversion is exact.
            if value.fract() == 0.0 && value.abs() < 9e15 {
                out.serialize_field(name, &(value as i64))?;
            } else {
                out.serialize_field(name, &value)?;
            }
        }
        out.end()
    }
}

/// The interval of the module's documentation for a sum, its variance and its unit `U > 0`.
fn from_sum(sum: f64, variance: f64, unit: f64) -> Estimate {
    Estimate {
        estimate: sum,
        low: gamma_quantile(sum, variance, LOWER).min(sum),
        high: gamma_quantile(sum + unit, variance + unit * unit, UPPER).max(sum),
    }
}

/// The `LOWER` or `UPPER` quantile of the gamma distribution with this mean and variance.
fn gamma_quantile(mean: f64, variance: f64, p: f64) -> f64 {
    let shape = mean * mean / variance;
    // Nothing seen, or seen with certainty: NaN, infinite or beyond what a float resolves.
    if !shape.is_finite() || shape > 1e30 {
        return mean;
    }
    if shape >= LARGE_SHAPE {
        return mean * wilson_hilferty(shape, p);
    }
    if shape <= 0.0 {
        return mean;
    }
    mean / shape * distributions::gamma_quantile(shape, p)
}

/// The quantile of a gamma distribution with mean 1: its cube root is nearly normal.
fn wilson_hilferty(shape: f64, p: f64) -> f64 {
    let z = if p == LOWER { -Z } else { Z };
    let variance = 1.0 / (9.0 * shape);
    (1.0 - variance + z * variance.sqrt()).powi(3)
}

#[cfg(test)]
#[path = "estimate_tests.rs"]
mod tests;
