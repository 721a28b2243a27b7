//! What an object file does not say of its code, and what to do about it.

use super::names::escaped;

/// What is missing in a file that rustc made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// The names of functions, and all else.
    Symbols,
    /// Lines and inlined functions.
    Lines,
    /// The same, because they are in other files.
    Split,
    /// Nothing, but this build of heapwatch reads no files.
    #[cfg(not(feature = "symbols"))]
    Unread,
}

impl Lack {
    pub(super) const ALL: [Lack; 3] = [Lack::Symbols, Lack::Lines, Lack::Split];

    /// What is missing, and how to get it.
    pub(super) fn cure(self, path: &str) -> String {
        let file = escaped(path.rsplit('/').next().unwrap_or_default());
        match self {
            Lack::Symbols => format!(
                "{file} is stripped, so names are missing: set strip = \"none\" and debug = \"line-tables-only\" \
                 in its Cargo profile, or complete a snapshot of it with heapwatch symbolize"
            ),
            Lack::Lines => format!(
                "{file} has no line tables, so lines and inlined functions are missing: set \
                 debug = \"line-tables-only\" in its Cargo profile"
            ),
            Lack::Split => format!(
                "the debug information of {file} is in other files, so lines and inlined functions are missing: \
                 set split-debuginfo = \"off\" in its Cargo profile"
            ),
            #[cfg(not(feature = "symbols"))]
            Lack::Unread => {
                "this build of heapwatch reads no files, so names are missing: turn on its feature \
                             symbols, or complete a snapshot with heapwatch symbolize"
                    .to_owned()
            }
        }
    }
}
