//! Which sites of two snapshots are the same.
//!
//! A site's id holds build ids and offsets, so it is the same in each run of one binary. In another
//! build of it, code lies elsewhere, lines have shifted, and the compiler may have inlined other
//! functions, which changes what the debug information calls them and loses some frames. So sites
//! that were not found by their ids are compared by what stays, more of the stack first:
//!
//! | matched by | what is the same |
//! | --- | --- |
//! | `address` | build ids and offsets of the whole stack |
//! | `names` | the functions of all frames |
//! | `calls` | the functions outside std, and what the innermost of them called in std |
//! | `own_frames` | the user's own functions, the call site, and what it called in std, without generic arguments |
//! | `call_site` | the innermost of the user's own functions, the call site, and what it called in std |
//!
//! A group of stacks that a stage does not tell apart is one match, of several sites with several.
//! It is split by the next finer comparison only if that finds each part on both sides: what is
//! found on one alone may be there under another name. Stacks that differ in lines alone are told
//! apart if there are equally many and all have shifted alike.
//!
//! What lies in the same build on both sides is not compared by less than all names and lines: had
//! it been there, its id would be the same.
//!
//! Not found are functions that were renamed or moved to another file, a call site's own function
//! that vanished into a tail call, and stacks without names in another build. Functions with equal
//! code that the linker merged go by the name of one of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::identity::Identity;
use crate::snapshot::{Site, Snapshot};

/// What two sites of different processes have in common that were taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MatchedBy {
    /// Build ids and offsets of the whole stack: certain.
    Address,
    /// The functions of all frames, in another build; from the call site outwards, where one of the
    /// two is another tool's profile.
    Names,
    /// The functions outside std, and the function of std that the innermost of them called.
    Calls,
    /// The user's own functions, the call site, and the function of std that it called, without
    /// generic arguments.
    OwnFrames,
    /// The innermost of the user's own functions, the call site, and the function of std that it
    /// called.
    CallSite,
}

/// Sites of the two snapshots that are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Match<'s> {
    pub(super) before: Vec<&'s Site>,
    pub(super) after: Vec<&'s Site>,
    /// None if they are on one side alone.
    pub(super) by: Option<MatchedBy>,
}

pub(super) fn same_process(earlier: &Snapshot, later: &Snapshot) -> bool {
    earlier.info.profile_id != 0 && earlier.info.profile_id == later.info.profile_id
}

pub(super) fn matches<'s>(earlier: &'s Snapshot, later: &'s Snapshot) -> Vec<Match<'s>> {
    let mut by_id: BTreeMap<u64, Match<'s>> = BTreeMap::new();
    for site in &earlier.sites {
        by_id.entry(site.id).or_default().before.push(site);
    }
    for site in &later.sites {
        by_id.entry(site.id).or_default().after.push(site);
    }
    if same_process(earlier, later) {
        return by_id.into_values().collect();
    }
    // A profile's sites are told by names, and lack what their call sites called.
    let profile = !(earlier.info.error_bars && later.info.error_bars);
    let by = match profile {
        true => MatchedBy::Names,
        false => MatchedBy::Address,
    };
    let mut found = Vec::new();
    let mut rest = Vec::new();
    for one in by_id.into_values() {
        if one.before.is_empty() || one.after.is_empty() {
            let before = one.before.into_iter();
            rest.extend(before.map(|site| Known::of(earlier, later, site, Side::Before, profile)));
            let after = one.after.into_iter();
            rest.extend(after.map(|site| Known::of(later, earlier, site, Side::After, profile)));
        } else {
            let by = Some(by);
            found.push(Match { by, ..one });
        }
    }
    let (rebuilt, same): (Vec<_>, Vec<_>) = rest.into_iter().partition(|known| known.rebuilt);
    let exactly = |is: &Identity| Some((is.names, is.lines.clone()));
    let mut left = stage(same, exactly, by_lines, &mut found);
    let rest = stage(rebuilt, |is| Some(is.calls), by_names, &mut found);
    let whole = |by| move |group| vec![joined(Some(by), group)];
    let rest = stage(
        rest,
        |is| Some(is.own),
        whole(MatchedBy::OwnFrames),
        &mut found,
    );
    left.extend(stage(
        rest,
        |is| is.site,
        whole(MatchedBy::CallSite),
        &mut found,
    ));
    found.extend(left.into_iter().map(|known| joined(None, vec![known])));
    found
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// A site and what it is known by.
#[derive(Debug, Clone)]
struct Known<'s> {
    site: &'s Site,
    side: Side,
    is: Identity,
    /// Whether part of its code may be of another build in the other snapshot.
    rebuilt: bool,
}

impl<'s> Known<'s> {
    fn of(snapshot: &'s Snapshot, other: &Snapshot, site: &'s Site, side: Side, cut: bool) -> Self {
        let build = |location: &u32| {
            let module = snapshot.locations.get(*location as usize)?.module?;
            snapshot.modules.get(module as usize)?.build_id.as_deref()
        };
        let same = |build: Option<&str>| {
            let modules = &other.modules;
            build.is_some()
                && modules
                    .iter()
                    .any(|module| module.build_id.as_deref() == build)
        };
        Known {
            site,
            side,
            is: Identity::of(snapshot, site, cut),
            // What has no stack has no build: a profile gives it a location with a name alone.
            rebuilt: site.stack.is_empty()
                || !site.stack.iter().all(|location| same(build(location))),
        }
    }
}

type Group<'s> = Vec<Known<'s>>;

/// Groups by a key what has one. Groups that are on both sides are found; gives back the others.
fn stage<'s, K: Ord>(
    sites: Group<'s>,
    key: impl Fn(&Identity) -> Option<K>,
    split: impl Fn(Group<'s>) -> Vec<Match<'s>>,
    found: &mut Vec<Match<'s>>,
) -> Group<'s> {
    let mut left = Vec::new();
    for (key, group) in grouped(sites, key) {
        if key.is_some() && on_both_sides(&group) {
            found.extend(split(group));
        } else {
            left.extend(group);
        }
    }
    left
}

fn grouped<'s, K: Ord>(sites: Group<'s>, key: impl Fn(&Identity) -> K) -> BTreeMap<K, Group<'s>> {
    let mut groups: BTreeMap<K, Group<'s>> = BTreeMap::new();
    for site in sites {
        groups.entry(key(&site.is)).or_default().push(site);
    }
    groups
}

fn on_both_sides(group: &Group<'_>) -> bool {
    let on = |side| group.iter().any(|known| known.side == side);
    on(Side::Before) && on(Side::After)
}

/// Splits stacks whose calls are the same by all their names, unless one of the parts would be on
/// one side alone.
fn by_names(group: Group<'_>) -> Vec<Match<'_>> {
    let parts = grouped(group.clone(), |is| is.names);
    if !parts.values().all(on_both_sides) {
        return vec![joined(Some(MatchedBy::Calls), group)];
    }
    parts.into_values().flat_map(by_lines).collect()
}

/// Pairs stacks whose names are the same in the order of their lines, if all have shifted alike.
fn by_lines(group: Group<'_>) -> Vec<Match<'_>> {
    let (before, after): (Group<'_>, Group<'_>) = group
        .iter()
        .cloned()
        .partition(|known| known.side == Side::Before);
    let lines = |side| grouped(side, |is| is.lines.clone());
    let (before, after) = (lines(before), lines(after));
    let mut shifts = before
        .keys()
        .zip(after.keys())
        .map(|(before, after)| shift(before, after));
    let first = shifts.next();
    let alike = shifts.all(|shift| Some(shift) == first);
    if before.len() != after.len() || !alike {
        return vec![joined(Some(MatchedBy::Names), group)];
    }
    let pairs = before.into_values().zip(after.into_values());
    pairs
        .map(|(before, after)| joined(Some(MatchedBy::Names), [before, after].concat()))
        .collect()
}

/// How far each frame's line has moved.
fn shift(before: &[Option<u32>], after: &[Option<u32>]) -> Vec<Option<i64>> {
    let lines = before.iter().zip(after);
    lines
        .map(|(before, after)| Some(i64::from((*after)?) - i64::from((*before)?)))
        .collect()
}

fn joined<'s>(by: Option<MatchedBy>, group: Group<'s>) -> Match<'s> {
    let of = |side| {
        let sites = group.iter().filter(|known| known.side == side);
        sites.map(|known| known.site).collect()
    };
    Match {
        before: of(Side::Before),
        after: of(Side::After),
        by,
    }
}
