//! Function names as people read them.
//!
//! What rustc 1.95 gives, and what must stay true of this file:
//!
//! - A **symbol** (symbol table, or `DW_AT_linkage_name` with `debug = 1` and more) has the whole
//!   path. Legacy mangling, the default, prints impls with their parameters' names and never what
//!   stands for them: `chat::store::Store<T>::put`, `chat::main::{{closure}}`. The v0 mangling,
//!   which the shipped standard library uses, prints everything:
//!   `<chat::store::Store<chat::Session>>::put`.
//! - A **`DW_AT_name`** has the last segment only, with all generic arguments, those of the impl
//!   first: `put<chat::Session>`, `{closure#3}<u64, …>`. It is there at every debug level above 0.
//! - With `debug = "line-tables-only"` a function has no linkage name and no enclosing namespace
//!   in DWARF. One that was compiled on its own has its symbol; one that was inlined has its
//!   `DW_AT_name` and nothing else, so its module is taken from its source file. The type that a
//!   method belongs to is then unknown and left out.
//!
//! Hence [`merge`] joins the path of the one with the arguments of the other.

use std::borrow::Cow;

/// Longer names, which nested futures have, are cut.
pub(crate) const MAX_NAME: usize = 4096;

/// What defaults are spelled like; they say nothing.
const DEFAULTS: [&str; 4] = [
    "alloc::alloc::Global",
    "allocator_api2::stable::alloc::global::Global",
    "std::hash::random::RandomState",
    "std::collections::hash::map::RandomState",
];

/// The function's name from its mangled name, if that is known, and its `DW_AT_name`, if there is
/// one. `None` if both are missing.
pub(super) fn merge(symbol: Option<&str>, dwarf: Option<&str>) -> Option<String> {
    let (Some(symbol), Some(dwarf)) = (symbol, dwarf) else {
        return symbol.or(dwarf).map(tidy);
    };
    let path = tidy(symbol);
    let own = tidy(dwarf);
    if is_v0(symbol) {
        return Some(with_futures(path, &own));
    }
    let (parent, last) = split_last(&path);
    let known = base(last);
    let named = base(&own);
    // A closure has no number in a legacy symbol.
    let same = known == named || known == "{closure}" && named.starts_with('{');
    if !same || parent.is_empty() {
        return Some(path);
    }
    let parent = if own.len() > named.len() {
        without_placeholders(parent)
    } else {
        parent.into()
    };
    Some(cut(format!("{parent}::{own}"), MAX_NAME))
}

/// A readable name from a mangled or `DW_AT_name` one.
pub(super) fn tidy(raw: &str) -> String {
    let name = demangled(raw).map_or(Cow::Borrowed(raw), Cow::Owned);
    let name = name.strip_prefix("_<").map_or_else(
        || name.to_string(),
        // Old demanglers' spelling of `<T as U>`.
        |rest| format!("<{rest}"),
    );
    let name = without_hash(&name);
    // Compiler-made functions such as `__rustc::__rust_alloc`.
    let name = name.strip_prefix("__rustc::").unwrap_or(name);
    let name = escaped(name).replace("{{", "{").replace("}}", "}");
    let name = without_turbofish(&name);
    cut(without_defaults(without_self_brackets(name)), MAX_NAME)
}

/// A v0 name with futures told from closures, as the debug information's name of the same function tells
/// them: `{closure#0}` → `{async_fn_env#0}`.
fn with_futures(mut path: String, own: &str) -> String {
    for kind in ["async_fn", "async_block"] {
        for (at, found) in own.match_indices(&format!("::{{{kind}_env#")) {
            let parent = &own[own[..at].trim_end_matches(in_path).len()..at];
            let Some((number, _)) = own[at + found.len()..].split_once('}') else {
                continue;
            };
            let closures = parent
                .replace("{async_fn#", "{closure#")
                .replace("{async_block#", "{closure#");
            let v0 = format!("{closures}::{{closure#{number}}}");
            let told = format!("{parent}::{{{kind}_env#{number}}}");
            let mut parts = path.split(&v0);
            let mut renamed = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                // What is within the future is not the future.
                renamed += if part.starts_with("::") { &v0 } else { &told };
                renamed += part;
            }
            path = renamed;
        }
    }
    cut(path, MAX_NAME)
}

/// Whether a character may stand in a path without arguments.
fn in_path(c: char) -> bool {
    c.is_alphanumeric() || "_:{}#".contains(c)
}

#[cfg(feature = "symbols")]
fn demangled(raw: &str) -> Option<String> {
    // The alternate form drops hashes.
    Some(format!("{:#}", rustc_demangle::try_demangle(raw).ok()?))
}

/// Nothing reads files with mangled names.
#[cfg(not(feature = "symbols"))]
fn demangled(_: &str) -> Option<String> {
    None
}

fn is_v0(symbol: &str) -> bool {
    symbol.starts_with("_R")
}

/// `path::h0123456789abcdef` → `path`, for names that were demangled elsewhere.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            path
        }
        _ => name,
    }
}

/// `put::<T>` → `put<T>`, the spelling of DWARF.
fn without_turbofish(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("::<") {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        // `path::<impl Trait for Type>::method` is a place, not arguments.
        out.push_str(if after.starts_with("::<impl ") {
            "::<"
        } else {
            "<"
        });
        rest = &after[3..];
    }
    out.push_str(rest);
    out
}

fn without_defaults(mut name: String) -> String {
    for default in DEFAULTS {
        if name.contains(default) {
            name = name.replace(&format!(", {default}"), "");
            name = name.replace(&format!("<{default}>"), "");
        }
    }
    name
}

/// `<alloc::vec::Vec<T>>::push` → `alloc::vec::Vec<T>::push`; `<T as Trait>::f` stays, and what is no
/// path.
fn without_self_brackets(name: String) -> String {
    let Some(end) = name.strip_prefix('<').and_then(closing) else {
        return name;
    };
    let inner = &name[1..=end];
    let is_path = name[end + 2..].starts_with("::");
    if is_path && inner.starts_with(|c: char| c.is_alphabetic() || c == '_') && is_plain_path(inner)
    {
        format!("{inner}{}", &name[end + 2..])
    } else {
        name
    }
}

/// Whether a type is a path, spaces at most inside its arguments: not `dyn T`, not `T as U`.
fn is_plain_path(ty: &str) -> bool {
    top_level(ty).all(|(_, c)| c != ' ')
}

/// Removes arguments that are only the names of parameters: `Vec<T,A>` → `Vec`.
fn without_placeholders(path: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = path;
    while let Some(open) = rest.find('<') {
        let inside = &rest[open + 1..];
        let Some(close) = inside.find(['<', '>']) else {
            break;
        };
        let arguments = inside[..close].split(',').map(str::trim);
        if inside[close..].starts_with('>') && arguments.clone().all(is_placeholder) {
            out.push_str(&rest[..open]);
            rest = &inside[close + 1..];
        } else {
            out.push_str(&rest[..=open]);
            rest = inside;
        }
    }
    if out.is_empty() {
        return path.into();
    }
    out.push_str(rest);
    out.into()
}

/// A type parameter's name: types are printed with their paths, and primitives are lower case.
pub(super) fn is_placeholder(argument: &str) -> bool {
    argument.starts_with(|c: char| c.is_ascii_uppercase())
        && argument
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Parent path and last segment: `a::B<c::D>::e<F>` → (`a::B<c::D>`, `e<F>`).
pub(crate) fn split_last(path: &str) -> (&str, &str) {
    let colon = top_level(path)
        .filter(|(at, _)| path[*at..].starts_with("::"))
        .last();
    match colon {
        Some((at, _)) => (&path[..at], &path[at + 2..]),
        None => ("", path),
    }
}

/// First segment of a path, without arguments.
pub(super) fn first_segment(path: &str) -> &str {
    let end = path.find("::").unwrap_or(path.len());
    base(&path[..end])
}

/// A segment without its arguments.
pub(crate) fn base(segment: &str) -> &str {
    match segment.find('<') {
        Some(0) | None => segment,
        Some(at) => &segment[..at],
    }
}

/// The arguments of a segment, `e<F, g::H>` → `F`, `g::H`; none of `<impl T for U>`.
pub(super) fn arguments(segment: &str) -> impl Iterator<Item = &str> {
    let inside = segment
        .find('<')
        .filter(|at| *at > 0)
        .map(|at| &segment[at + 1..])
        .and_then(|rest| closing(rest).map(|end| &rest[..end]))
        .unwrap_or("");
    split_commas(inside)
}

/// Type and trait of what follows the `<` of `<A as B>::f`.
pub(super) fn split_as(rest: &str) -> Option<(&str, &str)> {
    let inner = &rest[..closing(rest)?];
    let (at, _) = top_level(inner).find(|(at, _)| inner[*at..].starts_with(" as "))?;
    Some((&inner[..at], &inner[at + 4..]))
}

/// Splits a list of types at its own commas.
pub(super) fn split_commas(list: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    let ends = top_level(list)
        .filter(|(_, c)| *c == ',')
        .map(|(at, _)| at)
        .chain((!list.is_empty()).then_some(list.len()));
    ends.map(move |end| {
        let item = list[start..end].trim();
        start = end + 1;
        item
    })
}

/// Index of the bracket that closes one opened just before `rest`.
fn closing(rest: &str) -> Option<usize> {
    levels(rest)
        .find(|(_, _, level)| *level < 0)
        .map(|(at, _, _)| at)
}

/// Characters outside all brackets.
fn top_level(text: &str) -> impl Iterator<Item = (usize, char)> {
    levels(text)
        .filter(|(_, _, level)| *level == 0)
        .map(|(at, c, _)| (at, c))
}

/// Each character with its nesting after it; the arrow in `fn() -> T` closes nothing.
fn levels(text: &str) -> impl Iterator<Item = (usize, char, i32)> {
    let mut level = 0;
    let mut previous = ' ';
    text.char_indices().map(move |(at, c)| {
        match c {
            '<' | '(' | '[' | '{' => level += 1,
            '>' if previous == '-' => {}
            '>' | ')' | ']' | '}' => level -= 1,
            _ => {}
        }
        previous = c;
        (at, c, level)
    })
}

/// The full path of an inlined closure or async body, of which the debug information names the
/// last segment, from the function that it was inlined into: that is generic over the closure's
/// type and names it whole. `None` unless there is just one such type of the closure's module.
pub(super) fn closure_path(own: &str, module: &str, caller: &str) -> Option<String> {
    let inside = base(own).strip_prefix('{')?.strip_suffix('}')?;
    let (kind, number) = inside.split_once('#')?;
    // As debug information names its type, and as v0 symbols do, whatever kind it is.
    let types = [
        format!("::{{{kind}_env#{number}}}"),
        format!("::{{closure#{number}}}"),
    ];
    // A type in brackets: not the caller itself, which may be another closure, and no parent of one.
    let is_type = |at: usize, ty: &str| {
        !caller[at + ty.len()..].starts_with("::") && top_level(caller).all(|(top, _)| top != at)
    };
    let places = types.iter().flat_map(|ty| caller.match_indices(ty));
    let places = places.filter(|(at, ty)| is_type(*at, ty));
    let mut parents = places.map(|(at, _)| {
        let before = &caller[..at];
        let start = before.trim_end_matches(in_path).len();
        &before[start..]
    });
    let parent = parents.next()?;
    let inside = parent.strip_prefix(module)?.starts_with("::");
    let unique = inside && parents.all(|other| other == parent);
    unique.then(|| cut(format!("{parent}::{own}"), MAX_NAME))
}

/// Text of anybody's on one line that shows all of it: characters that a terminal obeys, that end a
/// line, that cannot be seen or that turn the direction of text are written as `\u{202e}`.
///
/// Every text of a [`Snapshot`](crate::Snapshot)'s frames is escaped where it is read.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match acts(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a character does something else than to be seen.
fn acts(c: char) -> bool {
    let unseen = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'];
    c.is_control()
        || unseen.contains(&c)
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A name of at most `max` bytes, and a mark of what was cut.
pub(crate) fn cut(mut name: String, max: usize) -> String {
    if name.len() > max {
        let end = (0..=max).rev().find(|at| name.is_char_boundary(*at));
        name.truncate(end.unwrap_or(0));
        name.push('…');
    }
    name
}
