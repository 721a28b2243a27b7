//! Folded stacks: one line per stack, outermost function first, for flame graphs of any tool.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::SampleType;
use crate::analyze::{Diff, pseudo_function, whole_sites};
use crate::snapshot::{Origin, Site, Snapshot};

impl Snapshot {
    /// Bytes by stack: `main;chat::register;… 12345` per line.
    pub fn folded(&self, sample_type: SampleType) -> String {
        let mut text = String::new();
        for (stack, bytes) in stacks(self, sample_type) {
            let _ = writeln!(text, "{stack} {bytes}");
        }
        text
    }
}

impl Diff<'_> {
    /// Live bytes before and after by stack, `main;chat::register;… 12345 23456` per line: what
    /// tools for differential flame graphs read.
    pub fn folded(&self) -> String {
        let mut both: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (stack, bytes) in stacks(self.earlier(), SampleType::InuseSpace) {
            both.entry(stack).or_default().0 = bytes;
        }
        for (stack, bytes) in stacks(self.later(), SampleType::InuseSpace) {
            both.entry(stack).or_default().1 = bytes;
        }
        let mut text = String::new();
        for (stack, (before, after)) in both {
            let _ = writeln!(text, "{stack} {before} {after}");
        }
        text
    }
}

fn stacks(snapshot: &Snapshot, sample_type: SampleType) -> BTreeMap<String, u64> {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    for (site, whole) in whole_sites(snapshot) {
        let bytes = match sample_type {
            SampleType::InuseSpace => whole.live.bytes,
            SampleType::AllocSpace => whole.allocated.bytes,
        };
        if bytes > 0.0 {
            let sum = stacks.entry(line(snapshot, site)).or_default();
            *sum = sum.saturating_add(bytes as u64);
        }
    }
    stacks
}

/// The stack's functions, outermost first, without the allocator.
fn line(snapshot: &Snapshot, site: &Site) -> String {
    if let Some(name) = pseudo_function(site) {
        return name.to_owned();
    }
    let locations = site.stack.iter().rev();
    let frames = locations.flat_map(|&location| snapshot.frames(location).iter().rev());
    let shown = frames.filter(|frame| frame.origin != Origin::Allocator);
    let mut line = String::new();
    for frame in shown {
        if !line.is_empty() {
            line.push(';');
        }
        // What parts frames and lines may not stand in a name.
        line.extend(frame.function.chars().map(|c| match c {
            ';' => ':',
            c if c.is_control() => ' ',
            c => c,
        }));
    }
    if line.is_empty() {
        line.push_str("[allocator]");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::golden;
    use crate::snapshot::testing::grown;

    /// Any flame graph tool reads these lines; the bytes are those of the tables.
    #[test]
    fn stacks_are_as_agreed_and_add_up() {
        let (before, after) = grown();
        let live = after.folded(SampleType::InuseSpace);
        let difference = before.diff(&after).folded();
        golden::check("folded.txt", &format!("{live}\n{difference}"));
        let sum = |text: &str| -> f64 {
            let numbers = text.lines().map(|line| line.rsplit(' ').next().unwrap());
            numbers.map(|number| number.parse::<f64>().unwrap()).sum()
        };
        for text in [&live, &difference] {
            assert!((sum(text) - after.live().bytes).abs() <= 1.0);
        }
        let allocated = sum(&after.folded(SampleType::AllocSpace));
        assert!((allocated - after.allocated().bytes).abs() <= 1.0);
    }
}
