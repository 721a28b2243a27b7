//! A small program compiled at several debug levels, and what its file says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ::object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use super::super::cache::Cache;
use super::super::resolve_with;
use crate::snapshot::{Frame, Location, Module};

/// A folder that is removed again.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("heapwatch-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Compiles the probe with these options.
    pub(super) fn probe(&self, options: &[&str]) -> PathBuf {
        fs::create_dir_all(self.0.join("src")).unwrap();
        fs::write(self.0.join("src/probe.rs"), include_str!("probe.rs")).unwrap();
        let done = Command::new("rustc")
            .current_dir(&self.0)
            .args([
                "--edition=2021",
                "--crate-name=probe",
                "-O",
                "-Ccodegen-units=1",
            ])
            .args(["-Clink-arg=-Wl,--build-id", "-o", "probe", "src/probe.rs"])
            .args(options)
            .output()
            .expect("rustc is needed to test with real binaries");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        self.0.join("probe")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(program: &str, arguments: &[&str], files: &[&Path]) {
    let status = Command::new(program).args(arguments).args(files).status();
    assert!(
        status.expect("binutils come with the linker").success(),
        "{program}"
    );
}

pub(super) fn build_id(path: &Path) -> Option<String> {
    let bytes = fs::read(path).unwrap();
    let object = ::object::File::parse(&*bytes).unwrap();
    let id = object.build_id().unwrap()?;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A module that lies where its file says.
pub(super) fn module(path: &Path) -> Module {
    Module {
        path: path.to_str().unwrap().into(),
        build_id: build_id(path),
        start: 0,
        end: u64::MAX,
        bias: 0,
    }
}

/// Address and size of the function whose mangled name holds all these words.
pub(super) fn symbol(path: &Path, words: &[&str]) -> (u64, u64) {
    let bytes = fs::read(path).unwrap();
    let object = ::object::File::parse(&*bytes).unwrap();
    let symbol = object
        .symbols()
        .find(|symbol| {
            let name = symbol.name().unwrap_or_default();
            symbol.size() > 0 && words.iter().all(|word| name.contains(word))
        })
        .unwrap_or_else(|| panic!("no function {words:?}"));
    (symbol.address(), symbol.size())
}

pub(super) fn at(module: &Module, addresses: impl IntoIterator<Item = u64>) -> Vec<Arc<[Frame]>> {
    let locations: Vec<Location> = addresses
        .into_iter()
        // Return addresses lie behind the call.
        .map(|address| Location {
            address: address + 1,
            module: Some(0),
        })
        .collect();
    resolve_with(&Cache::default(), std::slice::from_ref(module), &locations).frames
}

/// The frames of every address in a function.
pub(super) fn within(module: &Module, (address, size): (u64, u64)) -> Vec<Arc<[Frame]>> {
    at(module, address..address + size)
}

pub(super) fn names(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| &*frame.function).collect()
}

/// Address and size of the code.
pub(super) fn text_of(path: &Path) -> (u64, u64) {
    let bytes = fs::read(path).unwrap();
    let object = ::object::File::parse(&*bytes).unwrap();
    let text = object.section_by_name(".text").unwrap();
    (text.address(), text.size())
}
