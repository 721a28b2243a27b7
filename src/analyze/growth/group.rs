//! Many sites at once: roll-up by a key of the caller's, and control of false discoveries.
//!
//! One mistake can split into many sites (a leaked graph of `Arc`s allocates at nine), each too small to
//! be judged; the shards of one map double out of step. So sites that share their call site, then those
//! that share its function, and then those whose functions share their caller, are also judged as one,
//! without those that alarm by themselves. Where the sum leaks, the small ones among these belong to it.

mod sum;

use super::{
    Course, Finding, Judgement, Pattern, Rate, SiteEvidence, Verdict, Watch, course, judge,
};
use std::collections::{BTreeMap, HashMap};
use sum::Sum;

/// Share of false alarms among the alarms that is accepted (Benjamini and Hochberg).
const FALSE_DISCOVERIES: f64 = 0.05;

/// A site and the groups that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a, K> {
    /// What is known of the site.
    pub(crate) site: SiteEvidence<'a>,
    /// Keys of its groups, narrowest first; each site has as many.
    pub(crate) keys: [K; LEVELS],
}

/// Groups that a site belongs to: those who share its call site, its function, and its function's caller.
pub(crate) const LEVELS: usize = 3;

/// A leak that holds less than this much of another may be a part of it.
const SMALL: f64 = 0.25;

/// The level of those who share a function.
const FUNCTION: usize = 1;

/// The level of those whose functions share their caller.
pub(crate) const CALLER: usize = 2;

/// Sites that have one verdict together.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Indices of its members, in the order in which they were given.
    pub(crate) members: Vec<usize>,
    /// The verdict on their sum.
    pub(crate) judgement: Judgement,
    /// What they share at least, if they are several.
    pub(crate) level: usize,
}

/// Judges all sites, and the groups of those that do not alarm by themselves. Each site is in one group
/// of the answer: those of a function that alarm alike, the calm stacks of a call site, or those that alarm
/// in sum.
///
/// An alarm that is not significant among so many sites is withdrawn: its verdict becomes `TooEarly`.
#[must_use]
pub(crate) fn judge_all<K: Ord + Clone>(members: &[Member<'_, K>], watch: &Watch) -> Vec<Group> {
    let mut sites: Vec<Judgement> = members
        .iter()
        .map(|member| judge(&member.site, watch))
        .collect();
    by_key(members, FUNCTION).iter().for_each(|indices| {
        mute_tables(&mut sites, indices, |index| {
            course::describe(&members[index].site, watch)
        });
    });
    let mut tests = control_false_discoveries(sites.iter_mut().collect(), 0);
    let mut settled: Vec<bool> = sites.iter().map(Judgement::alarms).collect();
    let mut grouped = vec![false; members.len()];
    let mut groups = Vec::new();
    let mut calm = Vec::new();
    // A function with one call site is the same group at two levels.
    let mut judged: HashMap<Vec<usize>, Judgement> = HashMap::new();
    for level in 0..LEVELS {
        let mut found: Vec<Group> = by_key(members, level)
            .into_iter()
            .map(|mut indices| {
                indices.retain(|index| !settled[*index]);
                indices
            })
            .filter(|indices| indices.len() > 1)
            .map(|indices| Group {
                judgement: match judged.get(&indices) {
                    Some(judgement) => judgement.clone(),
                    None => judge_sum(members, &indices, watch),
                },
                members: indices,
                level,
            })
            .collect();
        tests = control_false_discoveries(
            found.iter_mut().map(|group| &mut group.judgement).collect(),
            tests,
        );
        let (mut alarming, others): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|group| group.judgement.alarms());
        for group in &mut alarming {
            join_small(group, members, &sites, &grouped, watch);
        }
        for index in alarming.iter().flat_map(|group| &group.members) {
            (settled[*index], grouped[*index]) = (true, true);
        }
        groups.extend(alarming);
        // What was withdrawn is tested again.
        let kept = others.iter().filter(|group| !group.judgement.withdrawn);
        judged.extend(kept.map(|group| (group.members.clone(), group.judgement.clone())));
        if level == 0 {
            calm = others;
        }
    }
    calm.retain(|group| !group.members.iter().any(|index| settled[*index]));
    for index in calm.iter().flat_map(|group| &group.members) {
        grouped[*index] = true;
    }
    groups.extend(calm);
    for indices in by_key(members, FUNCTION) {
        let mut rest = indices;
        rest.retain(|index| !grouped[*index]);
        groups.extend(alone(members, &sites, rest, watch));
    }
    groups
}

/// A part of the same leak may be seen by chance before the others are: where what does not alarm by itself
/// leaks in sum, the small leaks beside it are more of the same.
fn join_small<K: Ord>(
    group: &mut Group,
    members: &[Member<'_, K>],
    sites: &[Judgement],
    grouped: &[bool],
    watch: &Watch,
) {
    if group.judgement.verdict != Verdict::Leaking {
        return;
    }
    let key = |index: usize| &members[index].keys[group.level];
    let joins = |index: &usize| {
        let site = &sites[*index];
        site.verdict == Verdict::Leaking
            && site.live_bytes < SMALL * group.judgement.live_bytes
            && !grouped[*index]
            && key(*index) == key(group.members[0])
    };
    let mut all: Vec<usize> = (0..members.len()).filter(joins).collect();
    if all.is_empty() {
        return;
    }
    all.extend(&group.members);
    let judgement = judge_sum(members, &all, watch);
    if judgement.verdict == Verdict::Leaking {
        (group.members, group.judgement) = (all, judgement);
    }
}

/// The stacks of one function that are in no group yet. Those that alarm alike are one mistake.
fn alone<K>(
    members: &[Member<'_, K>],
    sites: &[Judgement],
    indices: Vec<usize>,
    watch: &Watch,
) -> Vec<Group> {
    let mut alike: BTreeMap<Verdict, Vec<usize>> = BTreeMap::new();
    let mut groups = Vec::new();
    let one = |index: usize| Group {
        members: vec![index],
        judgement: sites[index].clone(),
        level: 0,
    };
    for index in indices {
        if sites[index].alarms() {
            alike.entry(sites[index].verdict).or_default().push(index);
        } else {
            groups.push(one(index));
        }
    }
    for (verdict, members_alike) in alike {
        if members_alike.len() > 1 {
            let judgement = judge_sum(members, &members_alike, watch);
            if judgement.verdict == verdict {
                groups.push(Group {
                    members: members_alike,
                    judgement,
                    level: FUNCTION,
                });
                continue;
            }
        }
        groups.extend(members_alike.into_iter().map(one));
    }
    groups
}

fn judge_sum<K>(members: &[Member<'_, K>], indices: &[usize], watch: &Watch) -> Judgement {
    let parts = indices.iter().map(|index| &members[*index].site);
    let repeated = Sum::of(parts.clone(), watch, |part| part.is_repeated(watch));
    let judgement = judge(&repeated.evidence(), watch);
    // Where all speak, the sum of all is the same once more.
    if judgement.alarms() || parts.clone().all(|part| part.is_repeated(watch)) {
        return judgement;
    }
    let all = Sum::of(parts, watch, |_| true);
    let whole = judge(&all.evidence(), watch);
    if all.is_handed_over(&whole) {
        return whole;
    }
    judgement
}

fn by_key<K: Ord + Clone>(members: &[Member<'_, K>], level: usize) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&K, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        groups.entry(&member.keys[level]).or_default().push(index);
    }
    groups.into_values().collect()
}

/// A collection is not still growing if the site of its elements has filled and is flat. What is said of it
/// then is what its history looks like since its last jump.
fn mute_tables(sites: &mut [Judgement], indices: &[usize], course: impl Fn(usize) -> Course) {
    let elements = indices
        .iter()
        .map(|index| &sites[*index])
        .filter(|site| site.verdict == Verdict::Plateaued)
        .map(|site| site.live_objects)
        .fold(0.0, f64::max);
    for index in indices {
        let site = &mut sites[*index];
        let Finding::Container(container) = &site.finding else {
            continue;
        };
        if site.pattern == Some(Pattern::Container) && site.live_objects < elements {
            let course = Course {
                flat_seconds: container.since_seconds,
                ..course(*index)
            };
            site.verdict = Verdict::Plateaued;
            site.pattern = None;
            site.rate = Rate::default();
            site.finding = Finding::Course(course);
        }
    }
}

/// Benjamini and Hochberg's step-up procedure over everything that could be judged. Containers are
/// left out: what may be wrong about them is not chance. Returns the number of tests, of which `before`
/// were made elsewhere.
fn control_false_discoveries(mut all: Vec<&mut Judgement>, before: usize) -> usize {
    all.retain(|one| one.verdict != Verdict::TooEarly && one.pattern != Some(Pattern::Container));
    let count = before + all.len();
    let tests = count as f64;
    let mut alarms: Vec<&mut Judgement> = all.into_iter().filter(|one| one.alarms()).collect();
    alarms.sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
    let significant = alarms
        .iter()
        .enumerate()
        .rposition(|(last, one)| one.p_value <= FALSE_DISCOVERIES * (last + 1) as f64 / tests)
        .map_or(0, |last| last + 1);
    for one in &mut alarms[significant..] {
        one.verdict = Verdict::TooEarly;
        one.pattern = None;
        one.confidence = None;
        one.withdrawn = true;
    }
    count
}

#[cfg(test)]
mod tests;
