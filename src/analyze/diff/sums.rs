//! Sums over the sites of a row, and what they say.
//!
//! Within one process, the change of what is live is what was born less what died between the two
//! snapshots; it also is what lives in the later less what lived in the earlier. What survived from
//! before the first is in both terms of the second form, what was born and died in between is in
//! both terms of the first, and either cancels. So the variance of the change is at most the
//! smaller of the two forms' variances, and each site takes the form that has it: a large stable
//! site the first, one that allocates and frees a lot the second.
//!
//! From the later to the earlier snapshot, what was born is missing and what died is there again.

use super::interval::{Side, difference, p_value};
use super::matching::Match;
use super::{Change, Context};
use crate::analyze::estimate::object_unit;
use crate::analyze::{Carry, Estimate};
use crate::snapshot::{AGE_BUCKETS, Site, Totals};

#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    /// Live in the earlier snapshot, and in the later.
    pub(super) before: Totals,
    pub(super) after: Totals,
    /// Of objects and bytes, the second less the first.
    changed: Totals,
    born: Totals,
    died: Totals,
    /// The change is the first less the second.
    more: Totals,
    less: Totals,
    /// All that is known of the kind of objects.
    alike: Totals,
    ages: Ages,
}

/// A histogram of the ages of live samples.
#[derive(Debug, Clone)]
struct Ages([u64; AGE_BUCKETS]);

impl Default for Ages {
    fn default() -> Self {
        Ages([0; AGE_BUCKETS])
    }
}

impl Sums {
    pub(super) fn of(found: &Match<'_>, context: &Context) -> Sums {
        let total = |sites: &[&Site], of: fn(&Site) -> Totals| {
            let mut total = Totals::default();
            sites.iter().for_each(|site| total += of(site));
            total
        };
        let before = |of| total(&found.before, of);
        let after = |of| total(&found.after, of);
        let mut sums = Sums {
            before: before(|site| site.live),
            after: after(|site| site.live),
            alike: after(|site| site.allocated),
            ..Sums::default()
        };
        sums.alike += before(|site| site.allocated);
        sums.changed.bytes = sums.after.bytes - sums.before.bytes;
        sums.changed.objects = sums.after.objects - sums.before.objects;
        (sums.more, sums.less) = (sums.after, sums.before);
        if context.same_process {
            let between = |of| match context.back {
                false => growth(&before(of), &after(of)),
                true => growth(&after(of), &before(of)),
            };
            sums.born = between(|site| site.allocated);
            sums.died = between(|site| site.freed);
            let variance = |a: &Totals, b: &Totals| a.bytes_variance + b.bytes_variance;
            if variance(&sums.born, &sums.died) < variance(&sums.more, &sums.less) {
                (sums.more, sums.less) = match context.back {
                    false => (sums.born, sums.died),
                    true => (sums.died, sums.born),
                };
            }
        }
        for site in &found.after {
            for (sum, count) in sums.ages.0.iter_mut().zip(site.ages) {
                *sum += u64::from(count);
            }
        }
        sums
    }

    pub(super) fn add(&mut self, other: &Sums) {
        self.before += other.before;
        self.after += other.after;
        self.changed += other.changed;
        self.born += other.born;
        self.died += other.died;
        self.more += other.more;
        self.less += other.less;
        self.alike += other.alike;
        for (sum, count) in self.ages.0.iter_mut().zip(other.ages.0) {
            *sum += count;
        }
    }

    /// Nothing lives there in either snapshot, nor is known to have lived in between.
    pub(super) fn is_nothing(&self) -> bool {
        let sums = [&self.before, &self.after, &self.born, &self.died];
        sums.iter().all(|totals| totals.bytes == 0.0)
    }

    pub(super) fn change<'s>(&self, context: &Context) -> Change<'s> {
        let bytes = |totals| Estimate::bytes(totals, context.interval);
        let objects = |totals| Estimate::objects(totals, &self.alike, context.interval);
        let window = |estimate| context.same_process.then_some(estimate);
        Change {
            live_bytes: at(
                difference(
                    &self.bytes(&self.more, context),
                    &self.bytes(&self.less, context),
                ),
                self.changed.bytes,
            ),
            live_objects: at(
                difference(
                    &self.objects(&self.more, context),
                    &self.objects(&self.less, context),
                ),
                self.changed.objects,
            ),
            before_bytes: bytes(&self.before),
            after_bytes: bytes(&self.after),
            allocated_bytes: window(bytes(&self.born)),
            allocated_objects: window(objects(&self.born)),
            freed_bytes: window(bytes(&self.died)),
            freed_objects: window(objects(&self.died)),
            median_age_seconds: median_age(&self.ages.0),
            ..Change::default()
        }
    }

    pub(super) fn p_value(&self, context: &Context) -> f64 {
        p_value(
            &self.bytes(&self.more, context),
            &self.bytes(&self.less, context),
        )
    }

    fn bytes(&self, totals: &Totals, context: &Context) -> Side {
        Side {
            sum: Estimate::bytes(totals, context.interval),
            variance: totals.bytes_variance,
            unit: context.interval as f64,
        }
    }

    fn objects(&self, totals: &Totals, context: &Context) -> Side {
        Side {
            sum: Estimate::objects(totals, &self.alike, context.interval),
            variance: totals.objects_variance,
            unit: object_unit(totals, &self.alike, context.interval),
        }
    }
}

/// An estimate whose middle is told by rounded numbers.
fn at(estimate: Estimate, middle: f64) -> Estimate {
    if estimate.low == estimate.high {
        return Estimate::exact(middle);
    }
    Estimate {
        estimate: middle,
        low: estimate.low.min(middle),
        high: estimate.high.max(middle),
    }
}

/// Cumulative sums only grow.
fn growth(before: &Totals, after: &Totals) -> Totals {
    Totals {
        objects: (after.objects - before.objects).max(0.0),
        bytes: (after.bytes - before.bytes).max(0.0),
        objects_variance: (after.objects_variance - before.objects_variance).max(0.0),
        bytes_variance: (after.bytes_variance - before.bytes_variance).max(0.0),
    }
}

/// Half of those counted are at least this old: the lower end of the median's bucket.
fn median_age(ages: &[u64; AGE_BUCKETS]) -> Option<f64> {
    let all: u64 = ages.iter().sum();
    let mut older = all;
    for (bucket, count) in ages.iter().enumerate() {
        if 2 * (older - count) < all {
            let nanoseconds = if bucket == 0 {
                0.0
            } else {
                2f64.powi(bucket as i32 + 9)
            };
            return Some(nanoseconds / 1e9);
        }
        older -= count;
    }
    None
}

/// Makes the counts of rows whole so that they add up to the whole total.
#[derive(Debug, Default)]
pub(super) struct Rounding {
    carries: [[Carry; 2]; 5],
}

impl Rounding {
    pub(super) fn round(&mut self, sums: &Sums) -> Sums {
        let mut whole = sums.clone();
        let terms = [
            &mut whole.before,
            &mut whole.after,
            &mut whole.changed,
            &mut whole.born,
            &mut whole.died,
        ];
        for (totals, [bytes, objects]) in terms.into_iter().zip(&mut self.carries) {
            totals.bytes = bytes.round(totals.bytes);
            totals.objects = objects.round(totals.objects);
        }
        whole
    }
}
