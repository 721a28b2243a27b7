//! Snapshots as files: our own format, and heap profiles of any tool.
//!
//! `docs/snapshot-format.md` describes the format. Whatever a file holds, reading it takes bounded
//! memory and ends in a snapshot or in one line that says what is wrong.

mod bounds;
mod growth;
mod native;
mod profile;
mod schema;
#[cfg(test)]
mod tests;
mod texts;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::Error;
use crate::snapshot::{self, Snapshot};
use crate::symbols::{MAX_NAME, cut, escaped};

/// Bytes that a file may have.
const MAX_FILE: u64 = 128 << 20;

/// Bytes that our own format may have, unpacked. It is read as a stream and not kept.
const MAX_UNPACKED: u64 = 256 << 20;

/// Bytes that are kept of a path's segment, and so of a crate's name: what Linux allows.
const MAX_FILE_NAME: usize = 255;

/// Bytes that another tool's profile may take, unpacked or decoded.
const MAX_PROFILE: usize = 128 << 20;

impl Snapshot {
    /// Writes the snapshot with its names, as gzip of JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if writing fails.
    ///
    /// ```no_run
    /// heapwatch::snapshot()?.write(std::io::stdout().lock())?;
    /// # Ok::<(), heapwatch::Error>(())
    /// ```
    pub fn write(&self, to: impl Write) -> Result<(), Error> {
        snapshot::muted(|| native::write(self, to))
    }

    /// Writes the snapshot to a file, which is replaced as a whole or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        snapshot::muted(|| self.replace(path.as_ref()))
    }

    fn replace(&self, path: &Path) -> Result<(), Error> {
        let beside = beside(path)?;
        let written = self.write_new(&beside).and_then(|()| {
            fs::rename(&beside, path)?;
            Ok(())
        });
        if written.is_err() {
            // It may not have come to be; the first error is the one to tell.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn write_new(&self, path: &Path) -> Result<(), Error> {
        let mut file = BufWriter::new(File::create_new(path)?);
        self.write(&mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(())
    }

    /// Reads a snapshot that [`write`](Self::write) wrote, or a heap profile in pprof's format of
    /// any tool, compressed or not.
    ///
    /// A profile has no error bars, which [`Info::error_bars`](crate::snapshot::Info::error_bars)
    /// and every report of it say. Its values must be among `inuse_objects`, `inuse_space`,
    /// `alloc_objects` and `alloc_space`.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] if the data are neither, are cut off or damaged, come from a newer
    /// version, or would take too much memory; [`Error::Io`] if reading fails.
    ///
    /// ```no_run
    /// use heapwatch::Snapshot;
    ///
    /// let before = Snapshot::read(std::fs::File::open("before.heap")?)?;
    /// let after = Snapshot::open("after.heap")?;
    /// println!("{}", after.top(heapwatch::report::By::Site));
    /// # Ok::<(), heapwatch::Error>(())
    /// ```
    pub fn read(from: impl Read) -> Result<Snapshot, Error> {
        snapshot::muted(|| {
            let mut bytes = Vec::new();
            from.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
            decode(&bytes)
        })
    }

    /// Reads a file, as [`read`](Self::read) does.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read).
    pub fn open(path: impl AsRef<Path>) -> Result<Snapshot, Error> {
        snapshot::muted(|| Snapshot::read(File::open(path)?))
    }
}

fn decode(bytes: &[u8]) -> Result<Snapshot, Error> {
    let snapshot = parse(bytes)?;
    bounds::check(&snapshot)?;
    Ok(snapshot)
}

fn parse(bytes: &[u8]) -> Result<Snapshot, Error> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(format(format_args!(
            "the file has more than the {} MiB that are read",
            MAX_FILE >> 20
        )));
    }
    if bytes.is_empty() {
        return Err(format("the file is empty"));
    }
    if bytes.starts_with(b"{") {
        return native::read(|| bytes);
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut first = [0];
        let read = MultiGzDecoder::new(bytes).read_exact(&mut first);
        if read.is_ok() && first == *b"{" {
            return native::read(|| MultiGzDecoder::new(bytes));
        }
    }
    profile::read(bytes)
}

fn format(text: impl std::fmt::Display) -> Error {
    Error::Format(text.to_string())
}

/// A file's text, [`escaped`]. It is cut where names of this process are: reports repeat it for each
/// frame that has it.
fn plain(text: &str) -> Cow<'_, str> {
    let tidied = escaped(text);
    if tidied.len() > MAX_NAME {
        Cow::Owned(cut(tidied.into_owned(), MAX_NAME))
    } else {
        tidied
    }
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path) -> Result<PathBuf, Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| {
        let text = format!("{} is not the name of a file", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    // Only told apart from others of this process: any order will do.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    hidden.push(format!(".{}.{number}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}
