//! Which sites of two snapshots are the same.
//!
//! A site's id holds build ids and offsets, so it is the same in each run of one binary. Across
//! builds stacks are compared by the names of their functions, inlined ones included, without what
//! a compiler numbers anew. Of several stacks with the same names, which differ in lines alone,
//! those of the two sides are paired in the order of their lines if they are equally many, and
//! counted together if not.

use std::collections::{BTreeMap, HashMap};

use crate::analyze::caller::stack;
use crate::analyze::pseudo_function;
use crate::snapshot::{Origin, Site, Snapshot};

/// Hex digits of a hash at the end of a name.
const HASH: usize = 16;

/// Sites of the two snapshots that are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Match<'s> {
    pub(super) before: Vec<&'s Site>,
    pub(super) after: Vec<&'s Site>,
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
    let known = |m: &Match<'_>| !m.before.is_empty() && !m.after.is_empty();
    let (mut found, rest): (Vec<_>, Vec<_>) = by_id.into_values().partition(known);
    let mut by_name: HashMap<String, Match<'s>> = HashMap::new();
    for single in rest {
        for site in single.before {
            let group = by_name.entry(names(earlier, site)).or_default();
            group.before.push(site);
        }
        for site in single.after {
            let group = by_name.entry(names(later, site)).or_default();
            group.after.push(site);
        }
    }
    for group in by_name.into_values() {
        found.extend(pairs(group, earlier, later));
    }
    found
}

fn pairs<'s>(mut group: Match<'s>, earlier: &'s Snapshot, later: &'s Snapshot) -> Vec<Match<'s>> {
    if group.before.len() != group.after.len() {
        // On one side alone there is nothing to confuse.
        if group.before.is_empty() || group.after.is_empty() {
            let alone = group
                .before
                .into_iter()
                .map(|site| (vec![site], Vec::new()));
            let alone = alone.chain(group.after.into_iter().map(|site| (Vec::new(), vec![site])));
            return alone
                .map(|(before, after)| Match { before, after })
                .collect();
        }
        return vec![group];
    }
    group.before.sort_by_cached_key(|site| lines(earlier, site));
    group.after.sort_by_cached_key(|site| lines(later, site));
    let pairs = group.before.into_iter().zip(group.after);
    pairs
        .map(|(before, after)| Match {
            before: vec![before],
            after: vec![after],
        })
        .collect()
}

/// The names of a stack's functions, for comparison.
fn names(snapshot: &Snapshot, site: &Site) -> String {
    if let Some(name) = pseudo_function(site) {
        return name.to_owned();
    }
    let frames = stack(snapshot, site).filter(|step| step.frame.origin != Origin::Allocator);
    let mut names = String::new();
    for step in frames {
        names.push_str(&unnumbered(&step.frame.function));
        names.push('\n');
    }
    names
}

fn lines(snapshot: &Snapshot, site: &Site) -> Vec<Option<u32>> {
    // Outermost first: what stands first in a function is called first.
    let mut lines: Vec<_> = stack(snapshot, site).map(|step| step.frame.line).collect();
    lines.reverse();
    lines
}

/// A name without what a compiler numbers anew: `{closure#3}` → `{closure}`, and the disambiguating
/// hashes of older manglings and of LLVM.
pub(super) fn unnumbered(name: &str) -> String {
    let name = name.split(".llvm.").next().unwrap_or_default();
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(['#', ':']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let skipped = match tail.strip_prefix('#') {
            Some(number) => 1 + digits(number, 10),
            None => match tail.strip_prefix("::h") {
                Some(hash) if is_hash(hash) => 3 + HASH,
                _ => 0,
            },
        };
        if skipped == 0 {
            out.push_str(&tail[..1]);
            rest = &tail[1..];
        } else {
            rest = &tail[skipped..];
        }
    }
    out + rest
}

fn is_hash(text: &str) -> bool {
    let ends = text
        .get(HASH..)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
    ends && digits(text, 16) == HASH
}

fn digits(text: &str, radix: u32) -> usize {
    let digit = |c: &char| c.is_digit(radix);
    text.chars().take_while(digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a compiler numbers anew in each build must not part a site from itself, and nothing else
    /// may join two.
    #[test]
    fn names_lose_only_numbers_that_compilers_give() {
        for (name, expected) in [
            ("chat::run::{closure#12}", "chat::run::{closure}"),
            ("{async_fn_env#0}<T>::x#", "{async_fn_env}<T>::x"),
            ("a::b::h0123456789abcdef", "a::b"),
            ("a::h0123456789abcdefg::<u8>", "a::h0123456789abcdefg::<u8>"),
            ("a::h0123::b", "a::h0123::b"),
            ("core::f.llvm.4711", "core::f"),
            ("Vec<(u64, a::B)>::push", "Vec<(u64, a::B)>::push"),
        ] {
            assert_eq!(unnumbered(name), expected);
        }
    }
}
