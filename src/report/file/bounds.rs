//! What the stacks of a file may come to. Frames and their texts are in a file once, and in reports for
//! every site: a few KiB can stand for any number of them.

use crate::Error;
use crate::config::MAX_SITES;
use crate::snapshot::{Frame, Snapshot};
use crate::symbols::MAX_NAME;

/// Frames that the stacks of all sites may have: a report by site lists them.
const MAX_STACK_FRAMES: usize = 1 << 26;

/// Frames of one stack: sixteen for each of its locations.
const MAX_DEPTH_FRAMES: usize = 1 << 16;

/// The longest texts of each site's stack together: a report names each site. A full table has no
/// more, even if there is a frame of the longest name and path in each of its stacks.
const MAX_SITE_TEXTS: usize = MAX_SITES * 2 * (MAX_NAME + '…'.len_utf8());

/// Refuses what no process has and no report could hold.
pub(super) fn check(snapshot: &Snapshot) -> Result<(), Error> {
    let locations = 0..snapshot.locations.len() as u32;
    let longest: Vec<usize> = locations
        .map(|place| longest_text(snapshot, place))
        .collect();
    let (mut all, mut deepest, mut texts) = (0, 0, 0);
    for site in &snapshot.sites {
        let places = || site.stack.iter().copied();
        let frames: usize = places().map(|place| snapshot.frames(place).len()).sum();
        all += frames;
        deepest = deepest.max(frames);
        let longest = places().map(|place| longest[place as usize]).max();
        texts += longest.unwrap_or(0);
    }
    let refused = if all > MAX_STACK_FRAMES {
        format!("the stacks have {all} frames in all, and at most {MAX_STACK_FRAMES} are read")
    } else if deepest > MAX_DEPTH_FRAMES {
        format!("a stack has {deepest} frames, and at most {MAX_DEPTH_FRAMES} are read")
    } else if texts > MAX_SITE_TEXTS {
        format!(
            "the longest names of all sites have {} MiB together, and at most {} are read",
            texts >> 20,
            MAX_SITE_TEXTS >> 20
        )
    } else {
        return Ok(());
    };
    Err(Error::Format(refused))
}

/// Of a location's frames, or of the object that it is in, which stands for a name and a crate where
/// there are none.
fn longest_text(snapshot: &Snapshot, place: u32) -> usize {
    let text =
        |frame: &Frame| frame.function.len() + frame.file.as_ref().map_or(0, |file| file.len());
    let module = snapshot.locations[place as usize].module;
    let module = module.and_then(|module| snapshot.modules.get(module as usize));
    let named = snapshot.frames(place).iter().map(text).max();
    named
        .unwrap_or(0)
        .max(module.map_or(0, |module| 2 * module.path.len()))
}
