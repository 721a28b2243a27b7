//! Flame graphs as SVG, drawn by inferno.

use inferno::flamegraph::{self, Options};

use super::SampleType;
use super::folded::{Bytes, Stacks};
use crate::Error;
use crate::analyze::Diff;
use crate::snapshot::{Snapshot, muted};

/// Parts of the whole width that a frame must have to be drawn by itself, unless the picture is too
/// large even so.
const PARTS: u64 = 10_000;

/// Bytes that a picture's stacks may take, about.
const MAX_PICTURE: usize = 128 << 20;

/// What a frame takes of a picture beyond its name.
const FRAME_BYTES: usize = 400;

/// The drawing adds stacks up, and takes their differences.
const MAX_BYTES: u64 = 1 << 62;

/// Stands for all that is too narrow of what a function called.
const NARROW: &str = "…";

impl Snapshot {
    /// A flame graph of bytes by stack, as SVG. Needs the feature `flamegraph`.
    ///
    /// What has less than 1/10,000 of all bytes stands together with its like as `…` of its caller;
    /// a larger share, where the picture would otherwise have hundreds of MiB.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if there is nothing to draw, or too much even so.
    pub fn flamegraph(&self, sample_type: SampleType) -> Result<Vec<u8>, Error> {
        let title = match sample_type {
            SampleType::InuseSpace => "live bytes",
            SampleType::AllocSpace => "bytes allocated since the start",
        };
        muted(|| {
            let stacks = Stacks::of(self, sample_type);
            draw(&stacks, |bytes| bytes.after.to_string(), title)
        })
    }
}

impl Diff<'_> {
    /// A flame graph of what lives in the later snapshot, as SVG: red where it grew, blue where it
    /// shrank. Needs the feature `flamegraph`.
    ///
    /// # Errors
    ///
    /// As of [`Snapshot::flamegraph`].
    pub fn flamegraph(&self) -> Result<Vec<u8>, Error> {
        muted(|| {
            let stacks = Stacks::of_both(self);
            draw(&stacks, Bytes::both, "live bytes: red grew, blue shrank")
        })
    }
}

fn draw(stacks: &Stacks<'_>, numbers: fn(Bytes) -> String, title: &str) -> Result<Vec<u8>, Error> {
    let folded = wide(stacks, numbers)?;
    let mut options = Options::default();
    options.title = title.to_owned();
    options.count_name = "bytes".to_owned();
    // Colours by name instead of by chance: equal profiles give equal pictures.
    options.hash = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, folded.lines(), &mut svg).map_err(Error::Io)?;
    Ok(svg)
}

/// The stacks as folded lines, as finely as a picture can show them.
fn wide(stacks: &Stacks<'_>, numbers: fn(Bytes) -> String) -> Result<String, Error> {
    let mut whole = Bytes::default();
    stacks.lines.iter().for_each(|(_, bytes)| whole.add(*bytes));
    if whole.after == 0 {
        return Err(format("there is nothing to draw: no stack holds bytes"));
    }
    if whole.before.max(whole.after) > MAX_BYTES {
        return Err(format("there is too much to draw: more bytes than 2^62"));
    }
    let mut narrowest = (whole.after / PARTS).max(1);
    while narrowest <= whole.after {
        let outline = Outline::new(stacks, narrowest, numbers);
        if let Some(text) = outline.text() {
            return Ok(text);
        }
        narrowest = narrowest.saturating_mul(4);
    }
    Err(format(
        "there is too much to draw: the widest stack has too many frames, or too long names",
    ))
}

fn format(text: &str) -> Error {
    Error::Format(text.to_owned())
}

/// Goes through all stacks from the root, and keeps those that are wide enough.
struct Outline<'s> {
    stacks: &'s Stacks<'s>,
    narrowest: u64,
    numbers: fn(Bytes) -> String,
    /// The functions of the current stack, outermost first.
    path: Vec<u32>,
    /// The sums of the whole and of each function of `path`.
    open: Vec<Sums>,
    text: String,
    /// Bytes that more lines may take; none if one did not fit.
    left: Option<usize>,
}

/// Bytes of a stack and all that begin with it.
#[derive(Default)]
struct Sums {
    all: Bytes,
    /// Of the stack itself.
    own: Bytes,
    /// Of those one function longer that are too narrow.
    narrow: Bytes,
}

impl<'s> Outline<'s> {
    fn new(stacks: &'s Stacks<'s>, narrowest: u64, numbers: fn(Bytes) -> String) -> Self {
        Outline {
            stacks,
            narrowest,
            numbers,
            path: Vec::new(),
            open: vec![Sums::default()],
            text: String::new(),
            left: Some(MAX_PICTURE),
        }
    }

    /// None if it would be too large.
    fn text(mut self) -> Option<String> {
        for (stack, bytes) in &self.stacks.lines {
            let shared = (self.path.iter().zip(stack))
                .take_while(|(a, b)| a == b)
                .count();
            self.close(shared);
            self.path.extend_from_slice(&stack[shared..]);
            self.open.resize_with(stack.len() + 1, Sums::default);
            self.open[stack.len()].own.add(*bytes);
            self.left?;
        }
        self.close(0);
        let whole = self.open.pop().unwrap_or_default();
        self.line(whole.narrow, true);
        self.left.map(|_| self.text)
    }

    /// Goes back to the first `depth` functions of the current stack.
    fn close(&mut self, depth: usize) {
        while self.path.len() > depth
            && let Some(mut sums) = self.open.pop()
        {
            sums.all.add(sums.own);
            let wide = sums.all.after >= self.narrowest;
            if wide {
                self.line(sums.own, false);
                self.line(sums.narrow, true);
            }
            self.path.pop();
            if let Some(caller) = self.open.last_mut() {
                caller.all.add(sums.all);
                if !wide {
                    caller.narrow.add(sums.all);
                }
            }
        }
    }

    /// Writes what the current stack has, or what is too narrow of it, unless that is nothing.
    fn line(&mut self, bytes: Bytes, narrow: bool) {
        let Some(left) = self.left else {
            return;
        };
        if bytes == Bytes::default() {
            return;
        }
        let names = || {
            let path = self.path.iter();
            let path = path.map(|name| &*self.stacks.names[*name as usize]);
            path.chain(narrow.then_some(NARROW))
        };
        self.left = names().try_fold(left, |left, name| {
            left.checked_sub(name.len() + FRAME_BYTES)
        });
        if self.left.is_some() {
            for (place, name) in names().enumerate() {
                if place > 0 {
                    self.text.push(';');
                }
                self.text.push_str(name);
            }
            self.text.push(' ');
            self.text.push_str(&(self.numbers)(bytes));
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::testing::{Builder, frame, grown, own};

    /// A picture without the leak in it, or with markup from a name, is of no use.
    #[test]
    fn pictures_show_the_stacks() {
        let (before, after) = grown();
        for svg in [
            after.flamegraph(SampleType::InuseSpace).unwrap(),
            after.flamegraph(SampleType::AllocSpace).unwrap(),
            before.diff(&after).flamegraph().unwrap(),
        ] {
            let text = String::from_utf8(svg).unwrap();
            assert!(
                text.starts_with("<?xml") && text.ends_with("</svg>\n") || text.contains("</svg>")
            );
            assert!(text.contains("chat::register"), "{text}");
            assert!(text.contains("RawTable&lt;(u64, chat::Session)&gt;"));
        }
        let empty = Builder::new().build();
        let error = empty.flamegraph(SampleType::InuseSpace).unwrap_err();
        assert!(error.to_string().contains("nothing to draw"));
    }

    fn stacks(lines: &[(&[u32], u64, u64)]) -> Stacks<'static> {
        let names = ["a", "b", "c", "d"].map(std::borrow::Cow::Borrowed).into();
        let line = |&(stack, before, after): &(&[u32], u64, u64)| {
            (Box::from(stack), Bytes { before, after })
        };
        let lines = lines.iter().map(line).collect();
        Stacks { names, lines }
    }

    /// What is left out must be in its caller's width, and nothing that a reader could see be gone.
    #[test]
    fn what_is_too_narrow_stands_in_its_callers_rest() {
        let lines: [(&[u32], u64, u64); 7] = [
            (&[0], 0, 7),
            (&[0, 1], 0, 50_000),
            (&[0, 1, 2], 0, 1),
            (&[0, 1, 2, 3], 5, 2),
            (&[0, 3], 0, 9),
            (&[1, 2], 0, 50_000),
            (&[2, 1], 4, 3),
        ];
        let text = wide(&stacks(&lines), Bytes::both).unwrap();
        let mut found: Vec<&str> = text.lines().collect();
        found.sort_unstable();
        let expected = [
            "a 0 7",
            "a;b 0 50000",
            "a;b;… 5 3",
            "a;… 0 9",
            "b;c 0 50000",
            "… 4 3",
        ];
        assert_eq!(found, expected);
        // All is wide enough of few bytes, but for what is gone.
        let few: [(&[u32], u64, u64); 2] = [(&[0, 1], 3, 0), (&[0, 2], 0, 1)];
        let text = wide(&stacks(&few), Bytes::both).unwrap();
        assert_eq!(text, "a;c 0 1\na;… 3 0\n");
    }

    /// Thousands of deep stacks are a coarser picture and no error: such processes there are.
    #[test]
    fn a_large_process_is_drawn_more_coarsely() {
        let mut builder = Builder::new();
        let name = |n: u64| {
            format!(
                "chat::handlers::handle_{n}<{}>",
                "alloc::vec::Vec<u8>, ".repeat(8)
            )
        };
        let places: Vec<u32> = (0..6_000)
            .map(|n| builder.location(n + 1, &[frame(&name(n), "a.rs", 1, own("a"))]))
            .collect();
        for site in 0..6_000 {
            let mut stack = places[..60].to_vec();
            stack.insert(0, places[site]);
            stack.insert(61, places[5_999 - site]);
            builder.site(site as u64, &stack, &[1e6 + (site * 300) as f64], 0);
        }
        builder.site(9_999, &places[..5], &[1e9], 0);
        let svg = builder.build().flamegraph(SampleType::InuseSpace).unwrap();
        let text = String::from_utf8(svg).unwrap();
        println!("{} bytes", text.len());
        assert!(text.contains("chat::handlers::handle_4&lt;") && text.contains("… ("));
    }

    /// A file of some KiB can hold a stack of millions of frames.
    #[test]
    fn a_picture_of_one_endless_stack_is_refused() {
        let mut builder = Builder::new();
        let frames = vec![frame("f", "a.rs", 1, own("a")); 4096];
        let place = builder.location(1, &frames);
        builder.site(1, &[place; 256], &[1e6], 0);
        let snapshot = builder.build();
        for drawn in [
            snapshot.flamegraph(SampleType::InuseSpace),
            snapshot.diff(&snapshot).flamegraph(),
        ] {
            let error = drawn.unwrap_err().to_string();
            assert!(error.contains("too much to draw") && !error.contains('\n'));
        }
    }
}
