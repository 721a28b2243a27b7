//! Do the objects of a site live longer than they used to?
//!
//! A consumer that is slower than its producer makes every object wait longer than the last. The table of
//! deaths shows it cohort by cohort, without the noise that live bytes have: of those born early and of
//! those born late, which share reached a given age?

use super::{SiteEvidence, Watch};

/// How sure, in standard deviations: the largest difference, over all ages tried, between the shares of
/// early and late cohorts that reached an age, if it is also large in itself, else 0. None where fewer
/// have died than live, or where hardly any lives to the least age that the table can tell.
pub(crate) fn lengthening(site: &SiteEvidence<'_>, watch: &Watch) -> Option<f64> {
    let deaths = site.deaths?;
    let died: usize = deaths.cells().map(|cell| usize::from(cell.count)).sum();
    if died < site.live.len() {
        return None;
    }
    let width = deaths.width();
    [width / 2, width, 2 * width, 4 * width]
        .into_iter()
        .filter(|age| *age > 0 && *age <= watch.now / 4)
        .filter_map(|age| compare(site, watch.now, width, age))
        .reduce(f64::max)
}

/// Born and having reached the age.
#[derive(Default)]
struct Cohort {
    born: f64,
    reached: f64,
}

impl Cohort {
    fn add(&mut self, count: f64, reached: bool) {
        self.born += count;
        self.reached += if reached { count } else { 0.0 };
    }

    fn share(&self) -> f64 {
        self.reached / self.born
    }
}

fn compare(site: &SiteEvidence<'_>, now: u32, width: u32, age: u32) -> Option<f64> {
    let known = (now / 10).max(site.deaths_since);
    let start = known.checked_next_multiple_of(width)?;
    let end = (now - age) / width * width;
    let middle = (start + end.saturating_sub(start) / 2) / width * width;
    let (mut early, mut late) = (Cohort::default(), Cohort::default());
    let mut add = |birth: u32, count: f64, reached: bool| {
        if (start..middle).contains(&birth) {
            early.add(count, reached);
        } else if (middle..end).contains(&birth) {
            late.add(count, reached);
        }
    };
    for cell in site.deaths.into_iter().flat_map(|deaths| deaths.cells()) {
        add(cell.birth_start, f64::from(cell.count), cell.age_low >= age);
    }
    site.live
        .iter()
        .for_each(|sample| add(sample.birth, 1.0, now.saturating_sub(sample.birth) >= age));
    let pooled = (early.reached + late.reached) / (early.born + late.born);
    if early.born < 1.0 || late.born < 1.0 || pooled < FEW {
        return None;
    }
    let error = (pooled * (1.0 - pooled) * (1.0 / early.born + 1.0 / late.born)).sqrt();
    let more = late.share() - early.share();
    Some(if error > 0.0 && more > MUCH {
        more / error
    } else {
        0.0
    })
}

/// Fewer than this share reaching an age say nothing about lives.
const FEW: f64 = 0.02;

/// At least this share more must reach the age.
const MUCH: f64 = 0.1;
