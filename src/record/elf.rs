//! What a loaded object says of itself in memory: where it is mapped, its unwind tables, its build id.
#![allow(unsafe_code)]

use std::ops::Range;

type Tables = &'static [u8];

/// The smallest page that any system here has.
pub(super) const PAGE: usize = 4096;

/// A part of a module: its address in the process and its bytes, in place or copied.
#[derive(Clone, Copy, Default)]
pub(super) struct Section {
    pub(super) address: usize,
    pub(super) bytes: Tables,
}

type ElfHeader = libc::Elf64_Ehdr;
pub(super) type Header = libc::Elf64_Phdr;

/// # Safety
///
/// As `slice::from_raw_parts`, but null is an empty slice.
pub(super) unsafe fn raw_slice<'a, T>(start: *const T, len: usize) -> &'a [T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, len) }
}

fn segment(bias: usize, header: &Header) -> Range<usize> {
    let start = bias.wrapping_add(header.p_vaddr as usize);
    start..start.saturating_add(header.p_memsz as usize)
}

/// The addresses from the first to the last loaded segment.
pub(super) fn mapped(bias: usize, headers: &[Header]) -> Option<Range<usize>> {
    let loads = || {
        headers
            .iter()
            .filter(|h| h.p_type == libc::PT_LOAD)
            .map(|h| segment(bias, h))
    };
    Some(loads().map(|s| s.start).min()?..loads().map(|s| s.end).max()?)
}

/// The readable loaded segment that a part of the module lies in, all of it.
fn loaded_around(bias: usize, headers: &[Header], part: &Range<usize>) -> Option<Range<usize>> {
    headers
        .iter()
        .filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_R != 0)
        .map(|h| segment(bias, h))
        .find(|loaded| loaded.start <= part.start && part.end <= loaded.end)
        .filter(|_| part.start < part.end)
}

/// `.eh_frame_hdr` and `.eh_frame` as they are mapped.
///
/// # Safety
///
/// The headers describe a module that is mapped at `bias`.
pub(super) unsafe fn unwind_tables(bias: usize, headers: &[Header]) -> Option<(Section, Section)> {
    let hdr = segment(
        bias,
        headers.iter().find(|h| h.p_type == libc::PT_GNU_EH_FRAME)?,
    );
    loaded_around(bias, headers, &hdr)?;
    // SAFETY: it lies in a segment that is mapped and readable.
    let hdr_bytes: Tables = unsafe { raw_slice(hdr.start as *const u8, hdr.len()) };
    // Version 1, and the pointer to .eh_frame relative to itself in 4 signed bytes: what every
    // linker writes.
    let [1, 0x1b, _, _, a, b, c, d, ..] = *hdr_bytes else {
        return None;
    };
    let distance = i32::from_ne_bytes([a, b, c, d]) as isize;
    let start = hdr.start.wrapping_add(4).wrapping_add_signed(distance);
    // The tables say themselves where they end; the segment only bounds the reading.
    let end = loaded_around(bias, headers, &(start..start.checked_add(1)?))?.end;
    // SAFETY: from `start` to the end of its segment everything is mapped and readable.
    let bytes = unsafe { raw_slice(start as *const u8, end - start) };
    Some((
        Section {
            address: hdr.start,
            bytes: hdr_bytes,
        },
        Section {
            address: start,
            bytes,
        },
    ))
}

/// The GNU build id among a module's notes, empty if there is none.
///
/// # Safety
///
/// The headers describe a module that is mapped at `bias`.
pub(super) unsafe fn build_id<'a>(bias: usize, headers: &[Header]) -> &'a [u8] {
    for header in headers.iter().filter(|h| h.p_type == libc::PT_NOTE) {
        let notes = segment(bias, header);
        if loaded_around(bias, headers, &notes).is_none() {
            continue;
        }
        // SAFETY: they lie in a segment that is mapped and readable.
        let notes = unsafe { raw_slice(notes.start as *const u8, notes.len()) };
        let align = if header.p_align == 8 { 8 } else { 4 };
        if let Some(id) = build_id_in(notes, align) {
            return id;
        }
    }
    &[]
}

/// The GNU build id in a segment of notes; `None` if there is none before the first damaged one.
fn build_id_in(notes: &[u8], align: usize) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: usize = 3;
    let mut rest = notes;
    while let Some((head, _)) = rest.split_first_chunk::<12>() {
        let [name_len, desc_len, kind] = [0, 4, 8].map(|at| {
            let word = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            u32::from_ne_bytes(word) as usize
        });
        let desc_at = name_len.checked_add(12)?.checked_next_multiple_of(align)?;
        let desc_end = desc_at.checked_add(desc_len)?;
        let name = rest.get(12..name_len.checked_add(12)?)?;
        let desc = rest.get(desc_at..desc_end)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(desc);
        }
        rest = rest.get(desc_end.checked_next_multiple_of(align)?..)?;
    }
    None
}

/// The program headers in a module's first page; `None` if they are elsewhere, or it is not one.
pub(super) fn program_headers(page: &[u8]) -> Option<&[Header]> {
    if page.len() < size_of::<ElfHeader>() || !page.starts_with(b"\x7fELF") {
        return None;
    }
    // SAFETY: the page is long enough, and a header of any bytes is valid.
    let elf = unsafe { page.as_ptr().cast::<ElfHeader>().read_unaligned() };
    let (at, count) = (usize::try_from(elf.e_phoff).ok()?, usize::from(elf.e_phnum));
    let bytes = page.get(at..at.checked_add(count * size_of::<Header>())?)?;
    let start = bytes.as_ptr().cast::<Header>();
    (usize::from(elf.e_phentsize) == size_of::<Header>() && start.is_aligned())
        // SAFETY: so many headers are there, aligned, and any bytes are valid.
        .then(|| unsafe { raw_slice(start, count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name_len: u32, desc_len: u32, kind: u32, rest: &[u8]) -> Vec<u8> {
        let head = [name_len, desc_len, kind].map(u32::to_ne_bytes);
        [head.as_flattened(), rest].concat()
    }

    /// A library that is only as good as its build tool must not end the process that loads it.
    #[test]
    fn damaged_notes_are_not_read_beyond_their_segment() {
        let good = note(4, 3, 3, b"GNU\0abc");
        assert_eq!(build_id_in(&good, 4), Some(&b"abc"[..]));
        let other = note(5, 1, 1, b"Other\0\0\0x\0\0\0");
        let second = [other, good.clone()].concat();
        assert_eq!(build_id_in(&second, 4), Some(&b"abc"[..]));
        for cut in 0..good.len() {
            assert_eq!(build_id_in(&good[..cut], 4), None, "cut to {cut} bytes");
        }
        for (name_len, desc_len) in [(u32::MAX, 3), (4, u32::MAX), (u32::MAX - 11, u32::MAX)] {
            for align in [4, 8] {
                let bad = note(name_len, desc_len, 3, b"GNU\0abc");
                assert_eq!(build_id_in(&bad, align), None, "{name_len} {desc_len}");
            }
        }
    }

    /// What a header says to be outside of all loaded segments may not be mapped at all.
    #[test]
    fn parts_outside_of_loaded_segments_are_refused() {
        // SAFETY: all zeroes are a valid header.
        let mut headers: [Header; 3] = unsafe { std::mem::zeroed() };
        let bytes = note(4, 3, 3, b"GNU\0abc");
        let start = bytes.as_ptr() as u64;
        for (header, kind) in
            headers
                .iter_mut()
                .zip([libc::PT_LOAD, libc::PT_NOTE, libc::PT_GNU_EH_FRAME])
        {
            header.p_type = kind;
            header.p_flags = libc::PF_R;
            (header.p_vaddr, header.p_memsz) = (start, bytes.len() as u64);
        }
        // SAFETY: the bytes are there; what the changed headers say beyond them is not to be read.
        unsafe {
            assert_eq!(build_id(0, &headers), b"abc");
            assert!(unwind_tables(0, &headers).is_none(), "it is no table");
            for (vaddr, memsz) in [
                (start, 1 << 40),
                (start - (1 << 40), 1 << 41),
                (1 << 40, 64),
                (u64::MAX - 8, 64),
                (start, 0),
            ] {
                for header in &mut headers[1..] {
                    (header.p_vaddr, header.p_memsz) = (vaddr, memsz);
                }
                assert!(build_id(0, &headers).is_empty(), "{vaddr:#x} {memsz:#x}");
                assert!(
                    unwind_tables(0, &headers).is_none(),
                    "{vaddr:#x} {memsz:#x}"
                );
            }
        }
    }

    /// A damaged header must not end the process: this runs inside malloc.
    #[test]
    fn headers_beyond_the_page_are_refused() {
        #[repr(C, align(4096))]
        struct Page([u8; PAGE]);
        let page = |offset: u64, count: u16, size: u16| {
            let mut page = Page([0; PAGE]);
            page.0[..4].copy_from_slice(b"\x7fELF");
            page.0[32..40].copy_from_slice(&offset.to_ne_bytes());
            page.0[54..56].copy_from_slice(&size.to_ne_bytes());
            page.0[56..58].copy_from_slice(&count.to_ne_bytes());
            page
        };
        let count = |page: &Page| program_headers(&page.0).map(<[Header]>::len);
        assert_eq!(count(&page(64, 11, 56)), Some(11));
        assert_eq!(count(&page(64, 72, 56)), Some(72), "to the page's end");
        assert_eq!(count(&page(64, 73, 56)), None);
        assert_eq!(count(&page(65, 11, 56)), None, "not aligned");
        assert_eq!(count(&page(64, 11, 32)), None, "of another size");
        for offset in [4096, u64::MAX - 7, u64::MAX] {
            assert_eq!(count(&page(offset, u16::MAX, 56)), None, "{offset:#x}");
        }
        assert!(program_headers(&page(64, 1, 56).0[..40]).is_none(), "cut");
        assert!(program_headers(&[0; PAGE]).is_none());
    }
}
