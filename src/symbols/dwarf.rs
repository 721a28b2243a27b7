//! Line tables and inlined functions of one object file.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use addr2line::gimli::{
    AbbreviationsCacheStrategy, AttributeValue, DW_AT_MIPS_linkage_name, DW_AT_abstract_origin,
    DW_AT_linkage_name, DW_AT_name, DW_AT_specification, DebugInfoOffset, Dwarf, Unit, UnitHeader,
    UnitOffset, UnitRef,
};
use addr2line::{Context, LookupResult};
use object::{SymbolMap, SymbolMapName};

use super::names::tidy;
use super::object::{Sections, Slice};
use super::origin::crate_of;
use super::paths::Sources;

/// References from one debugging entry to another are followed this far.
const MAX_REFERENCES: usize = 16;

/// So many functions tell the crate of a unit that does not name it.
const SYMBOLS_PER_UNIT: usize = 64;

/// A function at an address, in the words of DWARF.
pub(super) struct RawFrame<'a> {
    /// `DW_AT_name`.
    pub(super) name: Option<Cow<'a, str>>,
    /// Mangled name.
    pub(super) linkage: Option<Cow<'a, str>>,
    pub(super) file: Option<&'a str>,
    pub(super) line: Option<u32>,
    pub(super) inlined: bool,
}

/// Debug information of one object, parsed as far as addresses were looked up.
pub(super) struct DebugInfo<'a> {
    dwarf: Arc<Dwarf<Slice<'a>>>,
    context: Context<Slice<'a>>,
    headers: OnceCell<Vec<UnitHeader<Slice<'a>>>>,
    units: RefCell<HashMap<usize, Option<Rc<Unit<Slice<'a>>>>>>,
}

/// Both names of a function.
#[derive(Default)]
struct Names<'a> {
    name: Option<Slice<'a>>,
    linkage: Option<Slice<'a>>,
}

impl<'a> DebugInfo<'a> {
    /// Reads the list of units; `None` if it is damaged.
    pub(super) fn new(
        sections: &'a Sections<'a>,
        endian: addr2line::gimli::RunTimeEndian,
    ) -> Option<Self> {
        let mut dwarf = sections.borrow(|section| Slice::new(section, endian));
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let dwarf = Arc::new(dwarf);
        let context = Context::from_arc_dwarf(dwarf.clone()).ok()?;
        Some(DebugInfo {
            dwarf,
            context,
            headers: OnceCell::new(),
            units: RefCell::default(),
        })
    }

    /// The crates that the object was compiled from.
    pub(super) fn sources(&self, symbols: &SymbolMap<SymbolMapName<'_>>) -> Sources {
        let mut sources = Sources::default();
        for header in self.headers() {
            let Ok(unit) = self.dwarf.unit(*header) else {
                continue;
            };
            sources.split |= unit.dwo_id.is_some();
            if let Some(name) = unit.name {
                let directory = unit.comp_dir.map(|slice| slice.to_string_lossy());
                let directory = directory.as_deref().unwrap_or("");
                sources.add_unit(&name.to_string_lossy(), directory, || {
                    self.crates(&unit, symbols.symbols())
                });
            }
        }
        sources.settle(|text| {
            symbols
                .symbols()
                .iter()
                .any(|symbol| symbol.name().contains(text))
        });
        sources
    }

    /// The crates that the names of a unit's first functions begin with; `symbols` in the order of
    /// their addresses.
    fn crates(&self, unit: &Unit<Slice<'a>>, symbols: &[SymbolMapName<'_>]) -> Vec<String> {
        let mut crates = Vec::new();
        let Ok(mut ranges) = self.dwarf.unit_ranges(unit) else {
            return crates;
        };
        while let Ok(Some(range)) = ranges.next() {
            let from = symbols.partition_point(|symbol| symbol.address() < range.begin);
            let inside = symbols[from..].iter();
            for symbol in inside.take_while(|symbol| symbol.address() < range.end) {
                if crates.len() == SYMBOLS_PER_UNIT {
                    return crates;
                }
                crates.extend(crate_of(&tidy(symbol.name())).map(str::to_owned));
            }
        }
        crates
    }

    /// The functions at an address, innermost first; empty if there is nothing, or it is damaged.
    ///
    /// Empty, too, where the functions are in another file (split DWARF): the lines that are left in this one
    /// are those of inlined functions, and would be told of the function that they were inlined into.
    pub(super) fn frames(&self, address: u64) -> Vec<RawFrame<'_>> {
        let mut frames = Vec::new();
        let (LookupResult::Output(unit), LookupResult::Output(Ok(mut found))) = (
            self.context.find_dwarf_and_unit(address),
            self.context.find_frames(address),
        ) else {
            return frames;
        };
        while let Ok(Some(frame)) = found.next() {
            let names = match (unit, frame.dw_die_offset) {
                (Some(unit), Some(offset)) => self.names(unit, offset),
                _ => Names::default(),
            };
            let location = frame.location.as_ref();
            frames.push(RawFrame {
                name: names.name.map(|name| name.to_string_lossy()),
                linkage: names.linkage.map(|name| name.to_string_lossy()),
                file: location.and_then(|location| location.file),
                line: location.and_then(|location| location.line),
                inlined: true,
            });
        }
        if let Some(outermost) = frames.last_mut() {
            outermost.inlined = false;
        }
        frames
    }

    /// Names of a function, from its entry or those that it refers to. `addr2line` alone gives one
    /// of the two: the linkage name, which under legacy mangling lacks the generic arguments.
    fn names(&self, unit: UnitRef<'_, Slice<'a>>, offset: UnitOffset) -> Names<'a> {
        let mut names = Names::default();
        self.collect_names(unit, offset, &mut names, MAX_REFERENCES);
        names
    }

    fn collect_names(
        &self,
        unit: UnitRef<'_, Slice<'a>>,
        offset: UnitOffset,
        names: &mut Names<'a>,
        references: usize,
    ) {
        let Ok(entry) = unit.entry(offset) else {
            return;
        };
        let text = |attribute| {
            let value = entry.attr_value(attribute)?;
            unit.attr_string(value).ok()
        };
        let linkage = || text(DW_AT_linkage_name).or_else(|| text(DW_AT_MIPS_linkage_name));
        names.name = names.name.or_else(|| text(DW_AT_name));
        names.linkage = names.linkage.or_else(linkage);
        if names.name.is_some() && names.linkage.is_some() || references == 0 {
            return;
        }
        let target = entry
            .attr_value(DW_AT_abstract_origin)
            .or_else(|| entry.attr_value(DW_AT_specification));
        match target {
            Some(AttributeValue::UnitRef(offset)) => {
                self.collect_names(unit, offset, names, references - 1);
            }
            // Another unit: what link-time optimisation inlines across crates.
            Some(AttributeValue::DebugInfoRef(offset)) => {
                if let Some((unit, offset)) = self.unit_at(offset) {
                    let unit = UnitRef::new(&self.dwarf, &unit);
                    self.collect_names(unit, offset, names, references - 1);
                }
            }
            _ => {}
        }
    }

    fn unit_at(&self, offset: DebugInfoOffset) -> Option<(Rc<Unit<Slice<'a>>>, UnitOffset)> {
        let headers = self.headers();
        let start = |header: &UnitHeader<Slice<'a>>| header.debug_info_offset();
        let index = headers
            .partition_point(|header| start(header).is_some_and(|start| start <= offset))
            .checked_sub(1)?;
        let header = &headers[index];
        let unit = self
            .units
            .borrow_mut()
            .entry(index)
            .or_insert_with(|| self.dwarf.unit(*header).ok().map(Rc::new))
            .clone()?;
        Some((unit, offset.to_unit_offset(header)?))
    }

    /// All units, in the order of the section.
    fn headers(&self) -> &[UnitHeader<Slice<'a>>] {
        self.headers.get_or_init(|| {
            let mut headers = Vec::new();
            let mut units = self.dwarf.units();
            while let Ok(Some(header)) = units.next() {
                headers.push(header);
            }
            headers
        })
    }
}
