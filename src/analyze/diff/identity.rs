//! What stays of a stack when its program is built anew.
//!
//! A compiler may name one function in two ways: where it was compiled on its own its symbol gives
//! the type that it belongs to, where it was inlined the debug information gives its source file and
//! the last segment of its name alone. So a function is known by its file and that last segment,
//! without what a compiler numbers anew and without versions of packages. Without a file, by all of
//! its name.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::analyze::caller::stack;
use crate::analyze::pseudo_function;
use crate::snapshot::{Frame, Origin, Site, Snapshot};
use crate::symbols::{base, call_site, is_runtime, split_last, unversioned};

/// Hex digits of a hash at the end of a name.
const HASH: usize = 16;

/// What compilers append to the names of functions that they make themselves.
const SHIMS: [&str; 2] = ["{vtable.shim}", "{reify.shim}"];

/// The functions of a stack, hashed, by how much of it is compared, from all to least.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// All frames but the allocator's and what starts programs and threads, which is not always
    /// there.
    pub(super) names: u64,
    /// The frames outside std, and the function of std that the innermost of them called.
    pub(super) calls: u64,
    /// The own frames, the call site, and the function of std that it called, all without generic
    /// arguments. Where nothing is the user's own, the frames outside std.
    pub(super) own: u64,
    /// Of these the innermost own frame alone; none where nothing is the user's own.
    pub(super) site: Option<u64>,
    /// The lines in all frames, outermost first: what stands first in a function is called first.
    pub(super) lines: Vec<Option<u32>>,
}

impl Identity {
    /// With `cut`, what the call site called is left out, as profiles leave it out.
    pub(super) fn of(snapshot: &Snapshot, site: &Site, cut: bool) -> Identity {
        if let Some(name) = pseudo_function(site) {
            let name = hash([name.to_owned()]);
            return Identity {
                names: name,
                calls: name,
                own: name,
                site: None,
                lines: Vec::new(),
            };
        }
        let mut frames: Vec<&Frame> = stack(snapshot, site)
            .map(|step| step.frame)
            .filter(|frame| frame.origin != Origin::Allocator)
            .filter(|frame| !is_runtime(frame))
            .collect();
        let mut call = call_site(frames.iter().copied()).unwrap_or(0);
        if cut {
            frames.drain(..call);
            call = 0;
        }
        // What the call site called, if it did not allocate by itself, and the call site.
        let called = &frames[call.saturating_sub(1)..call];
        let caller = &frames[call.saturating_sub(1)..frames.len().min(call + 1)];
        let inside = &frames[..frames.len().min(call + 1)];
        let outside: Vec<&Frame> = frames.iter().copied().filter(is_outside).collect();
        let own: Vec<&Frame> = frames.iter().copied().filter(is_own).collect();
        let hashed = |frames: &[&Frame], of: fn(&Frame) -> String| {
            hash(frames.iter().map(|frame| of(frame)))
        };
        let names = hashed(&frames, name);
        let calls = match outside.as_slice() {
            // All of it is std's, which is called by nobody.
            [] => hashed(inside, name),
            outside => hashed(&[called, outside].concat(), name),
        };
        Identity {
            names,
            calls,
            own: match own.as_slice() {
                [] if outside.is_empty() => hashed(caller, plain_name),
                [] => hashed(&[called, &outside].concat(), plain_name),
                own => hashed(&[caller, own].concat(), plain_name),
            },
            site: own
                .first()
                .map(|own| hashed(&[caller, &[*own]].concat(), plain_name)),
            lines: frames.iter().rev().map(|frame| frame.line).collect(),
        }
    }
}

fn is_own(frame: &&Frame) -> bool {
    matches!(frame.origin, Origin::Own { .. })
}

fn is_outside(frame: &&Frame) -> bool {
    frame.origin != Origin::Std
}

fn hash(names: impl IntoIterator<Item = String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in names {
        name.hash(&mut hasher);
    }
    hasher.finish()
}

/// A function by its file and the last segment of its name.
fn name(frame: &Frame) -> String {
    named(frame, |segment| segment)
}

/// The same without generic arguments.
fn plain_name(frame: &Frame) -> String {
    named(frame, base)
}

fn named(frame: &Frame, of: impl Fn(&str) -> &str) -> String {
    let function = unnumbered(&frame.function);
    let Some(file) = &frame.file else {
        return function;
    };
    let (package, path) = unversioned(file);
    format!("{package}{path} {}", of(split_last(&function).1))
}

/// A name without what a compiler numbers anew: `{closure#3}` → `{closure}`, the disambiguating
/// hashes of older manglings and of LLVM, and the marks of shims.
pub(super) fn unnumbered(name: &str) -> String {
    let name = name.split(".llvm.").next().unwrap_or_default();
    let name = SHIMS
        .into_iter()
        .fold(name, |name, shim| name.strip_suffix(shim).unwrap_or(name));
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(['#', ':']) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let skipped = match tail.strip_prefix('#') {
            Some(number) => 1 + digits(number, 10),
            None => match tail.strip_prefix("::h") {
                Some(hash) if is_hash(hash) => 3 + HASH,
                _ => 0,
            },
        };
        if skipped == 0 {
            out.push_str(&tail[..1]);
            rest = &tail[1..];
        } else {
            rest = &tail[skipped..];
        }
    }
    (out + rest).replace("{{closure}}", "{closure}")
}

fn is_hash(text: &str) -> bool {
    let ends = text
        .get(HASH..)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
    ends && digits(text, 16) == HASH
}

fn digits(text: &str, radix: u32) -> usize {
    let digit = |c: &char| c.is_digit(radix);
    text.chars().take_while(digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a compiler numbers anew in each build must not part a site from itself, and nothing else
    /// may join two.
    #[test]
    fn names_lose_only_numbers_that_compilers_give() {
        for (name, expected) in [
            ("chat::run::{closure#12}", "chat::run::{closure}"),
            ("chat::run::{{closure}}", "chat::run::{closure}"),
            (
                "chat::run::{closure#0}{vtable.shim}",
                "chat::run::{closure}",
            ),
            ("{async_fn_env#0}<T>::x#", "{async_fn_env}<T>::x"),
            ("a::b::h0123456789abcdef", "a::b"),
            ("a::h0123456789abcdefg::<u8>", "a::h0123456789abcdefg::<u8>"),
            ("a::h0123::b", "a::h0123::b"),
            ("core::f.llvm.4711", "core::f"),
            ("Vec<(u64, a::B)>::push", "Vec<(u64, a::B)>::push"),
        ] {
            assert_eq!(unnumbered(name), expected);
        }
    }

    /// One function, inlined and not, is one; two instances of it are two, and so are functions of
    /// one name in two files.
    #[test]
    fn functions_are_known_inlined_or_not() {
        use crate::snapshot::testing::{dependency, frame, own};
        let key = |function: &str, file: &str| name(&frame(function, file, 7, own("chat")));
        let known = key("chat::store::Store::put<u8>", "src/store.rs");
        assert_eq!(known, key("chat::store::put<u8>", "src/store.rs"));
        assert_ne!(known, key("chat::store::Store::put<u16>", "src/store.rs"));
        assert_ne!(known, key("chat::store::Store::put<u8>", "src/other.rs"));
        let symbol_only = frame("chat::store::Store<u8>::put", "", 0, own("chat"));
        assert_eq!(name(&symbol_only), "chat::store::Store<u8>::put");
        let method = "<chat::A<u8> as chat::Handler>::handle<u16>";
        assert_eq!(
            plain_name(&frame(method, "src/a.rs", 1, own("chat"))),
            "src/a.rs handle"
        );
        let versions = ["1.10.1", "2.0.0"].map(|version| {
            let file = format!("bytes-{version}/src/lib.rs");
            name(&frame("bytes::put", &file, 3, dependency("bytes", version)))
        });
        assert_eq!(versions[0], versions[1]);
    }
}
