//! How parts of a snapshot are written down, and read in bounded memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

/// A number as 16 hex digits: JSON readers elsewhere lose digits of large ones.
pub(crate) struct Hex;

impl Hex {
    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:016x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("16 hex digits")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
                let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let value = hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
                value.ok_or_else(|| E::custom("an id must have 16 hex digits"))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

/// A list of at most `MAX` items: two bytes of JSON can stand for dozens in memory.
pub(crate) fn bounded<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    within(deserializer, MAX, usize::MAX, |_| 0)
}

/// A list of at most `max` items, which together have at most `max_inner` of what `inner` counts.
pub(crate) fn within<'de, D, T>(
    deserializer: D,
    max: usize,
    max_inner: usize,
    inner: fn(&T) -> usize,
) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(List {
        max,
        max_inner,
        inner,
    })
}

struct List<T> {
    max: usize,
    max_inner: usize,
    inner: fn(&T) -> usize,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} items", self.max)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let (mut list, mut inside) = (Vec::new(), 0);
        while let Some(item) = items.next_element()? {
            inside += (self.inner)(&item);
            for (count, max, whose) in [
                (list.len() + 1, self.max, "a list has"),
                (inside, self.max_inner, "the lists in a list have together"),
            ] {
                if count > max {
                    return Err(A::Error::custom(format_args!(
                        "{whose} more than the {max} items that are allowed"
                    )));
                }
            }
            list.push(item);
        }
        Ok(list)
    }
}
