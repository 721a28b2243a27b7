//! Heap profiles of other tools → snapshots without error bars.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use super::texts::Texts;
use super::{MAX_FILE_NAME, MAX_PROFILE, format, plain};
use crate::Error;
use crate::report::pprof::decode::decode;
use crate::report::pprof::proto::{self, Profile};
use crate::snapshot::{
    AGE_BUCKETS, Facts, Frame, Info, Location, Module, Names, Origin, Site, Snapshot, Totals,
};
use crate::symbols::{cut, origin_of};

/// Each has texts of its own, and a process has hundreds.
const MAX_MAPPINGS: usize = 1 << 14;

pub(super) fn read(bytes: &[u8]) -> Result<Snapshot, Error> {
    let profile = decode(bytes, MAX_PROFILE)?;
    let columns = Columns::of(&profile)?;
    let mut builder = Builder::new(&profile)?;
    for sample in &profile.sample {
        builder.sample(sample, &columns)?;
    }
    Ok(builder.build(&columns))
}

/// Where the values of a sample are.
#[derive(Debug, Default)]
struct Columns {
    alloc_objects: Option<usize>,
    alloc_space: Option<usize>,
    inuse_objects: Option<usize>,
    inuse_space: Option<usize>,
}

impl Columns {
    fn of(profile: &Profile) -> Result<Columns, Error> {
        let mut columns = Columns::default();
        for (index, kind) in profile.sample_type.iter().enumerate() {
            let name = profile.string(kind.r#type);
            let column = match &*name {
                "alloc_objects" => &mut columns.alloc_objects,
                "alloc_space" => &mut columns.alloc_space,
                // Tools that tell live memory only leave the prefix out.
                "inuse_objects" | "objects" => &mut columns.inuse_objects,
                "inuse_space" | "space" => &mut columns.inuse_space,
                _ => return Err(not_heap(&name)),
            };
            if column.replace(index).is_some() {
                return Err(format(format_args!("the profile has {name} twice")));
            }
        }
        match (columns.inuse_space, columns.alloc_space) {
            (None, None) => Err(format(
                "this is not a heap profile: it has neither inuse_space nor alloc_space",
            )),
            _ => Ok(columns),
        }
    }
}

fn not_heap(name: &str) -> Error {
    let name: String = name.chars().take(40).collect();
    format(format_args!(
        "this is not a heap profile: it has {name:?}, and a heap profile has some of \
         inuse_objects, inuse_space, alloc_objects, alloc_space"
    ))
}

struct Builder {
    /// Place by id.
    modules: HashMap<u64, u32>,
    locations: HashMap<u64, u32>,
    /// Place by id: samples that differ in labels alone are one site.
    sites: HashMap<u64, usize>,
    snapshot: Snapshot,
    names: Vec<Arc<[Frame]>>,
    /// What stands for a location in site ids.
    parts: Vec<u64>,
}

impl Builder {
    fn new(profile: &Profile) -> Result<Self, Error> {
        let mut builder = Builder {
            modules: HashMap::new(),
            locations: HashMap::new(),
            sites: HashMap::new(),
            snapshot: Snapshot {
                info: info(profile),
                modules: Vec::new(),
                locations: Vec::new(),
                sites: Vec::new(),
                watched: None,
                names: OnceLock::new(),
            },
            names: Vec::new(),
            parts: Vec::new(),
        };
        if profile.mapping.len() > MAX_MAPPINGS {
            return Err(format(format_args!(
                "the profile has more than the {MAX_MAPPINGS} mappings that are read"
            )));
        }
        let mut strings = Strings::of(profile);
        for mapping in &profile.mapping {
            builder.module(mapping, &mut strings);
        }
        let mut texts = Texts::default();
        let functions: HashMap<u64, Frame> = (profile.function.iter())
            .map(|function| {
                let mut frame = frame(function, &mut strings);
                texts.share(&mut frame);
                (function.id, frame)
            })
            .collect();
        for location in &profile.location {
            builder.location(location, &functions)?;
        }
        Ok(builder)
    }

    fn module(&mut self, mapping: &proto::Mapping, strings: &mut Strings<'_>) {
        let build_id = strings.text(mapping.build_id).to_string();
        let place = self.snapshot.modules.len() as u32;
        self.modules.insert(mapping.id, place);
        self.snapshot.modules.push(Module {
            path: strings.text(mapping.filename).to_string(),
            build_id: (!build_id.is_empty()).then_some(build_id),
            start: mapping.memory_start,
            end: mapping.memory_limit,
            bias: mapping.memory_start.wrapping_sub(mapping.file_offset),
        });
    }

    fn location(
        &mut self,
        location: &proto::Location,
        functions: &HashMap<u64, Frame>,
    ) -> Result<(), Error> {
        let module = self.modules.get(&location.mapping_id).copied();
        let mut frames = Vec::with_capacity(location.line.len().max(1));
        for line in &location.line {
            let function = functions.get(&line.function_id).ok_or_else(|| {
                format(format_args!(
                    "the profile refers to function {}, which it does not have",
                    line.function_id
                ))
            })?;
            frames.push(Frame {
                line: u32::try_from(line.line).ok().filter(|line| *line > 0),
                ..function.clone()
            });
        }
        // All but the last are inlined into the next.
        let inlined = frames.len().saturating_sub(1);
        for frame in &mut frames[..inlined] {
            frame.inlined = true;
        }
        let part = if frames.is_empty() {
            let (text, part) = self.bare(location.address, module);
            frames.push(text);
            part
        } else {
            frames.iter().fold(SEED, |hash, frame| {
                let hash = hashed(hash, frame.function.as_bytes());
                hashed(hash, &frame.line.unwrap_or(0).to_le_bytes())
            })
        };
        let place = self.snapshot.locations.len() as u32;
        self.locations.insert(location.id, place);
        self.snapshot.locations.push(Location {
            // A profile has an address in the call, a snapshot the one behind it.
            address: location.address.wrapping_add(1),
            module,
        });
        self.names.push(frames.into());
        self.parts.push(part);
        Ok(())
    }

    /// A frame without a name, and what stands for it in site ids.
    fn bare(&self, address: u64, module: Option<u32>) -> (Frame, u64) {
        let module = module.and_then(|module| self.snapshot.modules.get(module as usize));
        let (file, key, offset) = match module {
            Some(module) => {
                let key = module.build_id.as_deref().unwrap_or(&module.path);
                (module.path.as_str(), key, address.wrapping_sub(module.bias))
            }
            None => ("", "", address),
        };
        let frame = Frame {
            function: match file.rsplit('/').next() {
                Some(name) if !name.is_empty() => {
                    let name = cut(name.to_owned(), MAX_FILE_NAME);
                    format!("{name}+{offset:#x}").into()
                }
                _ => format!("{offset:#x}").into(),
            },
            file: None,
            line: None,
            origin: Origin::Foreign,
            inlined: false,
        };
        let part = hashed(hashed(SEED, key.as_bytes()), &offset.to_le_bytes());
        (frame, part)
    }

    fn sample(&mut self, sample: &proto::Sample, columns: &Columns) -> Result<(), Error> {
        let mut id = SEED;
        let mut stack = Vec::with_capacity(sample.location_id.len());
        for location in &sample.location_id {
            let place = *self.locations.get(location).ok_or_else(|| {
                format(format_args!(
                    "the profile refers to location {location}, which it does not have"
                ))
            })?;
            id = hashed(id, &self.parts[place as usize].to_le_bytes());
            stack.push(place);
        }
        let totals = |objects: Option<usize>, bytes: Option<usize>| -> Result<Totals, Error> {
            Ok(Totals {
                objects: value(sample, objects)?,
                bytes: value(sample, bytes)?,
                ..Totals::default()
            })
        };
        let live = totals(columns.inuse_objects, columns.inuse_space)?;
        let allocated = match columns.alloc_space {
            Some(_) => totals(columns.alloc_objects, columns.alloc_space)?,
            None => live,
        };
        let sites = &mut self.snapshot.sites;
        let place = *self.sites.entry(id).or_insert_with(|| {
            sites.push(Site {
                id,
                stack: stack.into(),
                truncated: false,
                overflow: false,
                live: Totals::default(),
                allocated: Totals::default(),
                freed: Totals::default(),
                samples: 0,
                lifetimes: [0; AGE_BUCKETS],
                ages: [0; AGE_BUCKETS],
            });
            sites.len() - 1
        });
        let site = &mut sites[place];
        site.live += live;
        site.allocated += allocated;
        // Tools scale the two apart, so the difference may fall a little below zero.
        site.freed = Totals {
            objects: (site.allocated.objects - site.live.objects).max(0.0),
            bytes: (site.allocated.bytes - site.live.bytes).max(0.0),
            ..Totals::default()
        };
        Ok(())
    }

    fn build(mut self, columns: &Columns) -> Snapshot {
        let notes = &mut self.snapshot.info.notes;
        if columns.alloc_space.is_none() {
            notes.push("the profile tells live memory only; what was freed is not known".into());
        }
        if columns.inuse_space.is_none() {
            notes.push("the profile tells allocated memory only; what is live is not known".into());
        }
        self.snapshot.names = Names::known(self.names);
        self.snapshot
    }
}

/// The profile's texts, plain and cut, each made once.
struct Strings<'p> {
    profile: &'p Profile,
    known: HashMap<i64, Arc<str>>,
}

impl<'p> Strings<'p> {
    fn of(profile: &'p Profile) -> Self {
        Strings {
            profile,
            known: HashMap::new(),
        }
    }

    fn text(&mut self, place: i64) -> Arc<str> {
        let make = || plain(&self.profile.string(place)).into();
        self.known.entry(place).or_insert_with(make).clone()
    }
}

/// A frame of this function, without its line.
fn frame(function: &proto::Function, strings: &mut Strings<'_>) -> Frame {
    let name = strings.text(function.name);
    let file = strings.text(function.filename);
    Frame {
        origin: origin_of(&name, &file),
        function: name,
        file: (!file.is_empty()).then_some(file),
        line: None,
        inlined: false,
    }
}

fn value(sample: &proto::Sample, column: Option<usize>) -> Result<f64, Error> {
    let value = column.and_then(|column| sample.value.get(column).copied());
    match value {
        Some(..0) => Err(format(
            "the profile has negative values: it is a difference of two profiles, and no snapshot",
        )),
        value => Ok(value.unwrap_or(0) as f64),
    }
}

fn info(profile: &Profile) -> Info {
    let mut comments = profile.comment.iter();
    let said = comments.find_map(|comment| Said::read(&profile.string(*comment)));
    let said = said.unwrap_or(Said {
        samples: 0,
        watched_seconds: profile.duration_nanos.max(0) as f64 / 1e9,
        pid: 0,
    });
    Info {
        taken: UNIX_EPOCH + Duration::from_nanos(profile.time_nanos.max(0) as u64),
        watched_seconds: said.watched_seconds,
        interval_bytes: profile.period.max(0) as u64,
        // Nothing is known of what its samples missed.
        largest_interval_bytes: 0,
        live_interval_bytes: 0,
        was_off: false,
        samples: said.samples,
        dropped: Vec::new(),
        notes: Vec::new(),
        self_bytes: 0,
        pid: said.pid,
        profile_id: 0,
        error_bars: false,
        process: Facts::default(),
    }
}

/// What heapwatch's own profiles say of their process in a comment.
struct Said {
    samples: u64,
    watched_seconds: f64,
    pid: u32,
}

impl Said {
    /// `heapwatch: interval 524288 bytes, 93 samples, watched 750.0 s, pid 4242`
    fn read(comment: &str) -> Option<Said> {
        let mut parts = comment.strip_prefix("heapwatch: interval ")?.split(", ");
        let [_, samples, watched, pid] = std::array::from_fn(|_| parts.next().unwrap_or(""));
        let seconds = watched.strip_prefix("watched ")?.strip_suffix(" s")?;
        Some(Said {
            samples: samples.strip_suffix(" samples")?.parse().ok()?,
            watched_seconds: seconds.parse().ok().filter(|s| (0.0..1e10).contains(s))?,
            pid: pid.strip_prefix("pid ")?.parse().ok()?,
        })
    }
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every machine and in every version.
fn hashed(hash: u64, bytes: &[u8]) -> u64 {
    // What ends a text: two that follow each other must not run into one.
    let bytes = bytes.iter().chain(&[0xff]);
    bytes.fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
