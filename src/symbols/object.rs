//! Object files on disk: found for a loaded module, known to be the same, mapped while in use.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use addr2line::gimli::{DwarfSections, EndianSlice, RunTimeEndian, SectionId};
use memmap2::Mmap;
use object::{Object as _, ObjectSection as _, ObjectSegment as _, SegmentFlags};

use super::Code;
use crate::process::{WORK_BYTES, check_room};
use crate::snapshot::Module;

/// Compressed debug sections that would grow beyond this are not read.
const MAX_UNCOMPRESSED: u64 = 1 << 30;

/// Sections of DWARF as read from a file: in place, or uncompressed.
pub(super) type Sections<'a> = DwarfSections<Cow<'a, [u8]>>;
/// What the DWARF reader reads from.
pub(super) type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Opens files, and remembers whether one that is there could not be had at the moment.
#[derive(Default)]
pub(super) struct Opener {
    short: Cell<bool>,
}

impl Opener {
    /// Whether descriptors or memory ran out: another time more may be found.
    pub(super) fn ran_short(&self) -> bool {
        self.short.get()
    }

    fn map(&self, path: &Path) -> Option<Mmap> {
        self.note(map(path))?
    }

    fn note<T>(&self, result: io::Result<T>) -> Option<T> {
        let passing = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN];
        let is_passing = |error: &io::Error| passing.map(Some).contains(&error.raw_os_error());
        if result.as_ref().is_err_and(is_passing) {
            self.short.set(true);
        }
        result.ok()
    }
}

/// A module's file, and its separate debug file where there is one.
pub(super) struct Files {
    module: Mmap,
    debug: Option<Mmap>,
}

impl Files {
    /// Maps the file that a module was loaded from. `None` if it is gone, or if it is not known to
    /// be the same file: names of another build would be wrong names.
    pub(super) fn open(module: &Module, opener: &Opener) -> Option<Files> {
        // The link reaches the executable also when it was replaced or removed on disk.
        let paths = [Path::new(&module.path), Path::new("/proc/self/exe")];
        let (path, bytes) = paths
            .into_iter()
            .filter_map(|path| Some((path, opener.map(path)?)))
            .find(|(path, bytes)| is_loaded_from(module, path, bytes, opener))?;
        let debug = parse(&bytes).and_then(|object| debug_file(&object, path, opener));
        Some(Files {
            module: bytes,
            debug,
        })
    }

    /// Maps a file that names are to be taken from.
    pub(super) fn at(path: &Path) -> io::Result<Files> {
        let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "this is not a file");
        let module = map(path)?.ok_or_else(no_file)?;
        let opener = Opener::default();
        let debug = parse(&module).and_then(|object| debug_file(&object, path, &opener));
        Ok(Files { module, debug })
    }

    /// The build id in hex.
    pub(super) fn build_id(&self) -> Option<String> {
        self.object()?.build_id().ok().flatten().map(hex)
    }

    /// The bias of a module whose own tells places in the file, and not the addresses that the file states.
    /// `None` if the file has no code, as separate debug files.
    pub(super) fn bias(&self, module: &Module) -> Option<u64> {
        let object = self.object()?;
        let segment = code_segment(&object)?;
        let (in_file, size) = segment.file_range();
        let bias = module.bias.wrapping_add(in_file);
        (size > 0).then(|| bias.wrapping_sub(segment.address()))
    }

    /// The module's own file.
    pub(super) fn object(&self) -> Option<object::File<'_>> {
        parse(&self.module)
    }

    /// The file with the debug information: a separate one, or the module's own.
    pub(super) fn debug_object(&self) -> Option<object::File<'_>> {
        parse(self.debug.as_ref().unwrap_or(&self.module))
    }
}

/// Where a module's code is. `None` if its file is gone or not known to be the same.
pub(crate) fn code(module: &Module) -> Option<Code> {
    let files = Files::open(module, &Opener::default())?;
    let object = files.object()?;
    let segment = code_segment(&object)?;
    let before = segment.address() % segment.align().max(1);
    let start = module.bias.wrapping_add(segment.address() - before);
    Some(Code {
        start,
        end: start.checked_add(before + segment.size())?,
        file_offset: segment.file_range().0.checked_sub(before)?,
    })
}

fn code_segment<'o, 'd>(object: &'o object::File<'d>) -> Option<object::Segment<'d, 'o>> {
    object.segments().find(|segment| match segment.flags() {
        SegmentFlags::Elf { p_flags, .. } => p_flags.contains(object::elf::PF_X),
        _ => false,
    })
}

/// Reads the DWARF sections; `None` if there are none, or they are damaged or too large.
pub(super) fn sections<'a>(object: &object::File<'a>) -> Option<Sections<'a>> {
    let mut budget = MAX_UNCOMPRESSED;
    let mut load = |id: SectionId| -> Option<Cow<'a, [u8]>> {
        let Some(section) = object.section_by_name(id.name()) else {
            return Some(Cow::Borrowed(&[]));
        };
        let data = section.compressed_data().ok()?;
        if data.format != object::CompressionFormat::None {
            budget = budget.checked_sub(data.uncompressed_size)?;
            has_room(data.uncompressed_size).ok()?;
        }
        data.decompress().ok()
    };
    object.section_by_name(".debug_info")?;
    DwarfSections::load(|id| load(id).ok_or(())).ok()
}

/// Whether rustc made some of a file. Nobody misses the names in a C library.
pub(super) fn is_rust(object: &object::File<'_>) -> bool {
    const MARK: &[u8] = b"rustc version";
    let comment = object.section_by_name(".comment");
    comment
        .and_then(|section| section.data().ok())
        .is_some_and(|text| text.windows(MARK.len()).any(|part| part == MARK))
}

/// Byte order of an object.
pub(super) fn endian(object: &object::File<'_>) -> RunTimeEndian {
    if object.is_little_endian() {
        RunTimeEndian::Little
    } else {
        RunTimeEndian::Big
    }
}

fn parse(bytes: &Mmap) -> Option<object::File<'_>> {
    object::File::parse(&**bytes).ok()
}

/// `None` if it is not a file.
fn map(path: &Path) -> io::Result<Option<Mmap>> {
    // Opening anything else, such as a pipe, might wait.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    has_room(metadata.len())?;
    let file = File::open(path)?;
    // SAFETY: the mapping is private and read only, and the bytes must not change while it is
    // there. The file is, or is about to be compared with, one that is loaded and executed from in
    // this process, or its debug file: package managers and linkers replace such files, they do
    // not write into them, and the kernel forbids it for the executable. Whoever truncates a
    // loaded library has killed the process with or without this mapping.
    unsafe { Mmap::map(&file) }.map(Some)
}

/// An error unless there is room for so much of a file and for what is made of it, which takes about
/// as much again, in two reports at once.
fn has_room(bytes: u64) -> io::Result<()> {
    let room = bytes.saturating_mul(4).saturating_add(WORK_BYTES);
    check_room(room).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Whether a module was loaded from this file: same build id, or, where it has none, the kernel
/// still knows the mapping by this path.
fn is_loaded_from(module: &Module, path: &Path, bytes: &Mmap, opener: &Opener) -> bool {
    let Some(object) = parse(bytes) else {
        return false;
    };
    let in_file = object.build_id().ok().flatten().map(hex);
    match (&module.build_id, in_file) {
        (Some(loaded), Some(in_file)) => loaded.eq_ignore_ascii_case(&in_file),
        (None, None) => mapped_path(module.start, opener)
            .zip(fs::canonicalize(path).ok())
            .is_some_and(|(mapped, path)| mapped == path),
        _ => false,
    }
}

/// The path that is mapped at an address of this process. Of a file that was removed or replaced
/// the kernel says so in the path, which then matches none.
fn mapped_path(address: u64, opener: &Opener) -> Option<PathBuf> {
    let maps = opener.note(fs::read_to_string("/proc/self/maps"))?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        let path = &rest[rest.find('/')?..];
        (start..end).contains(&address).then(|| path.into())
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The separate debug file of a stripped object, by build id or by `.gnu_debuglink`.
fn debug_file(object: &object::File<'_>, path: &Path, opener: &Opener) -> Option<Mmap> {
    if object.section_by_name(".debug_info").is_some() {
        return None;
    }
    by_build_id(object, opener).or_else(|| by_debuglink(object, path, opener))
}

fn by_build_id(object: &object::File<'_>, opener: &Opener) -> Option<Mmap> {
    let id = object.build_id().ok().flatten()?;
    let name = hex(id);
    let (folder, file) = name.split_at_checked(2)?;
    let path = format!("/usr/lib/debug/.build-id/{folder}/{file}.debug");
    let bytes = opener.map(Path::new(&path))?;
    let same = parse(&bytes).is_some_and(|debug| debug.build_id().ok().flatten() == Some(id));
    same.then_some(bytes)
}

fn by_debuglink(object: &object::File<'_>, path: &Path, opener: &Opener) -> Option<Mmap> {
    let (name, checksum) = object.gnu_debuglink().ok().flatten()?;
    let name = Path::new(std::str::from_utf8(name).ok()?);
    let path = fs::canonicalize(path).ok()?;
    let folder = path.parent()?;
    let global = Path::new("/usr/lib/debug").join(folder.strip_prefix("/").ok()?);
    [
        folder.join(name),
        folder.join(".debug").join(name),
        global.join(name),
    ]
    .iter()
    .filter(|candidate| **candidate != path)
    .filter_map(|candidate| opener.map(candidate))
    .find(|bytes| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum() == checksum
    })
}
