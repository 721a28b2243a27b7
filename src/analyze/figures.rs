//! The bounded history of what is one number for the whole process: live bytes, jemalloc's stages,
//! resident memory, threads.

use super::Estimate;
use super::thinning::thin;

/// Points in each doubling of age: a span of the past is drawn with half as many at least.
const CELLS_PER_AGE: u32 = 256;

/// The process at one tick. What is 0 could not be had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figure {
    pub(crate) tick: u32,
    /// Since the first allocation of the process.
    pub(crate) at_seconds: f64,
    pub(crate) live: [f32; 3],
    pub(crate) threads: u32,
    pub(crate) allocated_bytes: u64,
    pub(crate) active_bytes: u64,
    pub(crate) jemalloc_resident_bytes: u64,
    pub(crate) resident_bytes: u64,
}

impl Figure {
    pub(crate) fn new(tick: u32, at_seconds: f64, live: &Estimate) -> Figure {
        Figure {
            tick,
            at_seconds,
            live: [live.estimate as f32, live.low as f32, live.high as f32],
            ..Figure::default()
        }
    }

    /// Live bytes.
    pub(crate) fn live(&self) -> Estimate {
        let [estimate, low, high] = self.live.map(|bytes| f64::from(bytes).round());
        Estimate {
            estimate,
            low,
            high,
        }
    }
}

/// All points that are kept, in order of time.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    pub(crate) fn push(&mut self, figure: Figure) {
        if self.0.last().is_some_and(|last| last.tick >= figure.tick) {
            return;
        }
        self.0.push(figure);
        let ticks: Vec<u32> = self.0.iter().map(|figure| figure.tick).collect();
        thin(&ticks, CELLS_PER_AGE, |index| {
            self.0.remove(index);
        });
    }

    /// The points after a time.
    pub(crate) fn since(&self, seconds: f64) -> &[Figure] {
        let from = self.0.partition_point(|point| point.at_seconds <= seconds);
        &self.0[from..]
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Figure>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tick: u32) -> Figure {
        let live = Estimate {
            estimate: f64::from(tick),
            low: 0.0,
            high: 2.0 * f64::from(tick),
        };
        Figure::new(tick, f64::from(tick) * 5.0, &live)
    }

    /// A month must fit into half a megabyte.
    #[test]
    fn a_month_is_bounded() {
        let mut figures = Figures::default();
        for tick in 0..30 * 17_280 {
            figures.push(at(tick));
        }
        assert!(figures.bytes() < 512 << 10, "{}", figures.bytes());
        assert_eq!(figures.since(f64::from(30 * 17_280 - 11) * 5.0).len(), 10);
        assert_eq!(figures.since(-1.0)[0].tick, 0);
    }

    /// A page that asks for what is new must get each point once.
    #[test]
    fn since_gives_what_is_later_and_time_never_goes_back() {
        let mut figures = Figures::default();
        [3, 4, 4, 2, 5]
            .into_iter()
            .for_each(|tick| figures.push(at(tick)));
        let ticks = |points: &[Figure]| points.iter().map(|p| p.tick).collect::<Vec<_>>();
        assert_eq!(ticks(figures.since(-1.0)), [3, 4, 5]);
        assert_eq!(ticks(figures.since(15.0)), [4, 5]);
        assert!(figures.since(25.0).is_empty());
        assert_eq!(figures.since(20.0)[0].live().high, 10.0);
    }
}
