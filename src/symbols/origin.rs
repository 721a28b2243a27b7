//! Whose code a function is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

#[cfg(feature = "symbols")]
use object::{Object as _, ObjectSection as _};

use super::names::{escaped, first_segment, split_as};
use super::paths::{Source, Sources, split_package};
use crate::snapshot::Origin;

/// Crates that are the standard library, or stand for its collections.
pub(super) const STD: [&str; 11] = [
    "alloc",
    "allocator_api2",
    "compiler_builtins",
    "core",
    "hashbrown",
    "panic_abort",
    "panic_unwind",
    "proc_macro",
    "std",
    "std_detect",
    "test",
];

/// Where the functions between a caller and the allocator live.
const ALLOCATOR: [&str; 2] = ["heapwatch::alloc::", "heapwatch::record::"];
const SHIMS: [&str; 3] = ["__rust_", "__rg_", "__rdl_"];

/// The C library through which std takes a backtrace: it stands between std and std.
const UNWINDER: &str = "_Unwind_";

/// Packages by the crate names that they are likely to have: what is known of dependencies where
/// there are no line tables.
#[derive(Default)]
pub(super) struct Packages(HashMap<String, (Arc<str>, Arc<str>)>);

impl Packages {
    /// Reads the source paths that panic messages need, which are in a stripped binary, too.
    #[cfg(feature = "symbols")]
    pub(super) fn of(object: &object::File<'_>) -> Packages {
        let mut packages = Packages::default();
        if let Some(section) = object.section_by_name(".rodata")
            && let Ok(bytes) = section.data()
        {
            packages.read(bytes);
        }
        packages
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        const MARK: &[u8] = b"/registry/src/";
        let mut rest = bytes;
        while let Some(at) = find(rest, MARK) {
            rest = &rest[at + MARK.len()..];
            let path = &rest[..rest.len().min(256)];
            let mut parts = path.split(|byte| *byte == b'/').skip(1);
            let folder = parts.next().and_then(|part| std::str::from_utf8(part).ok());
            let folder = folder.filter(|folder| matches!(escaped(folder), Cow::Borrowed(_)));
            if parts.next().is_none() {
                continue;
            }
            if let Some((name, version)) = folder.and_then(split_package) {
                let known = self.0.entry(name.replace('-', "_"));
                let known = known.or_insert_with(|| (name.into(), version.into()));
                // Two versions in one binary: which one is not known.
                if &*known.1 != version {
                    known.1 = "".into();
                }
            }
        }
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        start += bytes[start..].iter().position(|byte| *byte == mark[0])?;
        if bytes[start..].starts_with(mark) {
            return Some(start);
        }
        start += 1;
    }
}

/// Whose code a function is: by its name if it is the allocator, by its source if that is known,
/// else by its name alone.
pub(super) fn origin<'p>(
    function: &str,
    source: Option<&Source>,
    packages: impl FnOnce() -> &'p Packages,
) -> Origin {
    if is_allocator(function) {
        return Origin::Allocator;
    }
    match source.map(|source| &source.origin) {
        Some(Origin::Own { krate }) if krate.is_empty() => Origin::Own {
            krate: crate_of(function).unwrap_or("").into(),
        },
        Some(origin) => origin.clone(),
        None => by_name(function, packages),
    }
}

/// Whose code a function is, by what another tool has written of it: its name and the path of its
/// source, empty if it is not known.
pub(crate) fn origin_of(function: &str, file: &str) -> Origin {
    let none = Packages::default();
    let by_name = origin(function, None, || &none);
    if !matches!(by_name, Origin::Own { .. }) {
        return by_name;
    }
    match Sources::default().source(file).origin {
        known @ (Origin::Dependency { .. } | Origin::Std) => known,
        _ => by_name,
    }
}

fn by_name<'p>(function: &str, packages: impl FnOnce() -> &'p Packages) -> Origin {
    if function.starts_with(UNWINDER) {
        return Origin::Std;
    }
    let Some(krate) = crate_of(function) else {
        return Origin::Foreign;
    };
    if STD.contains(&krate) {
        return Origin::Std;
    }
    match packages().0.get(krate) {
        Some((name, version)) => Origin::Dependency {
            name: name.clone(),
            version: version.clone(),
        },
        None => Origin::Own {
            krate: krate.into(),
        },
    }
}

/// Whether a function only passes an allocation on: a part of heapwatch that runs inside malloc,
/// the compiler's shims, or an allocator that wraps another.
fn is_allocator(function: &str) -> bool {
    let path = function.trim_start_matches('<');
    ALLOCATOR
        .iter()
        .any(|module| path.starts_with(module) && !path.contains("::tests::"))
        || SHIMS.iter().any(|shim| function.starts_with(shim))
        || function.contains(" as core::alloc::global::GlobalAlloc>::")
}

/// Whether a function keeps its bare name although it was inlined into someone's source line: the
/// shims take the place of the allocator's declaration.
pub(super) fn is_shim(name: &str) -> bool {
    SHIMS.iter().any(|shim| name.starts_with(shim))
}

/// The crate that a Rust function's name begins with; `None` for other names.
///
/// Of `<A as B>::f` it is A's crate, or B's if A is a primitive or a parameter.
pub(super) fn crate_of(function: &str) -> Option<&str> {
    if !function.contains("::") {
        return None;
    }
    let Some(inner) = function.strip_prefix('<') else {
        return Some(first_segment(function));
    };
    let (own, of_trait) = match split_as(inner) {
        Some((own, of_trait)) => (own, Some(of_trait)),
        None => (inner, None),
    };
    first_path(own)
        .or_else(|| of_trait.and_then(first_path))
        .or(Some("core"))
}

/// First crate name in a type.
fn first_path(ty: &str) -> Option<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = ty;
    while let Some(start) = rest.find(word) {
        rest = &rest[start..];
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        if rest[end..].starts_with("::") {
            return Some(&rest[..end]);
        }
        rest = &rest[end..];
    }
    None
}
