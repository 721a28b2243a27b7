use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::super::proto::{Function, Label, Line, Location, Sample, ValueType};
use super::*;
use crate::snapshot::testing::sample;

const LIMIT: usize = 16 << 20;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn error(bytes: &[u8]) -> String {
    decode(bytes, LIMIT).unwrap_err().to_string()
}

/// What we write we read, packed or not.
#[test]
fn own_profiles_are_read_back() {
    let packed = sample().pprof().encode();
    let profile = decode(&packed, LIMIT).unwrap();
    let plain = profile.encode_to_vec();
    assert_eq!(decode(&plain, LIMIT).unwrap(), profile);
    assert_eq!(profile.string(profile.default_sample_type), "inuse_space");
}

/// A file that is no profile is told in one clear line, wherever it is cut.
#[test]
fn what_is_no_profile_is_an_error() {
    let packed = sample().pprof().encode();
    assert!(error(b"").contains("not a pprof profile"));
    assert!(error(b"GET / HTTP/1.1\r\n").contains("not a pprof profile"));
    assert!(error(b"{\"by\": \"site\"}").contains("not a pprof profile"));
    assert!(error(&gzip(b"hello")).contains("not a pprof profile"));
    assert!(error(sample().pprof().to_text().as_bytes()).contains("without debug=1"));
    assert!(error(&packed[..packed.len() / 2]).contains("cut off"));
    let plain = decode(&packed, LIMIT).unwrap().encode_to_vec();
    assert!(error(&plain[..plain.len() - 1]).contains("cut off"));
}

/// Two hundred million zeros pack into 200 KB.
#[test]
fn a_zip_bomb_is_refused_before_it_is_unpacked() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..200 {
        encoder.write_all(&vec![0; 1_000_000]).unwrap();
    }
    assert!(error(&encoder.finish().unwrap()).contains("more than the 16 MiB"));
}

/// Empty messages, labels, lines and packed numbers take far more decoded than written: 2 bytes
/// make 72. Each of these is small enough on the wire.
#[test]
fn an_amplified_message_is_refused_before_it_is_decoded() {
    let many = LIMIT / 64;
    let lists = [
        Profile {
            sample: vec![Sample::default(); many],
            ..Profile::default()
        },
        Profile {
            sample: vec![Sample {
                label: vec![Label::default(); many],
                ..Sample::default()
            }],
            ..Profile::default()
        },
        Profile {
            location: vec![Location {
                line: vec![Line::default(); many],
                ..Location::default()
            }],
            ..Profile::default()
        },
        Profile {
            sample: vec![Sample {
                value: vec![0; many * 10],
                ..Sample::default()
            }],
            ..Profile::default()
        },
        Profile {
            string_table: vec![Vec::new(); many],
            ..Profile::default()
        },
    ];
    for profile in lists {
        let plain = profile.encode_to_vec();
        assert!(plain.len() < LIMIT);
        assert!(error(&plain).contains("more than the 16 MiB"));
    }
}

/// A later reader takes these for granted.
#[test]
fn contradictions_are_refused() {
    let mut profile = Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        string_table: ["", "space", "bytes"].map(|s| s.into()).into(),
        sample: vec![Sample {
            value: vec![7],
            ..Sample::default()
        }],
        ..Profile::default()
    };
    assert!(decode(&profile.encode_to_vec(), LIMIT).is_ok());
    profile.sample[0].value.push(8);
    assert!(error(&profile.encode_to_vec()).contains("sample 0 of the profile has 2 values"));
    profile.sample[0].value.pop();
    profile.function.push(Function {
        name: -1,
        ..Function::default()
    });
    assert!(error(&profile.encode_to_vec()).contains("refers to string -1, but has 3"));
}

/// Names of other tools need not be UTF-8.
#[test]
fn names_that_are_not_utf8_are_read() {
    let profile = Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 0 }],
        string_table: vec![Vec::new(), vec![b'a', 0xff]],
        ..Profile::default()
    };
    let profile = decode(&profile.encode_to_vec(), LIMIT).unwrap();
    assert_eq!(profile.string(1), "a\u{fffd}");
    assert_eq!(profile.string(2), "");
}

proptest! {
    /// Nothing that a file can hold makes the reader panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, LIMIT);
        let _ = decode(&gzip(&bytes), LIMIT);
    }

    /// Nor a profile with a few bytes changed.
    #[test]
    fn damaged_profiles_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)
    ) {
        let profile = decode(&sample().pprof().encode(), LIMIT).unwrap();
        let mut plain = profile.encode_to_vec();
        for (place, byte) in changes {
            let place = place.index(plain.len());
            plain[place] = byte;
        }
        let _ = decode(&plain, LIMIT);
    }
}
