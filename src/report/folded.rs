//! Folded stacks: one line per stack, outermost function first, for flame graphs of any tool.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};

use super::SampleType;
use crate::Error;
use crate::analyze::{Diff, Whole, pseudo_function, visible, whole_sites};
use crate::snapshot::{Site, Snapshot, muted};
use crate::symbols::escaped;

/// Bytes that the text may have. A full table of deep stacks with long names has about 1 GiB; a file
/// of a few KiB can stand for any number.
const MAX_TEXT: u64 = 4 << 30;

/// Digits of the bytes behind a stack, at most, and what parts them.
const NUMBERS: u64 = 2 * 21 + 1;

/// Stands for a stack of the allocator's own frames.
const ALLOCATOR: &str = "[allocator]";

impl Snapshot {
    /// Writes bytes by stack, `main;chat::register;… 12345` per line. The text of a large process has
    /// hundreds of MiB; it is made as it is written.
    ///
    /// # Errors
    ///
    /// [`Error::Format`], before anything is written, if the text would have more than 4 GiB;
    /// [`Error::Io`] if writing fails.
    ///
    /// ```no_run
    /// use heapwatch::report::SampleType;
    ///
    /// heapwatch::snapshot()?.write_folded(SampleType::InuseSpace, std::io::stdout().lock())?;
    /// # Ok::<(), heapwatch::Error>(())
    /// ```
    pub fn write_folded(&self, sample_type: SampleType, to: impl Write) -> Result<(), Error> {
        muted(|| Stacks::of(self, sample_type).write(to, |bytes| bytes.after.to_string()))
    }
}

impl Diff<'_> {
    /// Writes live bytes before and after by stack, `main;chat::register;… 12345 23456` per line: what
    /// tools for differential flame graphs read.
    ///
    /// # Errors
    ///
    /// As of [`Snapshot::write_folded`].
    pub fn write_folded(&self, to: impl Write) -> Result<(), Error> {
        muted(|| Stacks::of_both(self).write(to, Bytes::both))
    }
}

/// Bytes of a stack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    /// In the earlier of two snapshots; nothing where there is one.
    pub(super) before: u64,
    pub(super) after: u64,
}

impl Bytes {
    pub(super) fn add(&mut self, other: Bytes) {
        self.before = self.before.saturating_add(other.before);
        self.after = self.after.saturating_add(other.after);
    }

    pub(super) fn both(self) -> String {
        format!("{} {}", self.before, self.after)
    }
}

/// Distinct stacks of functions and their bytes. A frame takes four bytes, however long its name is.
#[derive(Debug, Default)]
pub(super) struct Stacks<'s> {
    /// In order.
    pub(super) names: Vec<Cow<'s, str>>,
    /// Indices into `names`, outermost first, in order.
    pub(super) lines: Vec<(Box<[u32]>, Bytes)>,
}

impl<'s> Stacks<'s> {
    pub(super) fn of(snapshot: &'s Snapshot, sample_type: SampleType) -> Self {
        let mut builder = Builder::default();
        builder.add(snapshot, |whole| match sample_type {
            SampleType::InuseSpace => after(whole.live.bytes),
            SampleType::AllocSpace => after(whole.allocated.bytes),
        });
        builder.build()
    }

    /// Live bytes in both of a diff's snapshots.
    pub(super) fn of_both(diff: &Diff<'s>) -> Self {
        let mut builder = Builder::default();
        builder.add(diff.earlier(), |whole| Bytes {
            before: whole.live.bytes as u64,
            after: 0,
        });
        builder.add(diff.later(), |whole| after(whole.live.bytes));
        builder.build()
    }

    fn write(&self, to: impl Write, numbers: fn(Bytes) -> String) -> Result<(), Error> {
        let lines = self.lines.iter();
        let text: u64 = lines.map(|(stack, _)| self.length(stack) + NUMBERS).sum();
        if text > MAX_TEXT {
            return Err(Error::Format(format!(
                "the stacks with their names would be {} MiB of text, and at most {} MiB are written",
                text >> 20,
                MAX_TEXT >> 20
            )));
        }
        let mut to = BufWriter::new(to);
        for (stack, bytes) in &self.lines {
            self.write_stack(stack, &mut to)?;
            writeln!(to, " {}", numbers(*bytes))?;
        }
        to.flush()?;
        Ok(())
    }

    fn write_stack(&self, stack: &[u32], to: &mut impl Write) -> io::Result<()> {
        for (place, name) in stack.iter().enumerate() {
            if place > 0 {
                to.write_all(b";")?;
            }
            to.write_all(self.names[*name as usize].as_bytes())?;
        }
        Ok(())
    }

    /// Bytes that a stack takes as text.
    fn length(&self, stack: &[u32]) -> u64 {
        let names = stack.iter().map(|name| &self.names[*name as usize]);
        names.map(|name| name.len() as u64 + 1).sum()
    }
}

fn after(bytes: f64) -> Bytes {
    Bytes {
        before: 0,
        after: bytes as u64,
    }
}

#[derive(Default)]
struct Builder<'s> {
    /// Numbers of names, in the order in which they were met.
    known: HashMap<Cow<'s, str>, u32>,
    lines: HashMap<Box<[u32]>, Bytes>,
}

impl<'s> Builder<'s> {
    fn add(&mut self, snapshot: &'s Snapshot, bytes: impl Fn(&Whole) -> Bytes) {
        // Of each location, outermost first, once one of its stacks was met.
        let mut locations: Vec<Option<Box<[u32]>>> = vec![None; snapshot.locations.len()];
        for (site, whole) in whole_sites(snapshot) {
            let bytes = bytes(&whole);
            if bytes != Bytes::default() {
                let stack = self.stack(snapshot, site, &mut locations);
                self.lines.entry(stack).or_default().add(bytes);
            }
        }
    }

    /// The stack's functions, outermost first, without the allocator.
    fn stack(
        &mut self,
        snapshot: &'s Snapshot,
        site: &Site,
        locations: &mut [Option<Box<[u32]>>],
    ) -> Box<[u32]> {
        if let Some(name) = pseudo_function(site) {
            return [self.number(name)].into();
        }
        let mut stack = Vec::new();
        for &place in site.stack.iter().rev() {
            let frames = locations[place as usize].get_or_insert_with(|| {
                let frames = visible(snapshot.frames(place));
                let mut numbers: Vec<u32> =
                    frames.map(|frame| self.number(&frame.function)).collect();
                numbers.reverse();
                numbers.into()
            });
            stack.extend_from_slice(frames);
        }
        if stack.is_empty() {
            stack.push(self.number(ALLOCATOR));
        }
        stack.into()
    }

    fn number(&mut self, name: &'s str) -> u32 {
        let next = self.known.len() as u32;
        *self.known.entry(whole_name(name)).or_insert(next)
    }

    /// Numbers the names anew, in their order, and brings the stacks in theirs.
    fn build(self) -> Stacks<'s> {
        let mut names: Vec<(Cow<'s, str>, u32)> = self.known.into_iter().collect();
        names.sort_unstable();
        let mut ordered = vec![0; names.len()];
        for ((_, met), place) in names.iter().zip(0..) {
            ordered[*met as usize] = place;
        }
        let mut lines: Vec<(Box<[u32]>, Bytes)> = self.lines.into_iter().collect();
        for (stack, _) in &mut lines {
            for name in stack {
                *name = ordered[*name as usize];
            }
        }
        lines.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Stacks {
            names: names.into_iter().map(|(name, _)| name).collect(),
            lines,
        }
    }
}

/// What parts frames and lines may not stand in a name.
fn whole_name(name: &str) -> Cow<'_, str> {
    let name = escaped(name);
    match name.contains(';') {
        true => Cow::Owned(name.replace(';', ":")),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::golden;
    use crate::snapshot::testing::{Builder, frame, grown, own};

    fn text(write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>) -> String {
        let mut text = Vec::new();
        write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Any flame graph tool reads these lines; the bytes are those of the tables.
    #[test]
    fn stacks_are_as_agreed_and_add_up() {
        let (before, after) = grown();
        let live = text(|to| after.write_folded(SampleType::InuseSpace, to));
        let difference = text(|to| before.diff(&after).write_folded(to));
        golden::check("folded.txt", &format!("{live}\n{difference}"));
        let sum = |text: &str| -> f64 {
            let numbers = text.lines().map(|line| line.rsplit(' ').next().unwrap());
            numbers.map(|number| number.parse::<f64>().unwrap()).sum()
        };
        for text in [&live, &difference] {
            assert!((sum(text) - after.live().bytes).abs() <= 1.0);
        }
        let allocated = text(|to| after.write_folded(SampleType::AllocSpace, to));
        assert!((sum(&allocated) - after.allocated().bytes).abs() <= 1.0);
    }

    /// Two addresses in one function are one line, and a name with what parts lines or frames is no
    /// second one.
    #[test]
    fn equal_stacks_are_one_line() {
        let mut builder = Builder::new();
        let places: Vec<u32> = (1..=2)
            .map(|address| {
                builder.location(address, &[frame("a::f<[u8; 4]>\n", "a.rs", 1, own("a"))])
            })
            .collect();
        builder.site(1, &[places[0]], &[1000.0], 0);
        builder.site(2, &[places[1]], &[500.0], 0);
        let snapshot = builder.build();
        let live = text(|to| snapshot.write_folded(SampleType::InuseSpace, to));
        let bytes = snapshot.live().bytes.round();
        assert_eq!(live, format!("a::f<[u8: 4]>\\n {bytes}\n"));
    }

    /// A file of some KiB can stand for more text than a disk has.
    #[test]
    fn more_text_than_anybody_reads_is_refused_before_the_first_byte() {
        let name = "a".repeat(4096);
        let mut builder = Builder::new();
        let frames = vec![frame(&name, "a.rs", 1, own("a")); 4096];
        let place = builder.location(1, &frames);
        builder.site(1, &[place; 256], &[1e6], 0);
        let snapshot = builder.build();
        let mut written = Vec::new();
        for error in [
            snapshot.write_folded(SampleType::InuseSpace, &mut written),
            snapshot.diff(&snapshot).write_folded(&mut written),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(
                error.contains("4097 MiB of text, and at most 4096 MiB"),
                "{error}"
            );
            assert!(!error.contains('\n') && written.is_empty());
        }
    }
}
