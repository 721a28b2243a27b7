//! Flame graphs as SVG, drawn by inferno.

use inferno::flamegraph::{self, Options};

use super::SampleType;
use crate::Error;
use crate::analyze::Diff;
use crate::snapshot::Snapshot;

impl Snapshot {
    /// A flame graph of bytes by stack, as SVG. Needs the feature `flamegraph`.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if there is nothing to draw.
    pub fn flamegraph(&self, sample_type: SampleType) -> Result<Vec<u8>, Error> {
        let title = match sample_type {
            SampleType::InuseSpace => "live bytes",
            SampleType::AllocSpace => "bytes allocated since the start",
        };
        draw(&self.folded(sample_type), title)
    }
}

impl Diff<'_> {
    /// A flame graph of what lives in the later snapshot, as SVG: red where it grew, blue where it
    /// shrank. Needs the feature `flamegraph`.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if there is nothing to draw.
    pub fn flamegraph(&self) -> Result<Vec<u8>, Error> {
        draw(&self.folded(), "live bytes: red grew, blue shrank")
    }
}

fn draw(folded: &str, title: &str) -> Result<Vec<u8>, Error> {
    if folded.lines().all(|line| line.ends_with(" 0")) {
        return Err(Error::Format(
            "there is nothing to draw: no stack holds bytes".to_owned(),
        ));
    }
    let mut options = Options::default();
    options.title = title.to_owned();
    options.count_name = "bytes".to_owned();
    // Colours by name instead of by chance: equal profiles give equal pictures.
    options.hash = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, folded.lines(), &mut svg).map_err(Error::Io)?;
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::testing::{Builder, grown};

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
}
