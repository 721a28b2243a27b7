//! What a source path tells: whose code it is, its module, and how to print it alike on every
//! machine.
//!
//! | path | whose | printed |
//! | --- | --- | --- |
//! | `/rustc/HASH/library/alloc/src/vec/mod.rs`, `…/rustlib/src/rust/library/…` | std | `library/alloc/src/vec/mod.rs` |
//! | `/rust/deps/hashbrown-0.16.1/src/raw.rs` (what std itself depends on) | std | `hashbrown-0.16.1/src/raw.rs` |
//! | `…/registry/src/INDEX/NAME-VERSION/src/lib.rs` | NAME, VERSION | `NAME-VERSION/src/lib.rs` |
//! | `…/git/checkouts/NAME-HASH/REV/src/lib.rs` | NAME, REV | `NAME-REV/src/lib.rs` |
//! | `…/vendor/NAME-VERSION/src/lib.rs`, `…/vendor/NAME/src/lib.rs` | NAME, VERSION or nothing | `NAME-VERSION/src/lib.rs` |
//! | any other `.rs` | own | see [`Sources::shorten`] |
//! | anything else | foreign | as it is |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::names::first_segment;
use super::origin::STD;
use crate::snapshot::Origin;

/// A source file, read from its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Whose code it is; own code with its crate, empty if the path does not tell.
    pub(super) origin: Origin,
    /// The path to print.
    pub(super) path: Arc<str>,
    /// Crate and modules, `alloc::vec`, as far as the path tells.
    pub(super) module: Option<String>,
}

/// The crates that a module was compiled from, by their root files.
#[derive(Default)]
pub(super) struct Sources {
    roots: HashMap<String, Vec<Root>>,
    directories: Vec<String>,
    origins: HashMap<String, Origin>,
    /// By directory and root file, how often the functions compiled from there begin with which
    /// crate.
    unnamed: BTreeMap<(String, String), HashMap<String, u32>>,
    /// Whether some units are in other files.
    pub(super) split: bool,
}

struct Root {
    file: String,
    krate: String,
    /// Whether the crate has a module of its own name, whose parts lie in the folder of that name.
    has_namesake: bool,
}

impl Root {
    /// The root's name, if it is the crate's.
    fn own_name(&self) -> Option<&str> {
        let name = self.file.strip_suffix(".rs")?;
        (name.replace('-', "_") == self.krate).then_some(name)
    }

    /// What is left of a path in the folder that bears the crate's name and lies beside its root, as
    /// examples have it: `chat/rooms.rs` beside `chat.rs` is `chat::rooms`, by a `#[path]`, unless
    /// there is a module `chat::chat`.
    fn own_folder<'p>(&self, inside: &'p str) -> Option<&'p str> {
        let rest = inside.strip_prefix(self.own_name()?)?.strip_prefix('/')?;
        (!self.has_namesake).then_some(rest)
    }
}

impl Sources {
    /// Learns from a compilation unit, which rustc names `ROOT-FILE/@/CRATE.HASH-cgu.N`, or
    /// `ROOT-FILE/@/HASH` in incremental builds. The latter's crate is known from what else was
    /// compiled from the same root, once all units are [settled](Self::settle): `crates` has
    /// those that names of the unit's functions begin with.
    pub(super) fn add_unit(
        &mut self,
        name: &str,
        directory: &str,
        crates: impl FnOnce() -> Vec<String>,
    ) {
        let Some((file, unit)) = name.split_once("/@/") else {
            return;
        };
        if let Some((krate, _)) = unit.split_once('.') {
            return self.add_root(file, directory, krate);
        }
        let root = (directory.to_owned(), file.to_owned());
        let votes = self.unnamed.entry(root).or_default();
        for krate in crates() {
            *votes.entry(krate).or_default() += 1;
        }
    }

    /// Whether a unit is not one of those that come with the standard library.
    pub(super) fn knows_more_than_std(&self) -> bool {
        let mut origins = self.origins.values();
        origins.any(|origin| *origin != Origin::Std)
    }

    /// Names the crates of incremental builds, and finds out which have a module of their own name;
    /// `in_a_symbol` tells whether some mangled name contains a text.
    pub(super) fn settle(&mut self, in_a_symbol: impl Fn(&str) -> bool) {
        for ((directory, file), votes) in std::mem::take(&mut self.unnamed) {
            let path = join(&directory, &file);
            let by_file = crate_of_root(&path);
            let voted = |krate: &&String| {
                let foreign = self
                    .origins
                    .get(*krate)
                    .is_some_and(|origin| *origin != own(krate));
                !foreign && !STD.contains(&krate.as_str())
            };
            let most = votes.iter().filter(|(krate, _)| voted(krate));
            let most = most.max_by_key(|(krate, count)| (**count, std::cmp::Reverse(*krate)));
            let krate = match (by_file, most) {
                (Some(krate), None) => krate,
                (Some(krate), Some(_)) if votes.contains_key(&krate) => krate,
                (_, Some((krate, _))) => krate.clone(),
                (None, None) => continue,
            };
            self.add_root(&file, &directory, &krate);
        }
        for root in self.roots.values_mut().flatten() {
            if root.own_name().is_some() {
                // In both manglings a segment is its length and itself.
                let segment = format!("{}{}", root.krate.len(), root.krate);
                root.has_namesake = in_a_symbol(&segment.repeat(2));
            }
        }
    }

    fn add_root(&mut self, file: &str, directory: &str, krate: &str) {
        let path = join(directory, file);
        if file.starts_with('/') {
            let origin = classify(&path).0;
            self.origins.entry(krate.into()).or_insert(origin);
        } else {
            self.origins.insert(krate.into(), own(krate));
            if !self.directories.iter().any(|known| known == directory) {
                self.directories.push(directory.into());
            }
        }
        let Some((folder, file)) = path.rsplit_once('/') else {
            return;
        };
        let roots = self.roots.entry(folder.into()).or_default();
        if !roots.iter().any(|root| root.krate == krate) {
            let (file, krate) = (file.into(), krate.into());
            roots.push(Root {
                file,
                krate,
                has_namesake: false,
            });
        }
    }

    /// Reads a path.
    pub(super) fn source(&self, path: &str) -> Source {
        let (mut origin, mut short) = classify(path);
        let module = self.module(path).or_else(|| module_of(short));
        if let Some(package) = generated_by(path)
            && let Some(known) = self.origins.get(&package.replace('-', "_"))
        {
            origin = known.clone();
        }
        if let Origin::Own { krate } = &mut origin {
            short = self.shorten(path);
            if let Some(module) = &module {
                *krate = first_segment(module).into();
            }
        }
        let path = match &origin {
            // A git checkout's own folder is named after the revision alone.
            Origin::Dependency { name, version }
                if !version.is_empty() && short.starts_with(&**version) =>
            {
                format!("{name}-{short}").into()
            }
            _ => short.into(),
        };
        Source {
            origin,
            path,
            module,
        }
    }

    /// Crate and modules of a file below a known crate's root.
    fn module(&self, path: &str) -> Option<String> {
        let mut folder = path;
        while let Some((parent, _)) = folder.rsplit_once('/') {
            folder = parent;
            let Some(roots) = self.roots.get(folder) else {
                continue;
            };
            let inside = &path[folder.len() + 1..];
            let root = roots
                .iter()
                .find(|root| root.file == inside)
                .or_else(|| roots.iter().find(|root| root.own_folder(inside).is_some()))
                .or_else(|| roots.iter().find(|root| root.file == "lib.rs"))
                .or(roots.first())?;
            let modules = match root.file == inside {
                true => "",
                false => root.own_folder(inside).unwrap_or(inside),
            };
            return Some(join_modules(&root.krate, modules));
        }
        None
    }

    /// An own file's path from where cargo compiled it: the workspace's root for its members. That
    /// is what the compiler prints, too. Where that is not known, from the last of `src`,
    /// `examples`, `tests`, `benches`, or from `crates/NAME` before it.
    fn shorten<'p>(&self, path: &'p str) -> &'p str {
        let below = |directory: &String| {
            path.strip_prefix(directory.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
        };
        if let Some(inside) = self
            .directories
            .iter()
            .filter_map(below)
            .min_by_key(|p| p.len())
        {
            return inside;
        }
        let path = path.strip_prefix("./").unwrap_or(path);
        if !path.starts_with('/') {
            return path;
        }
        let parts: Vec<(usize, &str)> = components(path).collect();
        let root = |part: &&str| ["src", "examples", "tests", "benches"].contains(part);
        let Some(mut at) = parts.iter().rposition(|(_, part)| root(part)) else {
            return path;
        };
        if at >= 2 && parts[at - 2].1 == "crates" {
            at -= 2;
        }
        &path[parts[at].0..]
    }
}

fn classify(path: &str) -> (Origin, &str) {
    if let Some(rest) = path.strip_prefix("/rustc/") {
        let rest = rest.split_once('/').map_or(rest, |(_, rest)| rest);
        return (Origin::Std, rest);
    }
    if let Some((_, rest)) = path.split_once("/lib/rustlib/src/rust/") {
        return (Origin::Std, rest);
    }
    if let Some(rest) = path.strip_prefix("/rust/deps/") {
        return (Origin::Std, rest);
    }
    let library = |krate: &str| path.starts_with(&format!("library/{krate}/src/"));
    if ["core", "alloc", "std"].into_iter().any(library) {
        return (Origin::Std, path);
    }
    if let Some((owner, short)) = dependency(path) {
        return (owner, short);
    }
    if path.ends_with(".rs") {
        return (own(""), path);
    }
    (Origin::Foreign, path)
}

fn dependency(path: &str) -> Option<(Origin, &str)> {
    let parts: Vec<(usize, &str)> = components(path).collect();
    let named = |at: usize| parts.get(at).map(|(_, part)| *part);
    for at in 0..parts.len() {
        let folder = parts[at].1;
        // registry/src/INDEX/NAME-VERSION
        if folder == "registry" && named(at + 1) == Some("src") && parts.len() > at + 4 {
            let (start, package) = parts[at + 3];
            let (name, version) = split_package(package).unwrap_or((package, ""));
            return Some((from_package(name, version), &path[start..]));
        }
        // git/checkouts/NAME-HASH/REV
        if folder == "git" && named(at + 1) == Some("checkouts") && parts.len() > at + 4 {
            let repository = parts[at + 2].1;
            let name = repository.rsplit_once('-').map_or(repository, |(n, _)| n);
            let (start, revision) = parts[at + 3];
            return Some((from_package(name, revision), &path[start..]));
        }
        // vendor/NAME/src or vendor/NAME-VERSION/src
        if matches!(folder, "vendor" | "cargo-vendor-dir") && named(at + 2).is_some() {
            let (start, package) = parts[at + 1];
            let versioned = split_package(package);
            if versioned.is_some() || parts[at + 2..].iter().any(|(_, part)| *part == "src") {
                let (name, version) = versioned.unwrap_or((package, ""));
                return Some((from_package(name, version), &path[start..]));
            }
        }
    }
    // What `trim-paths` leaves of a registry path.
    let (name, version) = package_of(path)?;
    Some((from_package(name, version), path))
}

fn from_package(name: &str, version: &str) -> Origin {
    // The map behind std's, and what it allocates through: the bytes belong to its user.
    if matches!(name, "hashbrown" | "allocator-api2") {
        return Origin::Std;
    }
    Origin::Dependency {
        name: name.into(),
        version: version.into(),
    }
}

fn own(krate: &str) -> Origin {
    Origin::Own {
        krate: krate.into(),
    }
}

/// Name and version at the start of a relative path, `NAME-VERSION/…`.
fn package_of(path: &str) -> Option<(&str, &str)> {
    split_package(path.split_once('/')?.0)
}

/// A printed path without the version of its package: `bytes-1.10.1/src/lib.rs` → `bytes`,
/// `/src/lib.rs`.
pub(crate) fn unversioned(path: &str) -> (&str, &str) {
    match package_of(path) {
        Some((name, version)) => (name, &path[name.len() + 1 + version.len()..]),
        None => (path, ""),
    }
}

/// `NAME-VERSION`; both may hold dashes.
pub(super) fn split_package(folder: &str) -> Option<(&str, &str)> {
    folder
        .match_indices('-')
        .map(|(at, _)| (&folder[..at], &folder[at + 1..]))
        .find(|(name, version)| !name.is_empty() && is_version(version))
}

fn is_version(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.next().is_some_and(number)
        && parts.next().is_some_and(number)
        && parts
            .next()
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The package whose build script wrote a file: `…/build/NAME-HASH/out/…`.
fn generated_by(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').collect();
    parts
        .windows(3)
        .find(|window| window[0] == "build" && window[2] == "out")
        .and_then(|window| window[1].rsplit_once('-'))
        .map(|(name, _)| name)
}

/// Crate and modules from a path that ends `CRATE/src/a/b.rs` or `CRATE-VERSION/src/a/b.rs`: for
/// crates of which everything was inlined into others. A folder is mostly named after its crate.
fn module_of(path: &str) -> Option<String> {
    let (before, inside) = path.strip_suffix(".rs")?.rsplit_once("/src/")?;
    let folder = before.rsplit_once('/').map_or(before, |(_, last)| last);
    let name = split_package(folder).map_or(folder, |(name, _)| name);
    let letter = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(letter) {
        return None;
    }
    Some(join_modules(&name.replace('-', "_"), inside))
}

/// The crate that cargo mostly makes of a root file: `tests/load.rs` → `load`, `chat/src/lib.rs` →
/// `chat`.
fn crate_of_root(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.strip_suffix(".rs")?.split('/').collect();
    let name = match parts[..] {
        [.., "examples" | "tests" | "benches" | "bin", name, "main"] => name,
        [.., package, "src", "lib" | "main"] => package,
        [.., name] => name,
        [] => return None,
    };
    Some(name.replace('-', "_"))
}

/// `chat`, `a/b/mod.rs` → `chat::a::b`.
fn join_modules(krate: &str, inside: &str) -> String {
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    let mut module = krate.to_string();
    if !matches!(inside, "lib" | "main" | "mod") {
        for part in inside.split('/').filter(|part| !part.is_empty()) {
            module.push_str("::");
            module.push_str(part);
        }
    }
    module
}

fn join(directory: &str, file: &str) -> String {
    if file.starts_with('/') || directory.is_empty() {
        return file.into();
    }
    format!("{}/{file}", directory.trim_end_matches('/'))
}

/// The components of a path and where they start.
fn components(path: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    path.split('/').filter_map(move |part| {
        let at = start;
        start += part.len() + 1;
        (!part.is_empty()).then_some((at, part))
    })
}
