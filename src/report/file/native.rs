//! Our own format.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::growth::{growth_in, growth_out};
use super::schema::{self, FORMAT, File, Preamble, VERSION};
use super::texts::Texts;
use super::{MAX_UNPACKED, format, plain};
use crate::Error;
use crate::snapshot::{AGE_BUCKETS, Frame, Info, Location, Module, Names, Site, Snapshot, Totals};

/// Most of any sum; what is larger cannot be true, and its square would still be finite.
const MAX_SUM: f64 = 1e60;

/// Less than any sum that is not 0: honest ones are whole multiples of 2^-20.
const MIN_SUM: f64 = 1e-7;

/// Most samples of a site, or dropped for a reason: those of all can then be counted.
const MAX_SAMPLES: u64 = 1 << 45;

/// Most of any time, in seconds: what is longer cannot be true, and does not fit into a `Duration`.
const MAX_SECONDS: f64 = 1e12;

/// Characters of an error's text: it may quote what it found.
const MAX_REASON: usize = 160;

pub(super) fn write(snapshot: &Snapshot, to: impl Write) -> Result<(), Error> {
    let mut gzip = GzEncoder::new(to, Compression::fast());
    serde_json::to_writer(&mut gzip, &file(snapshot)).map_err(io::Error::from)?;
    gzip.finish()?.flush()?;
    Ok(())
}

fn file(snapshot: &Snapshot) -> File {
    let mut frames = Vec::new();
    let mut known: HashMap<&Frame, u32> = HashMap::new();
    let mut locations = Vec::with_capacity(snapshot.locations.len());
    for (place, location) in (0..).zip(&snapshot.locations) {
        let module = location
            .module
            .and_then(|m| snapshot.modules.get(m as usize));
        let indices = snapshot.frames(place).iter().map(|frame| {
            *known.entry(frame).or_insert_with(|| {
                frames.push(frame.clone());
                frames.len() as u32 - 1
            })
        });
        locations.push(schema::Location {
            module: location.module,
            offset: location
                .address
                .wrapping_sub(module.map_or(0, |module| module.bias)),
            frames: indices.collect(),
        });
    }
    File {
        format: FORMAT.to_owned(),
        version: VERSION,
        info: snapshot.info.clone(),
        modules: snapshot.modules.clone(),
        frames,
        locations,
        sites: snapshot.sites.iter().map(site_out).collect(),
        missing_names: snapshot.missing_names().iter().take(100).cloned().collect(),
        growth: snapshot.watched.as_deref().map(growth_out),
    }
}

fn site_out(site: &Site) -> schema::Site {
    schema::Site {
        id: site.id,
        stack: site.stack.to_vec(),
        truncated: site.truncated,
        overflow: site.overflow,
        live: site.live,
        allocated: site.allocated,
        freed: site.freed,
        samples: site.samples,
        lifetimes: without_zeros(&site.lifetimes),
        ages: without_zeros(&site.ages),
    }
}

fn without_zeros(buckets: &[u32]) -> Vec<u32> {
    let used = buckets.iter().rposition(|count| *count > 0);
    buckets[..used.map_or(0, |last| last + 1)].to_vec()
}

/// Reads twice from the start: what the file is, and then the whole of it.
pub(super) fn read<R: Read>(open: impl Fn() -> R) -> Result<Snapshot, Error> {
    let preamble: Preamble = parse(open())?;
    if preamble.format != FORMAT {
        return Err(format(format_args!(
            "this JSON is not a heapwatch snapshot: its \"format\" must be {FORMAT:?}"
        )));
    }
    if preamble.version != VERSION {
        return Err(format(format_args!(
            "the snapshot has version {} of the format, and this heapwatch reads version {VERSION}; \
             use a newer heapwatch",
            preamble.version
        )));
    }
    snapshot(parse(open())?)
}

fn parse<T: serde::de::DeserializeOwned>(from: impl Read) -> Result<T, Error> {
    let mut limited = from.take(MAX_UNPACKED);
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(&mut limited));
    let parsed = T::deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    drop(json);
    parsed.map_err(|error| {
        if limited.limit() == 0 {
            return format(format_args!(
                "the snapshot takes more than the {} MiB unpacked that are read",
                MAX_UNPACKED >> 20
            ));
        }
        let why = match error.classify() {
            serde_json::error::Category::Eof => "is it cut off?",
            serde_json::error::Category::Io => "the gzip data are damaged or cut off",
            _ => "it is damaged, or no heapwatch snapshot",
        };
        format(format_args!(
            "the snapshot cannot be read: {why} ({})",
            one_line(&error.to_string())
        ))
    })
}

fn one_line(text: &str) -> String {
    let mut line: String = plain(text).chars().take(MAX_REASON).collect();
    if text.chars().nth(MAX_REASON).is_some() {
        line.push('…');
    }
    line
}

fn snapshot(mut file: File) -> Result<Snapshot, Error> {
    let mut frames = file.frames;
    let mut texts = Texts::default();
    frames.iter_mut().for_each(|frame| texts.share(frame));
    file.modules.iter_mut().for_each(tidy_module);
    tidy_info(&mut file.info);
    file.missing_names.iter_mut().for_each(tidy);
    let mut names = Vec::with_capacity(file.locations.len());
    let mut locations = Vec::with_capacity(file.locations.len());
    for location in &file.locations {
        let found = location
            .frames
            .iter()
            .map(|index| get(&frames, *index, "frame").cloned());
        names.push(found.collect::<Result<Arc<[Frame]>, Error>>()?);
        let bias = match location.module {
            Some(module) => get(&file.modules, module, "module")?.bias,
            None => 0,
        };
        locations.push(Location {
            address: location.offset.wrapping_add(bias),
            module: location.module,
        });
    }
    let sites = file.sites.into_iter().map(|site| site_in(site, &locations));
    let sites = sites.collect::<Result<Vec<_>, Error>>()?;
    let watched = match file.growth {
        Some(growth) => Some(Box::new(growth_in(growth, sites.len())?)),
        None => None,
    };
    if let Some(dropped) = (file.info.dropped.iter()).find(|one| one.samples > MAX_SAMPLES) {
        return Err(format(format_args!(
            "the snapshot dropped {} samples, which cannot be",
            dropped.samples
        )));
    }
    if !(0.0..=MAX_SECONDS).contains(&file.info.watched_seconds) {
        return Err(format("the snapshot's watched_seconds is out of range"));
    }
    Ok(Snapshot {
        info: file.info,
        modules: file.modules,
        locations,
        sites,
        watched,
        names: OnceLock::from(Names {
            frames: names,
            lasting: true,
            missing: file.missing_names,
        }),
    })
}

fn get<'l, T>(list: &'l [T], index: u32, what: &str) -> Result<&'l T, Error> {
    list.get(index as usize).ok_or_else(|| {
        format(format_args!(
            "the snapshot refers to {what} {index}, but has {}",
            list.len()
        ))
    })
}

fn site_in(site: schema::Site, locations: &[Location]) -> Result<Site, Error> {
    for &location in &site.stack {
        get(locations, location, "location")?;
    }
    for totals in [&site.live, &site.allocated, &site.freed] {
        check(totals, site.id)?;
    }
    if site.samples > MAX_SAMPLES {
        return Err(cannot_be(site.id, site.samples));
    }
    Ok(Site {
        id: site.id,
        stack: site.stack.into(),
        truncated: site.truncated,
        overflow: site.overflow,
        live: site.live,
        allocated: site.allocated,
        freed: site.freed,
        samples: site.samples,
        lifetimes: buckets(&site.lifetimes)?,
        ages: buckets(&site.ages)?,
    })
}

fn check(totals: &Totals, site: u64) -> Result<(), Error> {
    let Totals {
        objects,
        bytes,
        objects_variance,
        bytes_variance,
    } = *totals;
    for value in [objects, bytes, objects_variance, bytes_variance] {
        if value != 0.0 && !(MIN_SUM..=MAX_SUM).contains(&value) {
            return Err(cannot_be(site, format_args!("{value:e}")));
        }
    }
    Ok(())
}

fn cannot_be(site: u64, value: impl std::fmt::Display) -> Error {
    format(format_args!(
        "a counter of site {site:016x} is {value}, which cannot be"
    ))
}

fn buckets(counts: &[u32]) -> Result<[u32; AGE_BUCKETS], Error> {
    let mut buckets = [0; AGE_BUCKETS];
    let room = buckets.get_mut(..counts.len()).ok_or_else(|| {
        format(format_args!(
            "a histogram of the snapshot has {} buckets, and at most {AGE_BUCKETS} may be",
            counts.len()
        ))
    })?;
    room.copy_from_slice(counts);
    Ok(buckets)
}

fn tidy(text: &mut String) {
    if let Cow::Owned(tidied) = plain(text) {
        *text = tidied;
    }
}

fn tidy_module(module: &mut Module) {
    tidy(&mut module.path);
    module.build_id.iter_mut().for_each(tidy);
}

fn tidy_info(info: &mut Info) {
    info.notes.iter_mut().for_each(tidy);
    for text in [&mut info.process.os, &mut info.process.arch] {
        tidy(text.to_mut());
    }
    for dropped in &mut info.dropped {
        tidy(dropped.reason.to_mut());
    }
}
