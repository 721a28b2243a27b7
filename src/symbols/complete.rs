//! Names for a snapshot whose program was stripped, from a file that was not.

use std::path::Path;
use std::sync::OnceLock;

use super::called_from;
use super::lack::Lack;
use super::module::resolve_in;
use super::object::Files;
use crate::Error;
use crate::snapshot::{Module, Snapshot, muted};

impl Snapshot {
    /// Finds the names of one of the snapshot's programs or libraries anew, in a file with its debug
    /// information: what it was before it was stripped, or a separate debug file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it has no names, or another build id
    /// than all that the snapshot has.
    ///
    /// ```no_run
    /// let mut snapshot = heapwatch::Snapshot::open("production.heap")?;
    /// snapshot.symbolize("target/release/chat")?;
    /// # Ok::<(), heapwatch::Error>(())
    /// ```
    pub fn symbolize(&mut self, debug_info: impl AsRef<Path>) -> Result<(), Error> {
        muted(|| self.complete(debug_info.as_ref()))
    }

    fn complete(&mut self, path: &Path) -> Result<(), Error> {
        let refuse = |why: &str| Error::Format(why.to_owned());
        let files = Files::at(path)?;
        let id = files.build_id();
        let id = id.ok_or_else(|| refuse("this is no object file with a build id"))?;
        let same = |module: &Module| {
            let known = module.build_id.as_ref();
            known.is_some_and(|known| known.eq_ignore_ascii_case(&id))
        };
        let place = self.modules.iter().position(same);
        let place = place.ok_or_else(|| {
            refuse(&format!(
                "its build id is {id}, and nothing in the snapshot has that one"
            ))
        })?;
        let mut module = self.modules[place].clone();
        if !self.info.error_bars {
            // A profile says where the code lies, and not what the file calls its addresses.
            let bias = files.bias(&module);
            module.bias = bias.ok_or_else(|| refuse("it has no code"))?;
        }
        let inside = |index: &usize| self.locations[*index].module == u32::try_from(place).ok();
        let indices: Vec<usize> = (0..self.locations.len()).filter(inside).collect();
        let addresses = indices
            .iter()
            .map(|index| called_from(&self.locations[*index]).wrapping_sub(module.bias));
        let (frames, lack) = resolve_in(&module, &files, &addresses.collect::<Vec<_>>())
            .ok_or_else(|| refuse("it is damaged"))?;
        if lack == Some(Lack::Symbols) {
            return Err(refuse("it is stripped, too"));
        }
        let mut names = self.named().clone();
        for (index, frames) in indices.into_iter().zip(frames) {
            names.frames[index] = frames.into();
        }
        let told = Lack::ALL.map(|lack| lack.cure(&module.path));
        names.missing.retain(|line| !told.contains(line));
        names
            .missing
            .extend(lack.map(|lack| lack.cure(&module.path)));
        self.names = OnceLock::from(names);
        Ok(())
    }
}
