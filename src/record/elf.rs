//! What a loaded object says of itself in memory: where it is mapped, its unwind tables, its build id.
#![allow(unsafe_code)]

use std::ops::Range;

use super::modules::Tables;

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
    // SAFETY: the segment is mapped and readable.
    let hdr_bytes: Tables = unsafe { raw_slice(hdr.start as *const u8, hdr.len()) };
    // Version 1, and the pointer to .eh_frame relative to itself in 4 signed bytes: what every
    // linker writes.
    let [1, 0x1b, _, _, a, b, c, d, ..] = *hdr_bytes else {
        return None;
    };
    let distance = i32::from_ne_bytes([a, b, c, d]) as isize;
    let start = (hdr.start + 4).wrapping_add_signed(distance);
    // The tables say themselves where they end; the segment only bounds the reading.
    let end = headers
        .iter()
        .filter(|h| h.p_type == libc::PT_LOAD)
        .map(|h| segment(bias, h))
        .find(|s| s.contains(&start))?
        .end;
    // SAFETY: from `start` to the end of its segment everything is mapped.
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
    const NT_GNU_BUILD_ID: u32 = 3;
    for header in headers.iter().filter(|h| h.p_type == libc::PT_NOTE) {
        let notes = segment(bias, header);
        // SAFETY: the segment is mapped and readable.
        let mut rest: &[u8] = unsafe { raw_slice(notes.start as *const u8, notes.len()) };
        let align = (header.p_align as usize).clamp(4, 8);
        while let Some((head, body)) = rest.split_first_chunk::<12>() {
            let word = |i: usize| {
                u32::from_ne_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]) as usize
            };
            let (name_len, desc_len, kind) = (word(0), word(4), word(8) as u32);
            let desc_at = (12 + name_len).next_multiple_of(align) - 12;
            let Some(desc) = body.get(desc_at..desc_at.saturating_add(desc_len)) else {
                break;
            };
            if kind == NT_GNU_BUILD_ID && body.starts_with(b"GNU\0") {
                return desc;
            }
            let next = (12 + desc_at + desc_len).next_multiple_of(align) - 12;
            rest = body.get(next..).unwrap_or_default();
        }
    }
    &[]
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
