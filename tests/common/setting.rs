//! Settings of the whole machine, which only root may change, and which a test must leave as they
//! were, however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A setting that was changed, until this is dropped.
pub struct Setting {
    file: PathBuf,
    before: String,
    keeper: Child,
}

/// Waits until its input ends, as it does when the test drops it or is killed, and then writes the
/// old value back. Signals to the whole group are the test's, not the keeper's.
const KEEP: &str = r#"trap "" INT TERM HUP; cat >/dev/null; printf %s "$1" > "$2""#;

impl Setting {
    pub fn change(file: &str, value: &str) -> Setting {
        let file = PathBuf::from(file);
        let before = read(&file);
        let keeper = Command::new("sh")
            .args(["-c", KEEP, "keeper", &before])
            .arg(&file)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let setting = Setting {
            file,
            before,
            keeper,
        };
        fs::write(&setting.file, value)
            .unwrap_or_else(|error| panic!("{}: {error}", setting.file.display()));
        assert_eq!(read(&setting.file), value);
        setting
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        if !std::thread::panicking() {
            assert_eq!(read(&self.file), self.before, "{}", self.file.display());
        }
    }
}

/// The value; of a list of choices the one in brackets.
fn read(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let chosen = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or(text.trim(), |(chosen, _)| chosen).to_owned()
}
