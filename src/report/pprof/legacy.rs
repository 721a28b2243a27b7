//! The text form that pprof's first readers knew and Go still writes for people.

use std::fmt::{self, Write};

use super::Pprof;
use super::build::comments;
use super::delta::{Entry, entries};
use crate::analyze::{pseudo_function, source, visible};

pub(super) fn text(pprof: &Pprof<'_>) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut out, pprof);
    out
}

fn write(out: &mut String, pprof: &Pprof<'_>) -> fmt::Result {
    let entries = entries(pprof);
    let mut total = [0; 4];
    for entry in &entries {
        for (sum, value) in total.iter_mut().zip(entry.values) {
            *sum = i64::saturating_add(*sum, value);
        }
    }
    let [alloc_objects, alloc_bytes, objects, bytes] = total;
    // Twice a period of one byte: the values are complete as they stand.
    writeln!(
        out,
        "heap profile: {objects}: {bytes} [{alloc_objects}: {alloc_bytes}] @ heap/2"
    )?;
    for entry in &entries {
        sample(out, entry, pprof.symbolize)?;
    }
    for line in comments(pprof) {
        writeln!(out, "# {line}")?;
    }
    Ok(())
}

fn sample(out: &mut String, entry: &Entry<'_>, symbolize: bool) -> fmt::Result {
    let [alloc_objects, alloc_bytes, objects, bytes] = entry.values;
    write!(out, "{objects}: {bytes} [{alloc_objects}: {alloc_bytes}] @")?;
    let address = |place: u32| entry.snapshot.locations[place as usize].address;
    for &place in &entry.site.stack {
        write!(out, " {:#x}", address(place))?;
    }
    writeln!(out)?;
    if let Some(name) = pseudo_function(entry.site) {
        writeln!(out, "#\t{name}")?;
    } else if symbolize {
        for &place in &entry.site.stack {
            for frame in visible(entry.snapshot.frames(place)) {
                let source = source(frame).unwrap_or_default();
                writeln!(
                    out,
                    "#\t{:#x}\t{}\t{source}",
                    address(place),
                    frame.function
                )?;
            }
        }
    }
    writeln!(out)
}
