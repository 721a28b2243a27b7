use super::*;
use crate::record::unwind::End;

/// Without its deaths every object of the overflow site that is alive would look as if none had ever died.
#[test]
fn the_overflow_sites_deaths_are_known() {
    prepare();
    let sample = LiveSample {
        address: 0,
        size: 64,
        birth_ns: 0,
        interval: 1,
        site: OVERFLOW,
    };
    freed(&sample, 0);
    let (deaths, since) = deaths(OVERFLOW).expect("the table was made");
    let died: usize = (deaths.iter().flat_map(Deaths::cells))
        .map(|cell| usize::from(cell.count))
        .sum();
    assert_eq!((died, since), (1, 0));
}

/// A program that loads and unloads plugins would fill the table with stacks that cannot come
/// again; and totals that went down would be lies, as would a number that names another stack.
#[test]
fn sites_of_unloaded_code_are_removed_when_nothing_of_them_is_live() {
    prepare();
    let gone = usize::MAX - 4095;
    let totals = || {
        let all = read().unwrap();
        let mut sum = Sum::NOTHING;
        all.sites.iter().for_each(|(_, site)| sum.add(&site.freed));
        (
            sum,
            all.sites.iter().map(|(_, site)| site.samples).sum::<u64>(),
        )
    };
    let sample = |site| LiveSample {
        address: 0,
        size: 100,
        birth_ns: 0,
        interval: 1,
        site,
    };
    let sum = Sum::of(100, 1);
    let frames = [1, gone];
    let stack = Captured::new(&frames, 7, End::Reached);
    let id = count(stack, &sum).unwrap();
    reclaim(0, |frame| frame == gone);
    assert_eq!(count(stack, &sum), Some(id), "it has live samples");
    freed(&sample(id), 0);
    freed(&sample(id), 0);
    let before = totals();
    reclaim(0, |frame| frame == gone);
    assert_eq!(totals(), before);
    assert!(deaths(id).is_none(), "the old number names nothing");
    let again = count(stack, &sum).unwrap();
    assert_ne!(again, id);
    freed(&sample(id), 0);
    assert_eq!(
        totals(),
        (before.0, before.1 + 1),
        "a stale number counts nowhere"
    );
    freed(&sample(again), 0);
}
