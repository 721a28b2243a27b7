//! The kept snapshots, as the files that they are fetched as: that is small, its size is known, and
//! the names in it stay when code is unloaded.
//!
//! At most [`MAX_KEPT`] and [`MAX_BYTES`]; what is beyond drives out the oldest that nobody named.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use serde::Serialize;

use super::answers::failure;
use super::history::snapshot_at;
use super::reply::{JSON, PROTOBUF_GZIP, Reply};
use super::snapshot_routes::{Moment, Name, SNAPSHOTS, SnapshotsQuery};
use crate::report::{By, Estimate};
use crate::snapshot::Snapshot;

const MAX_KEPT: usize = 32;
const MAX_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Store(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    /// Oldest first.
    kept: Vec<Kept>,
    /// The number in the last name that was made up.
    unnamed: u64,
}

#[derive(Debug)]
struct Kept {
    name: String,
    named: bool,
    taken_seconds: f64,
    live_bytes: Estimate,
    /// Who reads it keeps it, also if it is deleted meanwhile.
    file: Bytes,
}

#[derive(Serialize)]
struct List<'l> {
    max_snapshots: usize,
    max_bytes: usize,
    snapshots: Vec<Line<'l>>,
}

#[derive(Serialize)]
struct Line<'l> {
    name: &'l str,
    named: bool,
    taken_seconds: f64,
    live_bytes: Estimate,
    file_bytes: usize,
}

impl Store {
    /// Does what was asked; `take` takes a snapshot.
    pub(super) fn answer(
        &self,
        query: SnapshotsQuery,
        take: impl FnOnce() -> Result<Snapshot, Reply>,
    ) -> Result<Reply, Reply> {
        match query {
            SnapshotsQuery::List => Ok(Reply::ok(JSON, self.shelf().list())),
            SnapshotsQuery::Take(name) => self.take(name.as_ref(), &take()?),
            SnapshotsQuery::Fetch(moment) => {
                let file = match moment {
                    Moment::Now => written(&take()?)?.into(),
                    Moment::At { millis } => written(&snapshot_at(millis as f64 / 1e3)?)?.into(),
                    Moment::Kept(name) => self.file(&name)?,
                };
                let attachment = "attachment; filename=\"snapshot.heap\"";
                Ok(Reply::ok(PROTOBUF_GZIP, file).with(header::CONTENT_DISPOSITION, attachment))
            }
            SnapshotsQuery::Delete(name) => {
                let mut shelf = self.shelf();
                let place = shelf.find(name.as_str()).ok_or_else(|| unknown(&name))?;
                shelf.kept.remove(place);
                Ok(Reply::nothing())
            }
        }
    }

    /// The snapshot of a moment; `take` takes one of now.
    pub(super) fn snapshot(
        &self,
        moment: &Moment,
        take: impl FnOnce() -> Result<Snapshot, Reply>,
    ) -> Result<Snapshot, Reply> {
        match moment {
            Moment::Now => take(),
            Moment::At { millis } => snapshot_at(*millis as f64 / 1e3),
            Moment::Kept(name) => {
                Snapshot::read(&self.file(name)?[..]).map_err(|error| failure(&error))
            }
        }
    }

    fn file(&self, name: &Name) -> Result<Bytes, Reply> {
        let shelf = self.shelf();
        let place = shelf.find(name.as_str()).ok_or_else(|| unknown(name))?;
        Ok(shelf.kept[place].file.clone())
    }

    fn take(&self, name: Option<&Name>, snapshot: &Snapshot) -> Result<Reply, Reply> {
        // Finding names takes long; nobody waits for the shelf meanwhile.
        let file = written(snapshot)?;
        let mut shelf = self.shelf();
        let name_text = match name {
            Some(name) => name.as_str().to_owned(),
            None => shelf.next_name(),
        };
        if shelf.find(&name_text).is_some() {
            return Err(conflict(format!(
                "there is a snapshot named {name_text}: delete it first, or choose another name"
            )));
        }
        shelf.make_room(file.len())?;
        let taken = snapshot.info.taken.duration_since(UNIX_EPOCH);
        shelf.kept.push(Kept {
            named: name.is_some(),
            taken_seconds: taken.unwrap_or_default().as_millis() as f64 / 1e3,
            live_bytes: snapshot.top(By::Site).total().live_bytes,
            file: file.into(),
            name: name_text.clone(),
        });
        let body = serde_json::json!({ "name": name_text }).to_string() + "\n";
        let mut reply = Reply::ok(JSON, body).with_status(StatusCode::CREATED);
        // Relative to the list, below whatever prefix that is.
        if let Ok(place) = HeaderValue::try_from(format!("snapshots/{name_text}")) {
            reply.headers.push((header::LOCATION, place));
        }
        Ok(reply)
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The snapshot as a file.
fn written(snapshot: &Snapshot) -> Result<Vec<u8>, Reply> {
    let mut file = Vec::new();
    snapshot.write(&mut file).map_err(|error| failure(&error))?;
    Ok(file)
}

impl Shelf {
    fn find(&self, name: &str) -> Option<usize> {
        self.kept.iter().position(|kept| kept.name == name)
    }

    /// A name that nobody uses.
    fn next_name(&mut self) -> String {
        loop {
            self.unnamed += 1;
            let name = format!("unnamed-{}", self.unnamed);
            if self.find(&name).is_none() {
                return name;
            }
        }
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Reply> {
        let named = |kept: &&Kept| kept.named;
        let count = self.kept.iter().filter(named).count();
        let held: usize = self.kept.iter().filter(named).map(|k| k.file.len()).sum();
        if count >= MAX_KEPT || held + bytes > MAX_BYTES {
            return Err(conflict(format!(
                "no room: {count} named snapshots of {held} bytes are kept, and {MAX_KEPT} of {} MiB \
                 may be; DELETE {SNAPSHOTS}/NAME one",
                MAX_BYTES >> 20
            )));
        }
        let used = |kept: &[Kept]| kept.iter().map(|kept| kept.file.len()).sum::<usize>();
        while self.kept.len() >= MAX_KEPT || used(&self.kept) + bytes > MAX_BYTES {
            match self.kept.iter().position(|kept| !kept.named) {
                Some(oldest) => self.kept.remove(oldest),
                None => break,
            };
        }
        Ok(())
    }

    fn list(&self) -> String {
        let list = List {
            max_snapshots: MAX_KEPT,
            max_bytes: MAX_BYTES,
            snapshots: self.kept.iter().map(Kept::line).collect(),
        };
        // Plain structs of numbers and strings do not fail to serialise.
        serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"
    }
}

impl Kept {
    fn line(&self) -> Line<'_> {
        Line {
            name: &self.name,
            named: self.named,
            taken_seconds: self.taken_seconds,
            live_bytes: self.live_bytes,
            file_bytes: self.file.len(),
        }
    }
}

fn unknown(name: &Name) -> Reply {
    let line = format!(
        "no snapshot is named {}; {SNAPSHOTS} lists what is kept",
        name.as_str()
    );
    Reply::error(StatusCode::NOT_FOUND, line)
}

fn conflict(line: String) -> Reply {
    Reply::error(StatusCode::CONFLICT, line)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
