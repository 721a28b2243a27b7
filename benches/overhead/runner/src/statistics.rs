//! Order statistics.

use serde::Serialize;

/// The middle of some values and how far they lie apart.
#[derive(Clone, Copy, Serialize)]
pub struct Summary {
    /// Half of the values lie below.
    pub median: f64,
    /// A quarter of the values lies below.
    pub lower_quartile: f64,
    /// A quarter of the values lies above.
    pub upper_quartile: f64,
}

impl Summary {
    /// Summarises `values`, of which there must be one at least.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Summary {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Summary {
            median: quantile(&values, 0.5),
            lower_quartile: quantile(&values, 0.25),
            upper_quartile: quantile(&values, 0.75),
        }
    }
}

/// Interpolates between the two nearest of `sorted`.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * share;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn quartiles_interpolate() {
        let summary = Summary::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!(summary.median, 2.5);
        assert_eq!(summary.lower_quartile, 1.75);
        assert_eq!(summary.upper_quartile, 3.25);
    }

    #[test]
    fn one_value_is_its_own_summary() {
        let summary = Summary::of([7.0]);
        assert_eq!((summary.median, summary.upper_quartile), (7.0, 7.0));
    }
}
