//! The values of a profile: of one snapshot, or the change between two.

use std::collections::HashMap;

use super::Pprof;
use crate::analyze::{Carry, whole_sites};
use crate::snapshot::{Site, Snapshot, Totals};

/// One sample of a profile.
pub(super) struct Entry<'s> {
    /// Whose locations the site's stack refers to.
    pub(super) snapshot: &'s Snapshot,
    pub(super) site: &'s Site,
    /// `alloc_objects`, `alloc_space`, `inuse_objects`, `inuse_space`.
    pub(super) values: [i64; 4],
}

/// All sites that have something to say, most live bytes first, ties by id.
///
/// Values are whole and add up to the whole total. Those of one snapshot are the numbers of its
/// tables; of a change, what was allocated and what is live are rounded apart, so that what did not
/// change is 0.
pub(super) fn entries<'s>(pprof: &Pprof<'s>) -> Vec<Entry<'s>> {
    let changes = match pprof.since {
        None => all(pprof.snapshot),
        Some(earlier) => between(earlier, pprof.snapshot),
    };
    // Whole numbers stay as they are.
    let mut carries: [Carry; 4] = Default::default();
    let entries = changes.into_iter().map(|change| {
        let exact = [
            change.allocated.objects,
            change.allocated.bytes,
            change.live.objects,
            change.live.bytes,
        ];
        let mut values = [0; 4];
        for ((value, exact), carry) in values.iter_mut().zip(exact).zip(&mut carries) {
            *value = carry.round(exact) as i64;
        }
        Entry {
            snapshot: change.snapshot,
            site: change.site,
            values,
        }
    });
    entries.filter(|entry| entry.values != [0; 4]).collect()
}

struct Change<'s> {
    snapshot: &'s Snapshot,
    site: &'s Site,
    allocated: Totals,
    live: Totals,
}

fn all(snapshot: &Snapshot) -> Vec<Change<'_>> {
    let sites = whole_sites(snapshot).into_iter();
    let changes = sites.map(|(site, whole)| Change {
        snapshot,
        site,
        allocated: whole.allocated,
        live: whole.live,
    });
    changes.collect()
}

fn between<'s>(earlier: &'s Snapshot, later: &'s Snapshot) -> Vec<Change<'s>> {
    let by_id = |snapshot: &'s Snapshot| -> HashMap<u64, &'s Site> {
        snapshot.sites.iter().map(|site| (site.id, site)).collect()
    };
    let (before, after) = (by_id(earlier), by_id(later));
    let kept = later.sites.iter().map(|site| (later, site));
    let gone = earlier
        .sites
        .iter()
        .filter(|site| !after.contains_key(&site.id));
    let mut changes: Vec<Change<'s>> = kept
        .chain(gone.map(|site| (earlier, site)))
        .map(|(snapshot, site)| {
            let (before, after) = (before.get(&site.id), after.get(&site.id));
            Change {
                snapshot,
                site,
                allocated: change(before, after, |site| site.allocated),
                live: change(before, after, |site| site.live),
            }
        })
        .collect();
    changes.sort_unstable_by(|a, b| {
        let by_bytes = b.live.bytes.total_cmp(&a.live.bytes);
        by_bytes.then(a.site.id.cmp(&b.site.id))
    });
    changes
}

/// The difference of objects and bytes; a site that is missing has none.
fn change(before: Option<&&Site>, after: Option<&&Site>, of: fn(&Site) -> Totals) -> Totals {
    let of = |site: Option<&&Site>| site.map_or(Totals::default(), |site| of(site));
    let (before, after) = (of(before), of(after));
    Totals {
        objects: after.objects - before.objects,
        bytes: after.bytes - before.bytes,
        ..Totals::default()
    }
}
