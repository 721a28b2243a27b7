//! What a table is grouped and ordered by, as its users spell it.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::Error;

/// What a row of a table stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum By {
    /// One distinct stack.
    Site,
    /// All stacks with the same function at their call site.
    Function,
    /// All stacks with the same crate, and version of it, at their call site.
    Crate,
    /// All stacks that allocate for the same type, such as `HashMap<u64, chat::Session>`, as far as
    /// the names in them tell it.
    Type,
    /// All live asynchronous tasks by what was spawned, such as `chat::client`. The bytes are those
    /// of the tasks themselves, without what they have allocated; what is no task is in no row.
    Task,
}

/// What a table is ordered by, most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sort {
    /// Live bytes.
    Live,
    /// How fast live bytes have grown over the last two thirds of the watch.
    Growth,
    /// Bytes allocated since the start.
    Allocated,
}

impl By {
    const ALL: [(&'static str, By); 5] = [
        ("site", By::Site),
        ("function", By::Function),
        ("crate", By::Crate),
        ("type", By::Type),
        ("task", By::Task),
    ];
}

#[cfg(feature = "server")]
impl By {
    /// All choices, as they are spelt.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        By::ALL.iter().map(|(name, _)| *name)
    }
}

impl Sort {
    const ALL: [(&'static str, Sort); 3] = [
        ("live", Sort::Live),
        ("growth", Sort::Growth),
        ("allocated", Sort::Allocated),
    ];
}

impl By {
    /// All of them.
    pub fn all() -> impl Iterator<Item = By> {
        Self::ALL.into_iter().map(|(_, choice)| choice)
    }

    /// How its users spell it.
    pub fn name(self) -> &'static str {
        name_of(self, &Self::ALL)
    }
}

impl FromStr for By {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        choose("by", text, &By::ALL)
    }
}

impl Sort {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Sort> {
        Self::ALL.into_iter().map(|(_, choice)| choice)
    }

    /// How its users spell it.
    pub fn name(self) -> &'static str {
        name_of(self, &Self::ALL)
    }
}

impl FromStr for Sort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        choose("sort", text, &Sort::ALL)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

fn choose<T: Copy>(what: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Error> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    Err(Error::Config(format!(
        "{what} is one of {}, not {text:?}",
        names.join(", ")
    )))
}

fn name_of<T: PartialEq>(value: T, choices: &[(&'static str, T)]) -> &'static str {
    let named = choices.iter().find(|(_, choice)| *choice == value);
    named.map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed must be what is understood, and an error must name the choices.
    #[test]
    fn names_round_trip_and_errors_name_the_choices() {
        for (name, by) in By::ALL {
            assert_eq!(name.parse::<By>().unwrap(), by);
            assert_eq!(by.to_string(), name);
        }
        for (name, sort) in Sort::ALL {
            assert_eq!(name.parse::<Sort>().unwrap(), sort);
            assert_eq!(sort.to_string(), name);
        }
        let error = "Site".parse::<By>().unwrap_err().to_string();
        assert_eq!(
            error,
            r#"by is one of site, function, crate, type, task, not "Site""#
        );
        let error = "".parse::<Sort>().unwrap_err().to_string();
        assert_eq!(error, r#"sort is one of live, growth, allocated, not """#);
    }
}
