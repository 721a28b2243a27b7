//! Which points of the past stay, so that memory is bounded whatever the uptime: all of the last
//! ones, and fewer the older they are.
//!
//! Time is cut into cells whose width, a power of two ticks, is about the point's age divided by a
//! constant. Cells nest, so it does not matter how often this is done.

/// Keeps the first point of each cell, and always the last point; `points` are in order of time.
/// What goes is handed to `drop_at` by its index at that moment, the latest first.
pub(crate) fn thin(ticks: &[u32], cells_per_age: u32, mut drop_at: impl FnMut(usize)) {
    let Some((&now, earlier)) = ticks.split_last() else {
        return;
    };
    let mut gone = Vec::new();
    let mut kept: Option<u32> = None;
    for (index, &tick) in earlier.iter().enumerate() {
        if kept.is_some_and(|kept| same_cell(kept, tick, now, cells_per_age)) {
            gone.push(index);
        } else {
            kept = Some(tick);
        }
    }
    gone.into_iter().rev().for_each(&mut drop_at);
}

/// Whether two ticks lie in one cell, of the width at the earlier one.
fn same_cell(earlier: u32, later: u32, now: u32, cells_per_age: u32) -> bool {
    let age = now.saturating_sub(earlier);
    let shift = (age / cells_per_age.max(1)).checked_ilog2().unwrap_or(0);
    earlier >> shift == later >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinned(ticks: &mut Vec<u32>, cells_per_age: u32) {
        let before = ticks.clone();
        thin(&before, cells_per_age, |index| {
            ticks.remove(index);
        });
    }

    /// A week at a tick of 5 s must be as small as an hour, almost, and must show the last minutes
    /// as they were.
    #[test]
    fn a_week_is_small_and_its_end_is_whole() {
        let mut ticks = Vec::new();
        for now in 0..7 * 17_280 {
            ticks.push(now);
            thinned(&mut ticks, 64);
        }
        let now = *ticks.last().unwrap();
        // 64 at the full rate twice, then at most 64 and an odd one for each doubling.
        assert!(ticks.len() <= 128 + 11 * 65, "{}", ticks.len());
        assert!(ticks.len() > 11 * 32, "{}", ticks.len());
        let recent: Vec<u32> = (now - 127..=now).collect();
        assert_eq!(ticks[ticks.len() - 128..], recent);
        assert_eq!(ticks[0], 0);
        for pair in ticks.windows(2) {
            let (gap, age) = (pair[1] - pair[0], now - pair[0]);
            assert!(gap <= (age / 32).max(1), "a gap of {gap} at the age {age}");
        }
    }

    /// Ticks that were skipped must not take the points beside them along.
    #[test]
    fn points_in_cells_of_their_own_stay() {
        let mut ticks = vec![0, 1000, 1007, 2000];
        thinned(&mut ticks, 8);
        assert_eq!(ticks, [0, 1000, 2000]);
        thinned(&mut ticks, 8);
        assert_eq!(ticks, [0, 1000, 2000]);
    }
}
