//! All addresses of one module at once.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use super::object::code;

use super::Resolved;
use super::dwarf::{DebugInfo, RawFrame};
use super::lack::Lack;
use super::names;
use super::object::{Files, Opener, endian, is_rust, sections};
use super::offsets::{offset_frame, offset_name};
use super::origin::{Packages, is_shim, origin};
use super::paths::{Source, Sources};
use crate::snapshot::{Frame, Module, Origin};
use object::{File, Object as _, SymbolMap, SymbolMapName};

/// What was parsed is dropped after so many addresses. It grows with every unit that is looked
/// into, to several times the file's size; reading the list of units again costs milliseconds.
const ADDRESSES_PARSED: usize = 2048;

/// Finds the frames at addresses of one module, given as the object file states them. What was
/// opened and parsed is dropped before this returns.
pub(super) fn resolve(module: &Module, addresses: &[u64]) -> Resolved {
    let opener = Opener::default();
    let found =
        Files::open(module, &opener).and_then(|files| resolve_in(module, &files, addresses));
    let (frames, lack) = found.unwrap_or_else(|| {
        let frame = |address: &u64| vec![offset_frame(module, *address)];
        (addresses.iter().map(frame).collect(), None)
    });
    Resolved {
        frames,
        lasting: !opener.ran_short(),
        lack,
    }
}

type Found = (Vec<Vec<Frame>>, Option<Lack>);

pub(super) fn resolve_in(module: &Module, files: &Files, addresses: &[u64]) -> Option<Found> {
    let object = files.object()?;
    let debug = files.debug_object()?;
    let sections = sections(&debug);
    let parse = || DebugInfo::new(sections.as_ref()?, endian(&debug));
    let mut symbols = debug.symbol_map();
    if symbols.symbols().is_empty() {
        symbols = object.symbol_map();
    }
    let mut info = parse();
    let sources = info.as_ref().map(|info| info.sources(&symbols));
    let lack = lack(&object, symbols.symbols().is_empty(), sources.as_ref());
    let mut namer = Namer {
        module,
        symbols,
        sources: sources.unwrap_or_default(),
        read: HashMap::new(),
        texts: HashSet::new(),
        packages: OnceCell::new(),
        object: &object,
    };
    let mut frames = Vec::with_capacity(addresses.len());
    for chunk in addresses.chunks(ADDRESSES_PARSED) {
        if info.is_none() {
            info = parse();
        }
        frames.extend(chunk.iter().map(|address| {
            let raw = info.as_ref().map(|info| info.frames(*address));
            namer.frames(*address, raw.unwrap_or_default())
        }));
        info = None;
    }
    Some((frames, lack))
}

/// What a file that rustc made does not hold, with its debug file if it has one.
fn lack(object: &File<'_>, no_symbols: bool, sources: Option<&Sources>) -> Option<Lack> {
    if !is_rust(object) || sources.is_some_and(Sources::knows_more_than_std) {
        return None;
    }
    Some(match sources {
        Some(sources) if sources.split => Lack::Split,
        _ if no_symbols => Lack::Symbols,
        _ => Lack::Lines,
    })
}

/// Makes frames that people can read of what one object file says.
struct Namer<'a> {
    module: &'a Module,
    symbols: SymbolMap<SymbolMapName<'a>>,
    sources: Sources,
    read: HashMap<String, Rc<Source>>,
    /// Texts of the frames made so far.
    texts: HashSet<Arc<str>>,
    /// Read when a function without line tables is met.
    packages: OnceCell<Packages>,
    object: &'a File<'a>,
}

impl Namer<'_> {
    fn frames(&mut self, address: u64, raw: Vec<RawFrame<'_>>) -> Vec<Frame> {
        if raw.is_empty() {
            return vec![self.symbol_frame(address)];
        }
        let mut frames: Vec<Frame> = Vec::with_capacity(raw.len());
        // From the outside in: a closure's name is found in its caller's.
        for raw in raw.into_iter().rev() {
            let frame = self.frame(address, raw, frames.last());
            frames.push(frame);
        }
        frames.reverse();
        frames
    }

    fn frame(&mut self, address: u64, raw: RawFrame<'_>, caller: Option<&Frame>) -> Frame {
        let source = raw.file.map(|file| self.source(file));
        let symbol = match raw.linkage.as_deref() {
            None if !raw.inlined => self.symbol(address),
            linkage => linkage,
        };
        let function = match names::merge(symbol, raw.name.as_deref()) {
            Some(name) if symbol.is_none() => qualify(name, source.as_deref(), caller),
            Some(name) => name,
            None => offset_name(self.module, address),
        };
        Frame {
            origin: self.origin(&function, source.as_deref()),
            function: self.share(function),
            file: source.map(|source| source.path.clone()),
            // Line 0 stands for code that the compiler made.
            line: raw.line.filter(|line| *line > 0),
            inlined: raw.inlined,
        }
    }

    /// A frame without line tables.
    fn symbol_frame(&mut self, address: u64) -> Frame {
        match names::merge(self.symbol(address), None) {
            Some(function) => Frame {
                origin: self.origin(&function, None),
                function: self.share(function),
                file: None,
                line: None,
                inlined: false,
            },
            None => offset_frame(self.module, address),
        }
    }

    fn symbol(&self, address: u64) -> Option<&str> {
        let symbol = self.symbols.containing(address)?;
        Some(symbol.name()).filter(|name| !name.is_empty())
    }

    fn origin(&self, function: &str, source: Option<&Source>) -> Origin {
        origin(function, source, || {
            self.packages.get_or_init(|| Packages::of(self.object))
        })
    }

    /// One copy of equal names.
    fn share(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(text.as_str()) {
            return known.clone();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }

    fn source(&mut self, file: &str) -> Rc<Source> {
        if let Some(source) = self.read.get(file) {
            return source.clone();
        }
        let source = Rc::new(self.sources.source(&names::escaped(file)));
        self.read.insert(file.into(), source.clone());
        source
    }
}

/// Completes the bare name of an inlined function: a closure from its caller, others with crate
/// and module.
fn qualify(name: String, source: Option<&Source>, caller: Option<&Frame>) -> String {
    match source.and_then(|source| source.module.as_deref()) {
        Some(module) if !is_shim(&name) => caller
            .and_then(|caller| names::closure_path(&name, module, &caller.function))
            .unwrap_or_else(|| format!("{module}::{name}")),
        _ => name,
    }
}
