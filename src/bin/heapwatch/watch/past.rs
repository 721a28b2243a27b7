//! The graph's points: as many as a wide screen has columns, whatever the time.

use std::time::Duration;

/// Points kept; when there are more, every other one goes.
const MAX_POINTS: usize = 512;

/// One moment of the service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Seconds since the watching began.
    pub(super) seconds: f64,
    /// Estimate of the live bytes.
    pub(super) live: f64,
    /// Physical memory of the process, where that is known.
    pub(super) resident: Option<f64>,
}

/// What was seen since the watching began.
#[derive(Debug, Default)]
pub(super) struct Past {
    points: Vec<Point>,
    /// Seconds that lie between two points at least.
    spacing: f64,
}

impl Past {
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// Adds a point. The last one is always the newest.
    pub(super) fn push(&mut self, at: Duration, live: f64, resident: Option<f64>) {
        let point = Point {
            seconds: at.as_secs_f64(),
            live,
            resident,
        };
        if let [.., before, last] = &mut *self.points
            && point.seconds - before.seconds < self.spacing
        {
            *last = point;
            return;
        }
        self.points.push(point);
        if self.points.len() > MAX_POINTS {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let last = self.points.len() - 1;
        let mut index = 0;
        self.points.retain(|_| {
            index += 1;
            (index - 1) % 2 == 0 || index - 1 == last
        });
        let span = point_span(&self.points);
        self.spacing = span / (MAX_POINTS / 2) as f64;
    }
}

fn point_span(points: &[Point]) -> f64 {
    match points {
        [first, .., last] => last.seconds - first.seconds,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal left open for weeks must not run out of memory, nor lose the beginning or the end.
    #[test]
    fn keeps_the_whole_time_in_few_points() {
        let mut past = Past::default();
        for second in 0..100_000_u64 {
            past.push(Duration::from_secs(second), second as f64, None);
            assert!(past.points().len() <= MAX_POINTS);
            assert_eq!(past.points().last().unwrap().live, second as f64);
        }
        let points = past.points();
        assert_eq!(points[0].seconds, 0.0);
        assert!(points.len() >= MAX_POINTS / 4, "{}", points.len());
        let gaps = points
            .windows(2)
            .map(|pair| pair[1].seconds - pair[0].seconds);
        let widest = gaps.fold(0.0, f64::max);
        assert!(
            widest <= 4.0 * 100_000.0 / MAX_POINTS as f64 * 2.0,
            "{widest}"
        );
    }
}
