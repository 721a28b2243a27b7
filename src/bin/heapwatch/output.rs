//! What the user gets: plain in a pipe or a file, in colour and as wide as the terminal on one.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::{self, File, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use heapwatch::Error;
use tempfile::NamedTempFile;
use terminal_size::{Width, terminal_size_of};

use crate::args::{To, ToFile};
use crate::failure::Failure;
use crate::fold::fold;

/// Columns of a terminal that does not tell how many it has.
const USUAL: usize = 120;

/// What a new file may be before the user's umask.
const MODE: u32 = 0o666;

/// Where something goes.
#[derive(Debug)]
pub(crate) enum Output {
    Stdout,
    File { path: PathBuf, force: bool },
}

impl Output {
    /// Columns that a table may have: as many as its names need where no terminal folds them.
    pub(crate) fn width(&self) -> usize {
        let stdout = io::stdout();
        match self {
            Output::Stdout if stdout.is_terminal() => {
                terminal_size_of(stdout).map_or(USUAL, |(Width(columns), _)| columns.into())
            }
            _ => usize::MAX,
        }
    }

    /// Refuses what [`write`](Self::write) would refuse, before any work is done for it.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self {
            Output::Stdout => Ok(()),
            Output::File { path, force } => {
                check_target(path, *force).map_err(|failure| failure.about(path.display()))
            }
        }
    }

    /// Writes text that may have colours, which only a terminal gets; lines that are wider than one are
    /// folded for it.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        match self {
            Output::Stdout => {
                let text = match io::stdout().is_terminal() {
                    true => Cow::Owned(fold(text, self.width())),
                    false => Cow::Borrowed(text),
                };
                let mut stdout = anstream::stdout().lock();
                let written = stdout
                    .write_all(text.as_bytes())
                    .and_then(|()| stdout.flush());
                written.map_err(|error| Failure::writing(&error))
            }
            Output::File { .. } => {
                self.bytes(anstream::adapter::strip_str(text).to_string().as_bytes())
            }
        }
    }

    /// Writes what is not for a terminal.
    pub(crate) fn binary(&self, bytes: &[u8]) -> Result<(), Failure> {
        if matches!(self, Output::Stdout) && io::stdout().is_terminal() {
            return Err(Failure::new(
                "this is not for a terminal: name a file with -o FILE, or send it through a pipe",
            ));
        }
        self.bytes(bytes)
    }

    /// Writes bytes as they are. A file comes to be as a whole or not at all.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream(|to| Ok(to.write_all(bytes)?))
    }

    /// Writes what is made on the way. A file comes to be as a whole or not at all.
    pub(crate) fn stream(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        match self {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                let written = write(&mut stdout).and_then(|()| Ok(stdout.flush()?));
                written.map_err(|error| match error {
                    Error::Io(error) => Failure::writing(&error),
                    error => error.into(),
                })
            }
            Output::File { path, force } => check_target(path, *force)
                .and_then(|()| replace(path, write, *force))
                .map_err(|failure| failure.about(path.display())),
        }
    }
}

impl From<&To> for Output {
    fn from(to: &To) -> Output {
        to.output
            .as_deref()
            .map_or(Output::Stdout, |path| of(path, to.force))
    }
}

impl From<&ToFile> for Output {
    fn from(to: &ToFile) -> Output {
        of(&to.output, to.force)
    }
}

fn of(path: &Path, force: bool) -> Output {
    if path == Path::new("-") {
        return Output::Stdout;
    }
    Output::File {
        path: path.to_owned(),
        force,
    }
}

fn check_target(path: &Path, force: bool) -> Result<(), Failure> {
    if let Ok(found) = fs::metadata(path) {
        if !found.is_file() {
            return Err(Failure::new(
                "this is there and not a file; choose another name",
            ));
        }
        if !force {
            return Err(there_already());
        }
    } else if path.file_name().is_none() {
        return Err(Failure::new("this is not the name of a file"));
    } else if !folder(path).is_dir() {
        return Err(Failure::new("there is no such folder to write it into"));
    }
    Ok(())
}

fn there_already() -> Failure {
    Failure::new("there is such a file; choose another name, or replace it with --force")
}

/// Beside the file first, so that nobody ever sees half of it.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    force: bool,
) -> Result<(), Failure> {
    // What a link points to is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder(&path);
    let old = fs::metadata(&path).ok().map(|old| old.permissions());
    let written = new_file(&folder, old, write).map_err(|error| match error {
        Error::Io(error) => cannot(&error),
        error => error.into(),
    })?;
    let kept = if force {
        written.persist(&path)
    } else {
        written.persist_noclobber(&path)
    };
    kept.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => there_already(),
        _ => cannot(&error.error),
    })?;
    // The name too must outlive a crash.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| cannot(&error))
}

fn new_file(
    folder: &Path,
    old: Option<Permissions>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<NamedTempFile, Error> {
    let mut file = empty_file(folder, old)?;
    write(&mut file)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Who may read the old file may read the new one, and nobody else, at no time.
fn empty_file(folder: &Path, old: Option<Permissions>) -> io::Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(".heapwatch-")
        .permissions(old.clone().unwrap_or(Permissions::from_mode(MODE)))
        .tempfile_in(folder)?;
    // What the umask took away.
    if let Some(old) = old {
        file.as_file().set_permissions(old)?;
    }
    Ok(file)
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn cannot(error: &io::Error) -> Failure {
    Failure::new(format_args!("it cannot be written: {error}"))
}

/// Writes one line to standard error.
pub(crate) fn complain(failure: &impl Display) {
    tell(&format!("\x1b[31merror\x1b[0m: {failure}"));
}

/// Writes one line to standard error.
pub(crate) fn tell(line: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others could open it before it has the mode of what it replaces, and read what comes later.
    #[test]
    fn a_file_has_its_mode_before_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o640, 0o666] {
            let old = Permissions::from_mode(mode);
            let empty = empty_file(folder.path(), Some(old)).unwrap();
            let found = empty.as_file().metadata().unwrap();
            assert_eq!((found.permissions().mode() & 0o777, found.len()), (mode, 0));
        }
    }
}
