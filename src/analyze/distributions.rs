//! The probabilities and quantiles that intervals and verdicts rest on.
//!
//! A library has dozens of distributions, and with them several times as much to build as all of
//! this module's callers together need: two incomplete integrals and one quantile. The series and
//! continued fractions are those of Abramowitz and Stegun, *Handbook of Mathematical Functions*,
//! 6.5 and 26.5; the tests compare them with closed forms, sums and published tables.

/// Relative error at which series and fractions end.
const PRECISION: f64 = 1e-15;

/// What takes the place of a denominator that vanishes.
const TINY: f64 = 1e-290;

/// More terms than any fraction needs whose value could matter.
const MOST_TERMS: u32 = 10_000;

/// Lanczos' approximation with the coefficients of Pugh, *An Analysis of the Lanczos Gamma
/// Approximation* (2004), page 116: 16 digits.
const LANCZOS_R: f64 = 10.900_511;
const LANCZOS: [f64; 11] = [
    2.485_740_891_387_535_5e-5,
    1.051_423_785_817_219_7,
    -3.456_870_972_220_162_5,
    4.512_277_094_668_948,
    -2.982_852_253_235_766_4,
    1.056_397_115_771_267,
    -1.954_287_731_916_458_7e-1,
    1.709_705_434_044_412e-2,
    -5.719_261_174_043_057e-4,
    4.633_994_733_599_057e-6,
    -2.719_949_084_886_077e-9,
];

/// `ln Γ(x)` for positive `x`.
fn ln_gamma(x: f64) -> f64 {
    use std::f64::consts::{E, PI};

    // Γ(x) = Γ(x + 1) / x, where the approximation is not made for x itself.
    if x < 0.5 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let mut sum = LANCZOS[0];
    for (term, &coefficient) in (0u32..).zip(&LANCZOS).skip(1) {
        sum += coefficient / (x + f64::from(term) - 1.0);
    }
    sum.ln() + (2.0 * (E / PI).sqrt()).ln() + (x - 0.5) * ((x - 0.5 + LANCZOS_R) / E).ln()
}

/// The continued fraction `1 / (b₀ + a₁ / (b₁ + a₂ / (b₂ + …)))` by Lentz' method; `term(n)` is
/// `(aₙ, bₙ)`.
fn fraction(b0: f64, term: impl Fn(f64) -> (f64, f64)) -> f64 {
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0 / TINY, 1.0 / nonzero(b0));
    let mut value = d;
    for n in 1..MOST_TERMS {
        let (a, b) = term(f64::from(n));
        d = 1.0 / nonzero(b + a * d);
        c = nonzero(b + a / c);
        value *= c * d;
        if (c * d - 1.0).abs() <= PRECISION {
            break;
        }
    }
    value
}

/// What lies below and above `x` of the gamma distribution of this shape and of scale 1: the
/// regularised incomplete gamma functions. The smaller of the two has full precision.
fn gamma(shape: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x == f64::INFINITY {
        return (1.0, 0.0);
    }
    let front = (shape * x.ln() - x - ln_gamma(shape)).exp();
    if x <= 1.0 || x <= shape {
        let (mut term, mut sum, mut n) = (1.0, 1.0, shape);
        while term > sum * PRECISION {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        let below = front * sum / shape;
        (below, 1.0 - below)
    } else {
        let b0 = x + 1.0 - shape;
        let above = front * fraction(b0, |n| (n * (shape - n), b0 + 2.0 * n));
        (1.0 - above, above)
    }
}

/// What lies above `x` of the gamma distribution of this shape and of scale 1. For a Poisson
/// variable of mean `x` it is the probability of fewer than `shape`.
pub(super) fn gamma_above(shape: f64, x: f64) -> f64 {
    gamma(shape, x).1
}

/// Where a share `p` of the gamma distribution of this shape and of scale 1 lies below.
pub(super) fn gamma_quantile(shape: f64, p: f64) -> f64 {
    let below = |x: f64| gamma(shape, x).0;
    let (mut low, mut high) = (1.0, 2.0);
    while below(low) > p {
        (low, high) = (low / 2.0, low);
    }
    while below(high) < p {
        (low, high) = (high, high * 2.0);
    }
    // Newton's steps, halving the bracket instead where they would leave it: of shapes below 1 the
    // quantile lies so close to 0 that they do.
    let front = ln_gamma(shape);
    let mut x = f64::midpoint(low, high);
    for _ in 0..100 {
        let error = below(x) - p;
        if error >= 0.0 {
            high = x;
        } else {
            low = x;
        }
        let density = ((shape - 1.0) * x.ln() - x - front).exp();
        let mut next = x - error / density;
        // Not a number either.
        if !(low < next && next < high) {
            next = f64::midpoint(low, high);
        }
        let step = (next - x).abs();
        x = next;
        if step <= 1e-14 * x {
            break;
        }
    }
    x
}

/// The regularised incomplete beta function: what lies below `x` of the beta distribution.
pub(super) fn beta_below(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on this side of the mean.
    if x >= (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_below_mean(b, a, 1.0 - x);
    }
    beta_below_mean(a, b, x)
}

fn beta_below_mean(a: f64, b: f64, x: f64) -> f64 {
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    let front = (front + a * x.ln() + b * (1.0 - x).ln()).exp();
    let term = |n: f64| {
        let m = (n / 2.0).floor();
        let factor = if n % 2.0 == 0.0 {
            m * (b - m) / ((a + n - 1.0) * (a + n))
        } else {
            -(a + m) * (a + b + m) / ((a + n - 1.0) * (a + n))
        };
        (factor * x, 1.0)
    };
    front / a * fraction(1.0, term)
}

/// What lies above `t` of Student's t distribution; 1 where that has no degrees of freedom.
pub(crate) fn student_above(t: f64, freedom: f64) -> f64 {
    if freedom.is_nan() || freedom <= 0.0 {
        return 1.0;
    }
    let outside = beta_below(freedom / 2.0, 0.5, freedom / (freedom + t * t));
    if t <= 0.0 {
        1.0 - outside / 2.0
    } else {
        outside / 2.0
    }
}

/// What lies above `z` of the standard normal distribution.
#[cfg(test)]
pub(super) fn normal_above(z: f64) -> f64 {
    let outside = gamma_above(0.5, z * z / 2.0);
    if z <= 0.0 {
        1.0 - outside / 2.0
    } else {
        outside / 2.0
    }
}

#[cfg(test)]
#[path = "distributions_tests.rs"]
mod tests;
