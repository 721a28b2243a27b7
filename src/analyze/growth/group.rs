//! Many sites at once: roll-up by a key of the caller's, and control of false discoveries.
//!
//! One mistake can split into many sites (a leaked graph of `Arc`s allocates at nine), each too small to
//! be judged; the shards of one map double out of step. So sites that share their call site, then those
//! that share its function, and then those whose functions share their caller, are also judged as one,
//! without those that alarm by themselves. Where the sum leaks, the small ones among these belong to it.

use super::stats::MIN_SAMPLES;
use super::{
    Course, Finding, Judgement, Lifetimes, Pattern, Rate, SiteEvidence, Verdict, Watch, course,
    judge,
};
use crate::analyze::series::Series;
use crate::snapshot::evidence::Deaths;
use crate::snapshot::evidence::LiveObject;
use std::collections::{BTreeMap, HashMap};

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

/// Several sites as one.
struct Sum {
    series: Series,
    deaths: Deaths,
    deaths_since: u32,
    live: Vec<LiveObject>,
    lifetimes: Vec<u64>,
    unit_seconds: f64,
    mixed: bool,
}

impl Sum {
    /// What lives counts for the parts that speak, the dead count for all.
    fn of<'a>(
        parts: impl Iterator<Item = &'a SiteEvidence<'a>> + Clone,
        watch: &Watch,
        speaks: impl Fn(&SiteEvidence<'_>) -> bool,
    ) -> Self {
        let speaking = parts.clone().filter(|part| speaks(part));
        let mut sum = Self {
            series: Series::sum(speaking.map(|part| part.series))
                .unwrap_or_else(|| Series::new(watch.now.saturating_sub(watch.started))),
            deaths: Deaths::new(),
            deaths_since: 0,
            live: Vec::new(),
            lifetimes: Vec::new(),
            unit_seconds: 1.0,
            mixed: false,
        };
        for part in parts {
            part.deaths
                .into_iter()
                .for_each(|deaths| sum.deaths.add(deaths));
            sum.deaths_since = sum.deaths_since.max(part.deaths_since);
            if speaks(part) {
                sum.live.extend_from_slice(part.live);
            }
            let counts = part.lifetimes.counts;
            sum.lifetimes
                .resize(sum.lifetimes.len().max(counts.len()), 0);
            sum.lifetimes
                .iter_mut()
                .zip(counts)
                .for_each(|(total, count)| *total += count);
            sum.unit_seconds = part.lifetimes.unit_seconds;
            sum.mixed |= part.mixed;
        }
        sum
    }

    /// Whether this is one collection that several stacks enlarge in turn: each time one dies where
    /// it was, and what lives is mostly the last. None of these stacks needs to have repeated itself.
    fn is_handed_over(&self, judgement: &Judgement) -> bool {
        let Finding::Container(container) = &judgement.finding else {
            return false;
        };
        // Not from the table of deaths, which begins with a site's fourth sample.
        let died: u64 = self.lifetimes.iter().sum();
        died >= u64::from(container.jumps) && container.largest_bytes > judgement.live_bytes / 2.0
    }

    fn evidence(&self) -> SiteEvidence<'_> {
        SiteEvidence {
            series: &self.series,
            deaths: Some(&self.deaths),
            deaths_since: self.deaths_since,
            live: &self.live,
            lifetimes: Lifetimes {
                counts: &self.lifetimes,
                unit_seconds: self.unit_seconds,
            },
            mixed: self.mixed,
        }
    }
}

impl SiteEvidence<'_> {
    /// A caller that makes ten things once each, at different times, does not leak: only sites that were
    /// seen to make objects again speak for a group. The dead of all sites speak against it.
    fn is_repeated(&self, watch: &Watch) -> bool {
        let births = self.live.iter().map(|sample| sample.birth);
        let apart = births.clone().max().unwrap_or(0) - births.min().unwrap_or(0);
        let died = self
            .deaths
            .is_some_and(|deaths| deaths.cells().next().is_some());
        died || apart >= watch.now / 10 || self.live.len() >= MIN_SAMPLES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::growth::{Container, sentence};
    use crate::analyze::series::Reading;

    fn judged(verdict: Verdict, p_value: f64) -> Judgement {
        Judgement {
            verdict,
            pattern: None,
            rate: Rate::default(),
            confidence: None,
            p_value,
            finding: Finding::Nothing,
            live_objects: 10.0,
            live_bytes: 1e6,
            typical_life_seconds: None,
            watched_seconds: 100.0,
            withdrawn: false,
        }
    }

    /// Of ten tests with p = 0.004, 0.009, 0.02 and 0.04 the limits by rank are 0.005, 0.01, 0.015, 0.02.
    #[test]
    fn step_up_procedure() {
        let mut all: Vec<Judgement> = [0.02, 0.004, 0.04, 0.009]
            .map(|p| Judgement {
                pattern: Some(Pattern::Backlog),
                confidence: Some(0.9),
                ..judged(Verdict::Growing, p)
            })
            .into_iter()
            .chain((0..6).map(|_| judged(Verdict::Stable, 1.0)))
            .collect();
        control_false_discoveries(all.iter_mut().collect(), 0);
        let alarms: Vec<bool> = all.iter().take(4).map(Judgement::alarms).collect();
        assert_eq!(alarms, [false, true, false, true]);
        assert!(all[0].withdrawn && all[0].verdict == Verdict::TooEarly);
        let said = |one: &Judgement| (one.pattern, one.confidence);
        assert_eq!(said(&all[0]), (None, None), "of an alarm that is none");
        assert_eq!(said(&all[1]), (Some(Pattern::Backlog), Some(0.9)));
    }

    #[test]
    fn containers_are_not_a_matter_of_chance() {
        let container = Judgement {
            pattern: Some(Pattern::Container),
            ..judged(Verdict::Growing, 0.9)
        };
        let mut all = [container, judged(Verdict::Stable, 1.0)];
        control_false_discoveries(all.iter_mut().collect(), 0);
        assert!(all[0].alarms());
    }

    #[test]
    fn the_table_of_a_full_cache_is_muted() {
        let rate = Rate::exact(1e4);
        let table = Judgement {
            pattern: Some(Pattern::Container),
            live_objects: 1.0,
            rate,
            finding: Finding::Container(Container {
                from_bytes: 1e6,
                to_bytes: 8e6,
                jumps: 3,
                over_seconds: 300.0,
                since_seconds: 240.0,
                largest_bytes: 8e6,
                rate,
            }),
            ..judged(Verdict::Growing, 0.0)
        };
        let mut sites = [table.clone(), judged(Verdict::Plateaued, 1.0), table];
        mute_tables(&mut sites, &[0, 1], |_| Course {
            verdict: Verdict::Plateaued,
            pattern: None,
            peak: 8e6,
            now: 8e6,
            low: 1e6,
            flat_seconds: 400.0,
        });
        assert_eq!(sites[0].verdict, Verdict::Plateaued);
        assert_eq!(
            sentence(&sites[0]),
            "live bytes grew and have been flat at 7.6 MiB for 4 min"
        );
        assert_eq!(sites[0].rate, Rate::default(), "what is flat has no rate");
        assert_eq!(sites[2].verdict, Verdict::Growing, "of another group");
    }

    /// A collection that doubles at 20, 40, 80, 160 of 240 ticks, moved from one stack to another each
    /// time; the one that holds it now never did before.
    #[test]
    fn a_collection_that_changes_hands_is_one() {
        const UNIT: u64 = 1 << 20;
        let watch = Watch {
            now: 240,
            started: 0,
            tick_seconds: 5.0,
            interval_bytes: UNIT / 16,
            min_seconds: 60.0,
            min_bytes: UNIT,
        };
        let doublings = [
            (10, 20, 0),
            (20, 40, 1),
            (40, 80, 0),
            (80, 160, 1),
            (160, 240, 2),
        ];
        let holders = |holder: usize| doublings.iter().filter(move |one| one.2 == holder);
        let parts: Vec<_> = (0..3)
            .map(|holder| {
                let mut series = Series::new(0);
                for tick in 0..240 {
                    let now = holders(holder).find(|one| (one.0..one.1).contains(&tick));
                    let live_bytes = now.map_or(0, |one| u64::from(one.0) * UNIT);
                    let reading = Reading {
                        live_bytes,
                        births: 0,
                        allocated_bytes: 0,
                    };
                    series.push(tick, &reading);
                }
                let died = holders(holder).filter(|one| one.1 < 240).count() as u64;
                let live = holders(holder).filter(|one| one.1 == 240);
                let live: Vec<LiveObject> = live
                    .map(|one| LiveObject {
                        birth: one.0,
                        weight: 1.0,
                        bytes: u64::from(one.0) * UNIT,
                    })
                    .collect();
                (series, [died], live)
            })
            .collect();
        let judged = |died: bool| {
            let members: Vec<_> = parts
                .iter()
                .map(|(series, deaths, live)| Member {
                    site: SiteEvidence {
                        series,
                        deaths: None,
                        deaths_since: 0,
                        live,
                        lifetimes: Lifetimes {
                            counts: if died { deaths } else { &[] },
                            unit_seconds: 1.0,
                        },
                        mixed: false,
                    },
                    keys: ["push", "push", "serve"],
                })
                .collect();
            judge_all(&members, &watch)
        };
        let groups = judged(true);
        assert_eq!(groups.len(), 1);
        assert_eq!(
            groups[0].judgement.pattern,
            Some(Pattern::Container),
            "{groups:?}"
        );
        // Without the deaths these may be three things, made once each.
        let groups = judged(false);
        assert!(
            groups.iter().all(|group| !group.judgement.alarms()),
            "{groups:?}"
        );
    }

    /// Thirty functions each leave an object every sixty ticks, too few to be judged: their caller is. One leaves
    /// more, enough to be seen by itself; this must not hide the others, nor be told twice.
    #[test]
    fn what_is_scattered_over_functions_is_their_callers() {
        const UNIT: u64 = 1 << 20;
        let watch = Watch {
            now: 240,
            started: 0,
            tick_seconds: 5.0,
            interval_bytes: UNIT,
            min_seconds: 60.0,
            min_bytes: UNIT,
        };
        let parts: Vec<_> = (0..30u32)
            .map(|part| {
                let births: Vec<u32> = if part == 0 {
                    (0..12).map(|round| round * 20).collect()
                } else {
                    (0..4).map(|round| part * 2 + round * 60).collect()
                };
                let mut series = Series::new(0);
                for tick in 0..240 {
                    let count = |at: &&u32| **at <= tick;
                    let live_bytes = births.iter().filter(count).count() as u64 * UNIT;
                    let reading = Reading {
                        live_bytes,
                        births: u64::from(births.contains(&tick)),
                        allocated_bytes: 0,
                    };
                    series.push(tick, &reading);
                }
                let object = |birth| LiveObject {
                    birth,
                    weight: 1.0,
                    bytes: UNIT,
                };
                (
                    series,
                    births.into_iter().map(object).collect::<Vec<_>>(),
                    part.to_string(),
                )
            })
            .collect();
        let judged = |caller: &dyn Fn(usize) -> String| {
            let members: Vec<_> = parts
                .iter()
                .enumerate()
                .map(|(index, (series, live, name))| Member {
                    site: SiteEvidence {
                        series,
                        deaths: None,
                        deaths_since: 0,
                        live,
                        lifetimes: Lifetimes {
                            counts: &[],
                            unit_seconds: 1.0,
                        },
                        mixed: false,
                    },
                    keys: [name.clone(), name.clone(), caller(index)],
                })
                .collect();
            judge_all(&members, &watch)
        };
        let groups = judged(&|_| "load".to_owned());
        assert_eq!((groups.len(), groups[0].level), (1, CALLER));
        assert_eq!(groups[0].judgement.verdict, Verdict::Leaking);
        assert_eq!(groups[0].members.len(), parts.len());
        let groups = judged(&|index| format!("load {index}"));
        let alarms = groups.iter().filter(|group| group.judgement.alarms());
        let alarming: Vec<_> = alarms.flat_map(|group| &group.members).collect();
        assert_eq!(alarming, [&0], "the only one with samples enough");
    }
}
