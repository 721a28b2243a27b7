//! What a history looks like that shows no growth: cyclic, plateaued, freed or stable.

use super::stats;
use super::{Pattern, SiteEvidence, Verdict, Watch};

/// A swing must be this share of the middle of the history.
const SWING: f64 = 0.5;

/// Description of a history without growth.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// Cyclic, plateaued or stable.
    pub(crate) verdict: Verdict,
    /// Freed, if it is.
    pub(crate) pattern: Option<Pattern>,
    /// Highest live bytes.
    pub(crate) peak: f32,
    /// Live bytes now.
    pub(crate) now: f32,
    /// Least live bytes since the first quarter.
    pub(crate) low: f32,
    /// Seconds since the level was first reached, if it plateaued.
    pub(crate) flat_seconds: f64,
}

/// Describes a history.
pub(crate) fn describe(site: &SiteEvidence<'_>, watch: &Watch) -> Course {
    let series = site.series;
    let bins: Vec<_> = series.bins().iter().filter(|bin| bin.ticks > 0).collect();
    let means: Vec<f64> = bins.iter().map(|bin| f64::from(bin.mean)).collect();
    let middle = stats::median(&mut means.clone());
    let noise = (stats::unit_bytes(site.live, watch) * middle).sqrt();
    let peak = bins.iter().map(|bin| bin.peak).fold(0.0, f32::max);
    let recent = &bins[bins.len() / 4..];
    let inside = recent
        .iter()
        .filter(|bin| f64::from(bin.peak - bin.floor) > (SWING * middle).max(6.0 * noise))
        .count();
    let returns = returns(&means, (SWING * middle).max(4.0 * noise));
    let now = series.live();
    let tail = &means[means.len() * 2 / 3..];
    let level = tail.iter().sum::<f64>() / tail.len().max(1) as f64;
    let reached = means
        .iter()
        .position(|mean| *mean >= 0.9 * level)
        .unwrap_or(0);
    let before = &means[means.len() / 3..means.len() * 2 / 3];
    let half_way = before.iter().sum::<f64>() / before.len().max(1) as f64;
    let flat = (level - half_way).abs() < (0.15 * level).max(2.0 * noise);
    let grew = flat && reached > 0 && means[0] < 0.7 * level - 2.0 * noise;
    let (verdict, pattern) = if returns >= 2 || inside * 2 > recent.len() {
        (Verdict::Cyclic, None)
    } else if now < 0.1 * peak {
        (Verdict::Stable, Some(Pattern::Freed))
    } else if grew {
        (Verdict::Plateaued, None)
    } else {
        (Verdict::Stable, None)
    };
    let flat = (means.len() - reached) as f64 * f64::from(series.width());
    Course {
        verdict,
        pattern,
        peak,
        now,
        low: recent
            .iter()
            .map(|bin| bin.floor)
            .fold(f32::INFINITY, f32::min),
        flat_seconds: watch.seconds(flat.min(f64::from(series.end()))),
    }
}

/// Falls of at least `size` after a rise of at least `size`.
fn returns(means: &[f64], size: f64) -> u32 {
    let Some(first) = means.first() else { return 0 };
    let (mut low, mut high, mut risen, mut count) = (*first, *first, false, 0);
    for mean in means {
        if risen {
            high = high.max(*mean);
            if high - mean >= size && size > 0.0 {
                count += 1;
                risen = false;
                low = *mean;
            }
        } else {
            low = low.min(*mean);
            if mean - low >= size && size > 0.0 {
                risen = true;
                high = *mean;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::returns;

    #[test]
    fn returns_are_falls_after_rises() {
        assert_eq!(returns(&[1.0, 5.0, 1.0, 5.0, 1.0], 3.0), 2);
        assert_eq!(returns(&[1.0, 2.0, 3.0, 4.0, 5.0], 3.0), 0);
        assert_eq!(returns(&[5.0, 1.0, 2.0, 1.0], 3.0), 0);
    }
}
