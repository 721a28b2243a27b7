//! A snapshot from the screen into a file.

use std::time::UNIX_EPOCH;

use heapwatch::Snapshot;

use crate::failure::Failure;
use crate::output::Output;

/// Writes the snapshot into the current folder under a name of its own; returns what to tell.
pub(super) fn save(snapshot: &Snapshot) -> String {
    let name = name(snapshot);
    match write(snapshot, &name) {
        Ok(()) => format!("saved as {name}"),
        Err(failure) => format!("not saved: {failure}"),
    }
}

fn write(snapshot: &Snapshot, name: &str) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    snapshot.write(&mut bytes)?;
    let file = Output::File {
        path: name.into(),
        force: false,
    };
    file.bytes(&bytes)
}

/// By the process and the moment, so that no two are alike and a listing is in order.
fn name(snapshot: &Snapshot) -> String {
    let info = snapshot.info();
    let since = info.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("heapwatch-{}-{}.json.gz", info.pid, since.as_millis())
}
