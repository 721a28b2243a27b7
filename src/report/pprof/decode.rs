//! Reads profiles that any tool has written, in bounded memory.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::proto::Profile;
use crate::Error;

/// Field of [`Profile::string_table`].
const STRING_TABLE: u32 = 6;

/// At least what an empty message in a list takes when it is decoded.
const MESSAGE_BYTES: usize = 96;

/// Reads a profile, gzip or not.
///
/// Neither the profile unpacked nor its decoded form takes more than about `limit` bytes, whatever
/// `bytes` hold.
///
/// # Errors
///
/// [`Error::Format`] if `bytes` are no pprof profile, are cut off, contradict themselves, or would
/// take more than `limit` bytes.
pub(crate) fn decode(bytes: &[u8], limit: usize) -> Result<Profile, Error> {
    if bytes.starts_with(b"heap profile:") {
        return Err(format(
            "this is pprof's legacy text form; fetch the profile without debug=1",
        ));
    }
    let unpacked;
    let plain = if bytes.starts_with(&[0x1f, 0x8b]) {
        unpacked = unpack(bytes, limit)?;
        &unpacked
    } else {
        bytes
    };
    let cost = cost(plain, 0).ok_or_else(not_a_profile)?;
    if plain.len().max(cost) > limit {
        return Err(too_large(limit));
    }
    let profile = Profile::decode(plain).map_err(|_| not_a_profile())?;
    check(&profile)?;
    Ok(profile)
}

fn unpack(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    let bound = limit as u64 + 1;
    let read = MultiGzDecoder::new(bytes)
        .take(bound)
        .read_to_end(&mut plain);
    match read {
        Ok(_) if plain.len() > limit => Err(too_large(limit)),
        Ok(_) => Ok(plain),
        Err(error) => Err(format(&format!(
            "the gzip data cannot be unpacked, is it cut off? ({error})"
        ))),
    }
}

/// At most what a message's fields take in memory once decoded; nothing if they are malformed.
///
/// Two bytes can stand for an empty message of dozens, so the size of the data alone bounds
/// nothing. Messages nest three deep in a profile; what looks like one further in is numbers.
fn cost(mut data: &[u8], depth: usize) -> Option<usize> {
    let mut cost = 0usize;
    while !data.is_empty() {
        let (field, wire_type) = decode_key(&mut data).ok()?;
        let skipped = match wire_type {
            WireType::Varint => {
                decode_varint(&mut data).ok()?;
                cost = cost.saturating_add(8);
                continue;
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut data).ok()?).ok()?,
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let (content, rest) = data.split_at_checked(skipped)?;
        data = rest;
        if wire_type == WireType::LengthDelimited {
            let inside = if depth == 0 && field == STRING_TABLE {
                content.len()
            } else {
                // Packed numbers take 8 bytes for 1.
                let numbers = content.len().saturating_mul(8);
                match depth {
                    0 | 1 => self::cost(content, depth + 1).unwrap_or(0).max(numbers),
                    _ => numbers,
                }
            };
            cost = cost.saturating_add(MESSAGE_BYTES).saturating_add(inside);
        }
    }
    Some(cost)
}

/// Refuses what a later reader would stumble over.
fn check(profile: &Profile) -> Result<(), Error> {
    if profile.sample_type.is_empty() && profile.string_table.is_empty() {
        return Err(not_a_profile());
    }
    let strings = profile.string_table.len();
    let known = |index: i64| usize::try_from(index).is_ok_and(|index| index < strings.max(1));
    let types = profile.sample_type.iter().chain(&profile.period_type);
    let used = types
        .flat_map(|of| [of.r#type, of.unit])
        .chain(
            profile
                .function
                .iter()
                .flat_map(|f| [f.name, f.system_name, f.filename]),
        )
        .chain(
            profile
                .mapping
                .iter()
                .flat_map(|m| [m.filename, m.build_id]),
        )
        .chain(profile.comment.iter().copied())
        .chain([profile.default_sample_type]);
    for index in used {
        if !known(index) {
            return Err(format(&format!(
                "the profile refers to string {index}, but has {strings}"
            )));
        }
    }
    for (index, sample) in profile.sample.iter().enumerate() {
        if sample.value.len() != profile.sample_type.len() {
            return Err(format(&format!(
                "sample {index} of the profile has {} values, but there are {} sample types",
                sample.value.len(),
                profile.sample_type.len()
            )));
        }
    }
    Ok(())
}

fn format(text: &str) -> Error {
    Error::Format(text.to_owned())
}

fn not_a_profile() -> Error {
    format("this is not a pprof profile (a protocol buffer, gzip or not), or it is cut off")
}

fn too_large(limit: usize) -> Error {
    format(&format!(
        "the profile takes more than the {} MiB of memory that are allowed for it",
        limit >> 20
    ))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
