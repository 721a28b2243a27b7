//! Where a snapshot comes from.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use heapwatch::Snapshot;

use crate::args::From;
use crate::client::{Client, Url};
use crate::failure::Failure;
use crate::waiting::Waiting;

/// What the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A heapwatch endpoint, asked for a snapshot of now.
    Endpoint(Url),
    /// Any other page, read as it is.
    Page(Url),
    File(PathBuf),
    Stdin,
}

impl Source {
    /// Understands an argument.
    pub(crate) fn parse(text: OsString) -> Result<Source, Failure> {
        let Some(plain) = text.to_str() else {
            return Ok(Source::File(text.into()));
        };
        if plain == "-" {
            return Ok(Source::Stdin);
        }
        if !plain.contains("://") {
            return Ok(Source::File(text.into()));
        }
        let url = Url::parse(plain)?;
        if url.is_folder() {
            Ok(Source::Endpoint(url))
        } else {
            Ok(Source::Page(url))
        }
    }

    /// How long it may take to begin, where that is bounded.
    fn patience(&self) -> Option<Duration> {
        match self {
            Source::Endpoint(url) | Source::Page(url) => Some(url.patience()),
            Source::File(_) | Source::Stdin => None,
        }
    }

    /// The endpoint, for what only a running service can answer; `command` says what that is.
    pub(crate) fn endpoint(&self, command: &str) -> Result<&Url, Failure> {
        match self {
            Source::Endpoint(url) => Ok(url),
            Source::Page(url) => Err(Failure::new(format_args!(
                "{command} needs the URL of an endpoint, which ends in /, and not that of a page: {url}"
            ))),
            Source::File(_) | Source::Stdin => Err(Failure::new(format_args!(
                "{command} needs the URL of an endpoint, such as http://127.0.0.1:6790/, and not {self}"
            ))),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Endpoint(url) | Source::Page(url) => url.fmt(f),
            Source::File(path) => path.display().fmt(f),
            Source::Stdin => f.write_str("standard input"),
        }
    }
}

impl From {
    /// Reads the snapshot.
    pub(crate) fn read(&self) -> Result<Snapshot, Failure> {
        read(&self.source, self.access.token())
    }
}

/// Reads a snapshot in bounded memory; what takes longer than a second shows how far it is.
pub(crate) fn read(source: &Source, token: Option<&str>) -> Result<Snapshot, Failure> {
    read_unnamed(source, token).map_err(|failure| failure.about(source))
}

/// Reads a snapshot like [`read`], without saying of what in a failure.
pub(crate) fn read_unnamed(source: &Source, token: Option<&str>) -> Result<Snapshot, Failure> {
    with_reader(source, token, &waiting(source), parse)
}

fn waiting(source: &Source) -> Waiting {
    Waiting::new(format!("reading {source}"), source.patience())
}

/// Reads a snapshot without a sign of life and without saying of what.
pub(crate) fn read_quietly(source: &Source, token: Option<&str>) -> Result<Snapshot, Failure> {
    with_reader(source, token, &Waiting::unseen(), parse)
}

/// Reads a snapshot, and keeps what it was read from.
pub(crate) fn read_with_bytes(
    source: &Source,
    token: Option<&str>,
) -> Result<(Snapshot, Vec<u8>), Failure> {
    let mut bytes = Vec::new();
    let snapshot = with_reader(source, token, &waiting(source), |from| {
        parse(&mut Tee {
            from,
            to: &mut bytes,
        })
    });
    let snapshot = snapshot.map_err(|failure| failure.about(source))?;
    Ok((snapshot, bytes))
}

fn parse(from: &mut dyn Read) -> Result<Snapshot, Failure> {
    Snapshot::read(from).map_err(|error| match error {
        heapwatch::Error::Io(error) => {
            Failure::new(format_args!("it could not be read to its end: {error}"))
        }
        error => error.into(),
    })
}

fn with_reader(
    source: &Source,
    token: Option<&str>,
    waiting: &Waiting,
    parse: impl FnOnce(&mut dyn Read) -> Result<Snapshot, Failure>,
) -> Result<Snapshot, Failure> {
    match source {
        Source::Endpoint(url) => Client::new(url, token)?.snapshot(waiting, parse),
        Source::Page(url) => Client::new(url, token)?.page(waiting, parse),
        Source::File(path) => open(path, waiting, parse),
        Source::Stdin => parse(&mut waiting.reader(None, io::stdin().lock())),
    }
}

fn open(
    path: &Path,
    waiting: &Waiting,
    parse: impl FnOnce(&mut dyn Read) -> Result<Snapshot, Failure>,
) -> Result<Snapshot, Failure> {
    let file = File::open(path).map_err(|error| not_opened(path, &error))?;
    let metadata = file.metadata().map_err(heapwatch::Error::from)?;
    if metadata.is_dir() {
        return Err(Failure::new("this is a directory; name a file in it"));
    }
    let length = metadata.is_file().then_some(metadata.len());
    parse(&mut waiting.reader(length, file))
}

/// Keeps what is read.
struct Tee<'t> {
    from: &'t mut dyn Read,
    to: &'t mut Vec<u8>,
}

impl Read for Tee<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(room)?;
        self.to.extend_from_slice(&room[..length]);
        Ok(length)
    }
}

fn not_opened(path: &Path, error: &io::Error) -> Failure {
    let text = path.to_string_lossy();
    // `localhost:6790`, `127.0.0.1:6790/`, and with a port that there cannot be
    let port = |after: &str| after.trim_end_matches('/').parse::<u32>().is_ok();
    let looks_like_url = text.rsplit_once(':').is_some_and(|(_, after)| port(after));
    match error.kind() {
        io::ErrorKind::NotFound if looks_like_url => Failure::new(format_args!(
            "there is no such file; if it is an endpoint, write http://{text}"
        )),
        io::ErrorKind::NotFound => Failure::new("there is no such file"),
        io::ErrorKind::PermissionDenied => Failure::new("you may not read this file"),
        _ => Failure::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Source, String> {
        Source::parse(text.into()).map_err(|failure| failure.to_string())
    }

    /// Whether an endpoint is asked, or a page read as it is, follows from the URL alone.
    #[test]
    fn sources_are_told_apart() {
        for (text, shown) in [
            ("http://127.0.0.1:6790", "http://127.0.0.1:6790/"),
            ("http://[::1]:6790/", "http://[::1]:6790/"),
            ("http://chat/heapwatch/", "http://chat/heapwatch/"),
        ] {
            match parse(text).unwrap() {
                Source::Endpoint(url) => assert_eq!(url.to_string(), shown),
                other => panic!("{text}: {other:?}"),
            }
        }
        let page = "http://chat:6060/debug/pprof/heap?seconds=5";
        assert!(matches!(parse(page), Ok(Source::Page(url)) if url.to_string() == page));
        assert_eq!(parse("-"), Ok(Source::Stdin));
        assert_eq!(parse("a.heap"), Ok(Source::File("a.heap".into())));
        assert_eq!(parse("C:6790"), Ok(Source::File("C:6790".into())));
    }

    /// A profile that takes as long as it was told to is no silence, and silence is not waited for so long.
    #[test]
    fn patience_depends_on_what_is_asked() {
        for (text, seconds) in [
            ("http://chat/", Some(120)),
            ("http://chat/debug/pprof/heap", Some(120)),
            ("http://chat/heap?debug=0&seconds=300", Some(420)),
            ("http://chat/heap?seconds=soon", Some(120)),
            ("a.heap", None),
        ] {
            let source = Source::parse(text.into()).unwrap();
            assert_eq!(
                source.patience().map(|time| time.as_secs()),
                seconds,
                "{text}"
            );
        }
    }

    #[test]
    fn urls_that_cannot_be_asked_are_refused() {
        for (text, said) in [
            ("https://chat/", "ssh -L"),
            ("ftp://chat/", "http://"),
            ("http://", "not a URL"),
            ("http://a b/", "not a URL"),
            ("http://chat/?by=site", "has no query"),
            ("http://127.0.0.1:99999", "\"99999\" is no port"),
            ("http://[::1]:65536/", "\"65536\" is no port"),
            ("http://me@chat:0/x", "\"0\" is no port"),
            ("http://chat:/", "from 1 to 65535"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
