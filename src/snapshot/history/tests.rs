use super::*;
use crate::snapshot::Totals;

fn readings(sites: usize, live_bytes: f64, samples: u64) -> Vec<evidence::Past> {
    let totals = |bytes| Totals {
        bytes,
        ..Totals::default()
    };
    (0..sites)
        .map(|site| evidence::Past {
            site: SiteKey::of(site as u32),
            samples,
            allocated: totals(samples as f64 * 1e3 + live_bytes),
            freed: totals(samples as f64 * 1e3),
        })
        .collect()
}

/// What a site did before the watch began must not look like a burst at its first tick.
#[test]
fn counts_begin_with_the_history() {
    let mut history = History::default();
    history.note(1_000, 5.0, &readings(1, 500.0, 70));
    history.note(1_001, 5.0, &readings(1, 600.0, 75));
    let bins = history.series(SiteKey::of(0)).unwrap().bins();
    assert_eq!((bins[0].births, bins[0].last), (0.0, 500.0));
    assert_eq!((bins[1].births, bins[1].last), (5.0, 600.0));
    assert_eq!(history.started(), Some(1_000));
}

/// A site that held nothing at any tick so far must not look as if all that it ever did were the load
/// of the tick that finds it; one that was not there before is new altogether.
#[test]
fn a_site_that_is_found_late_begins_with_what_it_holds() {
    let mut history = History::default();
    let mut sites = readings(2, 500.0, 70);
    sites[1].freed = Totals::default();
    sites[1].allocated.bytes = 500.0;
    sites[1].samples = 3;
    history.note(0, 5.0, &[]);
    history.note(1, 5.0, &sites);
    let last = |site| {
        *history
            .series(SiteKey::of(site))
            .unwrap()
            .bins()
            .last()
            .unwrap()
    };
    assert_eq!((last(0).births, last(0).allocated), (0.0, 500.0));
    assert_eq!((last(1).births, last(1).allocated), (3.0, 500.0));
}

/// A history must not grow with the number of sites that ever were, and must say whom it left out.
#[test]
fn sites_are_bounded_and_the_empty_make_room() {
    let mut history = History::default();
    history.note(0, 5.0, &readings(MAX_SITES + 10, 1e6, 1));
    assert_eq!((history.sites.len(), history.left_out()), (MAX_SITES, 10));
    assert!(history.bytes() < 10 << 20, "{}", history.bytes());
    let mut next = readings(MAX_SITES + 10, 1e6, 2);
    next[..100]
        .iter_mut()
        .for_each(|site| site.allocated = site.freed);
    history.note(1, 5.0, &next);
    history.note(2, 5.0, &next);
    assert_eq!(
        (history.sites.len(), history.left_out()),
        (MAX_SITES - 90, 0)
    );
}

/// Rates in bytes per second would be wrong by the ratio of the two ticks.
#[test]
fn another_tick_begins_another_history() {
    let mut history = History::default();
    history.note(7, 5.0, &readings(1, 1e6, 1));
    history.note(350, 0.1, &readings(1, 1e6, 1));
    assert_eq!(history.started(), Some(350));
    assert_eq!(history.series(SiteKey::of(0)).unwrap().bins().len(), 1);
}

/// Where plugins come and go, sites of unloaded code are removed and others come: their past would
/// take ever more memory.
#[test]
fn removed_sites_are_forgotten() {
    let mut history = History::default();
    history.note(0, 5.0, &readings(3, 500.0, 1));
    history.note(1, 5.0, &readings(1, 500.0, 1));
    assert!(history.series(SiteKey::of(0)).is_some());
    assert!(history.series(SiteKey::of(1)).is_none());
    assert_eq!(history.sites.len(), 1);
}
