//! Snapshot → `profile.proto` messages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use super::Pprof;
use super::delta::{Entry, entries};
use super::proto::{Function, Line, Location, Mapping, Profile, Sample, ValueType};
use crate::analyze::{Caller, pseudo_function};
use crate::report::text;
use crate::snapshot::{Frame, Module, Snapshot};
use crate::symbols;

pub(super) fn profile(pprof: &Pprof<'_>) -> Profile {
    let mut builder = Builder::new(pprof);
    builder.header(pprof);
    for module in &pprof.snapshot.modules {
        builder.mapping(module);
    }
    for entry in entries(pprof) {
        builder.sample(&entry);
    }
    builder.profile
}

/// Where a location of the profile comes from. Where a call site lies in code that std was inlined
/// into, the same address is written twice: whole, and without the frames inside of the call site.
#[derive(PartialEq, Eq, Hash)]
struct LocationKey {
    /// Of the earlier snapshot, whose sites are only written if the later one lacks them.
    earlier: bool,
    place: u32,
    skipped: usize,
}

struct Builder<'s> {
    snapshot: &'s Snapshot,
    symbolize: bool,
    profile: Profile,
    strings: HashMap<Cow<'s, str>, i64>,
    mappings: HashMap<(u64, u64), u64>,
    /// Whole locations of the snapshot by place, 0 if not written yet: nearly all that are asked for.
    whole: Vec<u64>,
    others: HashMap<LocationKey, u64>,
    functions: HashMap<(i64, i64), u64>,
    pseudo: HashMap<&'static str, u64>,
}

impl<'s> Builder<'s> {
    fn new(pprof: &Pprof<'s>) -> Self {
        let mut builder = Builder {
            snapshot: pprof.snapshot,
            symbolize: pprof.symbolize,
            profile: Profile::default(),
            strings: HashMap::new(),
            mappings: HashMap::new(),
            whole: vec![0; pprof.snapshot.locations.len()],
            others: HashMap::new(),
            functions: HashMap::new(),
            pseudo: HashMap::new(),
        };
        // The format wants the empty string first.
        builder.string("");
        builder
    }

    fn header(&mut self, pprof: &Pprof<'s>) {
        let types = [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ];
        self.profile.sample_type = types.map(|(name, unit)| self.value_type(name, unit)).into();
        self.profile.period_type = Some(self.value_type("space", "bytes"));
        let info = &pprof.snapshot.info;
        self.profile.period = info.interval_bytes as i64;
        self.profile.default_sample_type = self.string(pprof.default_sample_type.name());

        let began = pprof.since.map_or(info, |earlier| &earlier.info);
        let since_1970 = began.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.profile.time_nanos = i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX);
        let seconds = info.watched_seconds - began.watched_seconds;
        self.profile.duration_nanos = (seconds.max(0.0) * 1e9) as i64;
        let comments = comments(pprof).into_iter();
        self.profile.comment = comments.map(|line| self.string(line)).collect();
    }

    fn value_type(&mut self, name: &'static str, unit: &'static str) -> ValueType {
        ValueType {
            r#type: self.string(name),
            unit: self.string(unit),
        }
    }

    fn sample(&mut self, entry: &Entry<'s>) {
        let location_id = match pseudo_function(entry.site) {
            Some(name) => vec![self.pseudo_location(name)],
            None => self.stack(entry),
        };
        self.profile.sample.push(Sample {
            location_id,
            value: entry.values.into(),
            label: Vec::new(),
        });
    }

    /// The stack from the call site outwards.
    fn stack(&mut self, entry: &Entry<'s>) -> Vec<u64> {
        let stack = &entry.site.stack;
        if !self.symbolize {
            let ids = stack
                .iter()
                .map(|&place| self.location(entry.snapshot, place, 0));
            return ids.collect();
        }
        let call_site = Caller::of(entry.snapshot, entry.site).call_site;
        let (depth, inline) = call_site.map_or((0, 0), |step| (step.depth, step.inline));
        let mut skip = inline;
        stack[depth..]
            .iter()
            .map(|&place| self.location(entry.snapshot, place, std::mem::take(&mut skip)))
            .collect()
    }

    fn location(&mut self, snapshot: &'s Snapshot, place: u32, skipped: usize) -> u64 {
        let earlier = !std::ptr::eq(snapshot, self.snapshot);
        let id = if !earlier && skipped == 0 {
            &mut self.whole[place as usize]
        } else {
            let key = LocationKey {
                earlier,
                place,
                skipped,
            };
            self.others.entry(key).or_default()
        };
        if *id == 0 {
            *id = self.profile.location.len() as u64 + 1;
            self.new_location(snapshot, place, skipped)
        } else {
            *id
        }
    }

    fn new_location(&mut self, snapshot: &'s Snapshot, place: u32, skipped: usize) -> u64 {
        let location = &snapshot.locations[place as usize];
        let module = location
            .module
            .and_then(|m| snapshot.modules.get(m as usize));
        let mapping = module.map_or(0, |module| self.mapping(module));
        let id = self.profile.location.len() as u64 + 1;
        let line = if self.symbolize {
            let frames = &snapshot.frames(place)[skipped..];
            frames
                .iter()
                .map(|frame| self.line(frame, mapping))
                .collect()
        } else {
            Vec::new()
        };
        self.profile.location.push(Location {
            id,
            mapping_id: mapping,
            // The return address may already belong to the next line, or function.
            address: location.address.saturating_sub(1),
            line,
            is_folded: false,
        });
        id
    }

    /// A frame in a location, and what it shows of its mapping: where names or lines are missing,
    /// a reader that has the file may still look for them.
    fn line(&mut self, frame: &'s Frame, mapping: u64) -> Line {
        if let Some(mapping) = self
            .profile
            .mapping
            .get_mut((mapping as usize).wrapping_sub(1))
        {
            mapping.has_functions = true;
            mapping.has_filenames |= frame.file.is_some();
            mapping.has_line_numbers |= frame.line.is_some();
            mapping.has_inline_frames |= frame.line.is_some();
        }
        Line {
            function_id: self.function(&frame.function, frame.file.as_deref().unwrap_or("")),
            line: frame.line.unwrap_or(0).into(),
        }
    }

    fn function(&mut self, name: &'s str, file: &'s str) -> u64 {
        let (name, filename) = (self.string(name), self.string(file));
        let functions = &mut self.profile.function;
        *self.functions.entry((name, filename)).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            functions.push(Function {
                id,
                name,
                // `go tool pprof` takes a name that equals this one for C++ and strips `<…>` from it.
                system_name: 0,
                filename,
                start_line: 0,
            });
            id
        })
    }

    /// A location without an address, for what has no stack.
    fn pseudo_location(&mut self, name: &'static str) -> u64 {
        if let Some(&id) = self.pseudo.get(name) {
            return id;
        }
        let function_id = self.function(name, "");
        let id = self.profile.location.len() as u64 + 1;
        self.pseudo.insert(name, id);
        self.profile.location.push(Location {
            id,
            line: vec![Line {
                function_id,
                line: 0,
            }],
            ..Location::default()
        });
        id
    }

    fn mapping(&mut self, module: &'s Module) -> u64 {
        if let Some(&id) = self.mappings.get(&(module.start, module.end)) {
            return id;
        }
        let id = self.profile.mapping.len() as u64 + 1;
        self.mappings.insert((module.start, module.end), id);
        // Readers that look names up in the file take a mapping to be that of its code.
        let code = symbols::code(module);
        let mapping = Mapping {
            id,
            memory_start: code.map_or(module.start, |code| code.start),
            memory_limit: code.map_or(module.end, |code| code.end),
            file_offset: code.map_or(0, |code| code.file_offset),
            filename: self.string(&*module.path),
            build_id: self.string(module.build_id.as_deref().unwrap_or("")),
            ..Mapping::default()
        };
        self.profile.mapping.push(mapping);
        id
    }

    fn string(&mut self, text: impl Into<Cow<'s, str>>) -> i64 {
        let table = &mut self.profile.string_table;
        let entry = self.strings.entry(text.into());
        *entry.or_insert_with_key(|text| {
            table.push(text.as_bytes().to_vec());
            table.len() as i64 - 1
        })
    }
}

/// What limits the profile, one line each.
pub(super) fn comments(pprof: &Pprof<'_>) -> Vec<String> {
    let info = &pprof.snapshot.info;
    let mut lines = vec![format!(
        "heapwatch: interval {} bytes, {} samples, watched {:.1} s, pid {}",
        info.interval_bytes, info.samples, info.watched_seconds, info.pid
    )];
    lines.push(text::unseen(info));
    let dropped = info.dropped.iter();
    lines.extend(dropped.map(|d| format!("dropped: {} samples ({})", d.samples, d.reason)));
    lines.extend(info.notes.iter().map(|note| format!("note: {note}")));
    lines
}
