use super::*;

fn close(found: f64, expected: f64, relative: f64) {
    let error = (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
    assert!(error <= relative, "{found} is not {expected}");
}

/// `Γ(n) = (n − 1)!`, and `Γ(1/2) = √π` with its neighbours by `Γ(x + 1) = x·Γ(x)`.
#[test]
fn ln_gamma_is_that_of_factorials_and_halves() {
    let (mut whole, mut half) = (0.0, std::f64::consts::PI.sqrt().ln());
    for n in 1..170 {
        let n = f64::from(n);
        assert!((ln_gamma(n) - whole).abs() <= 1e-14 * whole.max(1.0), "{n}");
        let x = n - 0.5;
        assert!((ln_gamma(x) - half).abs() <= 1e-14 * half.max(1.0), "{x}");
        whole += n.ln();
        half += x.ln();
    }
    // Γ(x) tends to 1/x − γ.
    close(ln_gamma(1e-12), -(1e-12f64.ln()), 1e-13);
}

/// `P(X ≤ n)` of a Poisson variable, by its sum: both tails, and where series and fraction meet.
#[test]
fn gamma_is_the_sum_of_poisson_probabilities() {
    for n in [0u32, 1, 2, 5, 20, 100, 500] {
        for mean in [0.01, 0.5, 1.0, 3.0, 19.9, 20.1, 21.0, 99.0, 130.0, 600.0] {
            let (mut term, mut sum) = (f64::exp(-mean), 0.0);
            for k in 0..=n {
                sum += term;
                term *= mean / f64::from(k + 1);
            }
            let found = gamma_above(f64::from(n) + 1.0, mean);
            assert!((found - sum).abs() <= 1e-12 * sum + 1e-15, "{n} {mean}");
        }
    }
}

/// `P(X ≥ k)` of `n` tosses of an unfair coin, by its sum.
#[test]
fn beta_is_the_sum_of_binomial_probabilities() {
    for n in [1u32, 2, 7, 40, 180] {
        for share in [0.05, 0.1, 0.5, 0.7, 0.999f64] {
            let mut tail = 0.0;
            let mut term = share.powi(n as i32);
            for k in (1..=n).rev() {
                tail += term;
                let (a, b) = (f64::from(k), f64::from(n - k + 1));
                let found = beta_below(a, b, share);
                assert!((found - tail).abs() <= 1e-11 * tail, "{n} {k} {share}");
                term *= a / b * (1.0 - share) / share;
            }
        }
    }
    assert_eq!(beta_below(3.0, 4.0, 0.0), 0.0);
    assert_eq!(beta_below(3.0, 4.0, 1.0), 1.0);
    close(beta_below(1e9, 1e9, 0.5), 0.5, 1e-3);
}

/// Shape 1 is the exponential distribution; shape ½ is the square of a normal variable, halved; and
/// for the rest the published χ² quantiles with `2k` degrees of freedom, halved.
#[test]
fn gamma_quantiles_are_the_published_ones() {
    for p in [0.025, 0.5, 0.975] {
        close(gamma_quantile(1.0, p), -(1.0f64 - p).ln(), 1e-12);
    }
    close(
        gamma_quantile(0.5, 0.95) * 2.0,
        3.841_458_820_694_124,
        1e-12,
    );
    for (freedom, low, high) in [
        (3.0, 0.215_795, 9.348_404),
        (10.0, 3.246_973, 20.483_177),
        (50.0, 32.357_364, 71.420_195),
        (100.0, 74.221_927, 129.561_197),
    ] {
        close(gamma_quantile(freedom / 2.0, 0.025) * 2.0, low, 2e-6);
        close(gamma_quantile(freedom / 2.0, 0.975) * 2.0, high, 2e-6);
    }
}

/// A quantile must be the inverse, down to shapes whose quantile is hardly more than nothing.
#[test]
fn gamma_quantiles_invert_the_distribution() {
    for shape in [1e-3, 0.02, 0.3, 0.99, 1.5, 7.0, 60.0, 999.0, 20_000.0] {
        for p in [0.025, 0.5, 0.975] {
            let x = gamma_quantile(shape, p);
            assert!(x >= 0.0 && x.is_finite());
            if x > 0.0 {
                close(gamma(shape, x).0, p, 1e-10);
            }
        }
    }
    assert!(gamma_quantile(1e-9, 0.025) < 1e-300);
}

/// One degree of freedom is Cauchy's distribution, two have a closed form, many are normal; and the
/// published value that five exceed once in forty times.
#[test]
fn student_is_the_published_one() {
    for t in [-30.0, -1.5, 0.0, 0.3, 2.0, 100.0f64] {
        let cauchy = 0.5 - t.atan() / std::f64::consts::PI;
        close(student_above(t, 1.0), cauchy, 1e-10);
        let two = 0.5 - t / (2.0 * (2.0 + t * t).sqrt());
        close(student_above(t, 2.0), two, 1e-9);
    }
    close(student_above(2.570_581_835_636_314, 5.0), 0.025, 1e-10);
    close(student_above(1.96, 1e7), normal_above(1.96), 1e-6);
    assert_eq!(student_above(1.0, 0.0), 1.0);
    assert_eq!(student_above(1.0, f64::NAN), 1.0);
}

#[test]
fn normal_is_the_published_one() {
    close(normal_above(1.959_963_984_540_054), 0.025, 1e-12);
    close(normal_above(-1.0), 0.841_344_746_068_543, 1e-12);
    assert_eq!(normal_above(0.0), 0.5);
}

/// Counters and files can hold anything; an endless loop would hang a report.
#[test]
fn what_cannot_be_ends() {
    for x in [f64::NAN, f64::INFINITY, 1e300, 1e-300] {
        for shape in [1e-300, 1.0, 1e4] {
            let _ = gamma_above(shape, x);
            let _ = beta_below(shape, 1.0, x);
            let _ = student_above(x, shape);
        }
    }
}
