//! `syn` parsing of a generated source file.

use std::fmt::Write;

use fastrand::Rng;
use syn::{File, Item};

use crate::SEED;

const TYPES: usize = 25;
const PARSES: usize = 240;

/// Parses the file over and over; each tree is dropped before the next is built.
pub fn run() -> anyhow::Result<u64> {
    let source = source()?;
    let mut checksum = 0u64;
    for _ in 0..PARSES {
        let file = syn::parse_file(&source)?;
        checksum = checksum.wrapping_add(methods(&file) as u64);
    }
    Ok(checksum)
}

fn source() -> anyhow::Result<String> {
    let mut rng = Rng::with_seed(SEED);
    let mut source = String::from("use std::collections::HashMap;\n");
    for number in 0..TYPES {
        write_type(&mut source, number, &mut rng)?;
    }
    Ok(source)
}

fn write_type(source: &mut String, number: usize, rng: &mut Rng) -> anyhow::Result<()> {
    let fields = rng.usize(2..8);
    writeln!(source, "/// Number {number}.\n#[derive(Clone, Debug)]")?;
    writeln!(
        source,
        "pub struct Type{number}<'a, T: Into<u64> + Clone> {{"
    )?;
    for field in 0..fields {
        writeln!(
            source,
            "    field_{field}: HashMap<&'a str, Vec<Option<(T, [u8; {field}])>>>,"
        )?;
    }
    writeln!(
        source,
        "}}\n\nimpl<'a, T: Into<u64> + Clone> Type{number}<'a, T> {{"
    )?;
    for method in 0..fields {
        let (first, second) = (rng.u32(..1000), rng.u32(..1000));
        writeln!(
            source,
            r#"    pub fn method_{method}(&mut self, key: &'a str, mut limit: u64) -> Result<u64, String> {{
        let total = self.field_{method}.get(key).map_or({first}, |list| list.len() as u64 * 2);
        while limit > total + {second} {{
            limit -= match total % 3 {{
                0 => self.field_{method}.values().flatten().filter_map(|pair| pair.as_ref()).count() as u64,
                1 if key.starts_with("a") => (total << 2) ^ {first},
                _ => return Err(format!("no {{key}} in {{}}", stringify!(Type{number}))),
            }};
        }}
        Ok(limit.wrapping_add(total))
    }}"#
        )?;
    }
    writeln!(source, "}}\n")?;
    Ok(())
}

fn methods(file: &File) -> usize {
    let methods = |item: &Item| match item {
        Item::Impl(block) => block.items.len(),
        _ => 0,
    };
    file.items.iter().map(methods).sum()
}
