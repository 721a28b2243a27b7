use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::analyze::watched_sample as sample;
use crate::report::By;
use crate::report::pprof::proto;

fn written(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Vec::new();
    snapshot.write(&mut bytes).unwrap();
    bytes
}

fn json() -> String {
    let mut text = String::new();
    MultiGzDecoder::new(&written(&sample())[..])
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// The error's text, which must be one line of a length that people read.
fn refused(bytes: &[u8]) -> String {
    let text = Snapshot::read(bytes).expect_err("refused").to_string();
    assert!(!text.contains('\n') && text.chars().count() < 300, "{text}");
    text
}

/// What is lost on the way is lost to every later report.
#[test]
fn reading_gives_what_was_written() {
    let mut snapshot = sample();
    let site = &mut snapshot.sites[0];
    site.ages[3] = 7;
    site.lifetimes[39] = u32::MAX;
    site.live.bytes_variance = std::f64::consts::PI * 1e17;
    snapshot.info.process.limit_bytes = Some(1 << 40);
    snapshot.info.profile_id = u64::MAX;
    let read = Snapshot::read(&written(&snapshot)[..]).unwrap();
    assert_eq!(read, snapshot);
    for place in 0..snapshot.locations.len() as u32 {
        assert_eq!(read.frames(place), snapshot.frames(place));
    }
    assert_eq!(
        read.top(crate::report::By::Site).to_string(),
        snapshot.top(crate::report::By::Site).to_string()
    );
    assert_eq!(Snapshot::read(json().as_bytes()).unwrap(), sample());
}

/// The verdicts of yesterday's file must be those of yesterday's process, and what was not watched
/// has none.
#[test]
fn verdicts_and_history_come_back() {
    let snapshot = sample();
    let read = Snapshot::read(&written(&snapshot)[..]).unwrap();
    let report = read.growth().unwrap();
    assert_eq!(report.to_json(), snapshot.growth().unwrap().to_json());
    assert_eq!(report.verdicts[0].function, "chat::register");
    assert_eq!(read.watched, snapshot.watched);
    let by = crate::report::By::Function;
    let fastest = read.top(by).sort(crate::report::Sort::Growth);
    assert_eq!(
        fastest.rows()[0].function.as_deref(),
        Some("chat::register")
    );
    let mut unwatched = sample();
    unwatched.watched = None;
    let read = Snapshot::read(&written(&unwatched)[..]).unwrap();
    assert!(read.growth().is_none());
    assert_eq!(read, unwatched);
}

/// What the verdicts compute with must be possible, or a file could bring a reader down.
#[test]
fn growth_that_cannot_be_is_refused() {
    let json = json();
    let (head, growth) = json.split_once("\"growth\":").unwrap();
    for (right, wrong, said) in [
        ("\"tick_seconds\":5.0", "\"tick_seconds\":0.0", "cannot be"),
        (
            "\"tick_seconds\":5.0",
            "\"tick_seconds\":1e300",
            "cannot be",
        ),
        ("\"started_tick\":0", "\"started_tick\":900000", "cannot be"),
        ("\"now_tick\":240", "\"now_tick\":4000000000", "cannot be"),
        ("\"site\":0", "\"site\":99", "site 99, but 8 sites"),
        ("\"bin_ticks\":8", "\"bin_ticks\":7", "cannot be"),
        ("\"bin_ticks\":8", "\"bin_ticks\":1", "cannot be"),
        ("\"end_tick\":240", "\"end_tick\":4000000000", "cannot be"),
        ("\"bins\":[[", "\"bins\":[[-1,0,0,0,0,0,1],[", "cannot be"),
        ("\"records\":[[", "\"records\":[[1e39,1],[", "cannot be"),
        ("\"counts\":[[", "\"counts\":[[32,0,1],[", "cannot be"),
        ("\"live\":[[0,", "\"live\":[[4000000000,", "cannot be"),
        ("\"live\":[[0,1.0", "\"live\":[[0,0.5", "cannot be"),
        (
            "\"records\":[",
            "\"records\":[[1,1],[1,1],[1,1],[1,1],[1,1],[1,1],",
            "more than the 6",
        ),
    ] {
        let damaged = growth.replacen(right, wrong, 1);
        assert_ne!(damaged, growth, "{right}");
        let text = refused(format!("{head}\"growth\":{damaged}").as_bytes());
        assert!(text.contains(said), "{wrong}: {text}");
    }
}

/// Tables are shown on terminals: a name that writes to one, or looks like another row, must not.
#[test]
fn names_of_a_hostile_file_are_plain_text() {
    let mut snapshot = sample();
    let evil = "a\n0 B\x1b]0;owned\x07\u{9b}2J";
    snapshot.info.notes = vec![evil.into()];
    snapshot.modules[0].path = evil.into();
    let mut json = String::new();
    let packed = written(&snapshot);
    MultiGzDecoder::new(&packed[..])
        .read_to_string(&mut json)
        .unwrap();
    let escaped = serde_json::to_string(evil).unwrap();
    let json = json.replace("\"chat::register\"", &escaped);
    let read = Snapshot::read(json.as_bytes()).unwrap();
    let mut other = profile(&["inuse_objects", "inuse_space"], &[&[1, 10]]);
    let name = other.windows(8).position(|name| name == b"main.reg");
    let place = name.expect("the profile's function");
    other[place..place + 4].copy_from_slice(b"\x1b[2J");
    for snapshot in [read, Snapshot::read(&other[..]).unwrap()] {
        let table = snapshot.top(crate::report::By::Site).to_string();
        let growth = snapshot.growth().map(|report| report.to_string());
        let diff = snapshot.diff(&snapshot).to_string();
        let text = [table, growth.unwrap_or_default(), diff].concat();
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert!(!text.lines().any(|line| line.starts_with("0 B")), "{text}");
    }
}

/// A half-written file must never stand where a whole one stood.
#[test]
fn saving_replaces_the_whole_file_and_leaves_nothing_beside_it() {
    let directory = std::env::temp_dir().join(format!("heapwatch-save-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("a.heap");
    fs::write(&path, "old").unwrap();
    sample().save(&path).unwrap();
    assert_eq!(Snapshot::open(&path).unwrap(), sample());
    assert!(sample().save(directory.join("none").join("a")).is_err());
    assert!(sample().save("..").is_err());
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    fs::remove_dir_all(&directory).unwrap();
}

/// Each says what is wrong, and what would be right where there is something.
#[test]
fn what_is_no_snapshot_is_told_in_one_line() {
    let json = json();
    let newer = json.replacen("\"version\":1", "\"version\":2,\"unheard\":[{}]", 1);
    let newer_without_sites = r#"{"format":"heapwatch-snapshot","version":7,"sites":4}"#;
    for newer in [newer.as_bytes(), newer_without_sites.as_bytes()] {
        assert!(refused(newer).contains("use a newer heapwatch"));
        assert!(refused(&gzip(newer)).contains("use a newer heapwatch"));
    }
    assert!(refused(b"").contains("empty"));
    assert!(refused(b"hello").contains("not a pprof profile"));
    assert!(refused(b"{}").contains("missing field `format`"));
    assert!(refused(br#"{"format":"x","version":1}"#).contains("must be \"heapwatch-snapshot\""));
    assert!(refused(&json.as_bytes()[..json.len() / 2]).contains("cut off"));
    let packed = written(&sample());
    assert!(refused(&packed[..packed.len() - 20]).contains("cut off"));
    let long = format!(
        r#"{{"format":"heapwatch-snapshot","version":"{}"}}"#,
        "\\n".repeat(9_999)
    );
    assert!(refused(long.as_bytes()).contains("invalid type"));
    for (right, wrong, said) in [
        ("\"stack\":[0,", "\"stack\":[999,", "location 999"),
        ("\"frames\":[0,", "\"frames\":[999,", "frame 999"),
        ("\"module\":0", "\"module\":99", "module 99"),
        ("\"objects\":", "\"objects\":-", "cannot be"),
        ("\"bytes\":", "\"bytes\":9e99,\"x\":", "cannot be"),
        ("\"bytes\":", "\"bytes\":1e-9,\"x\":", "cannot be"),
        (
            "\"samples\":40",
            "\"samples\":18446744073709551615",
            "cannot be",
        ),
        (
            "\"ages\":[]",
            &format!("\"ages\":[{}1]", "0,".repeat(40)),
            "41 buckets",
        ),
        (
            "\"ages\":[]",
            &format!("\"ages\":[{}1]", "0,".repeat(70)),
            "more than the 64",
        ),
        ("0000000000001111", "1111", "16 hex digits"),
    ] {
        let damaged = json.replacen(right, wrong, 1);
        assert_ne!(damaged, json, "{right}");
        let text = refused(damaged.as_bytes());
        assert!(text.contains(said), "{wrong}: {text}");
    }
}

/// A row by site has all frames of its stack: places that name thousands, in stacks of thousands,
/// would be more than any memory.
#[test]
fn stacks_of_more_frames_than_can_be_listed_are_refused() {
    let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
    file["locations"][0]["frames"] = vec![0; 4_096].into();
    for site in file["sites"].as_array_mut().unwrap() {
        site["stack"] = vec![0; 4_096].into();
    }
    let text = refused(file.to_string().as_bytes());
    assert!(text.contains("134217728 frames in all"), "{text}");
    let sites = file["sites"].as_array_mut().unwrap();
    for site in &mut sites[1..] {
        site["stack"] = vec![0; 1].into();
    }
    let text = refused(file.to_string().as_bytes());
    assert!(text.contains("a stack has 16777216 frames"), "{text}");
}

/// A file has a name once, and reports have it for each frame: one of megabytes would be gigabytes.
/// What is cut must be what was written where we wrote it, or a snapshot would change by being kept.
#[test]
fn long_texts_are_cut_where_those_of_a_process_are() {
    let long = "é".repeat(50_000);
    let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
    let origin = serde_json::json!({"dependency": {"name": long, "version": long}});
    let frame = serde_json::json!({
        "function": long, "file": long, "line": 1, "origin": origin, "inlined": false
    });
    file["frames"][0] = frame;
    file["modules"][0]["path"] = long.clone().into();
    file["info"]["process"]["os"] = long.clone().into();
    let snapshot = Snapshot::read(file.to_string().as_bytes()).unwrap();
    let cut_at = |bytes: usize| format!("{}…", &long[..bytes]);
    let frames = snapshot
        .names
        .get()
        .unwrap()
        .frames
        .iter()
        .flat_map(|frames| frames.iter());
    let cut = frames
        .clone()
        .find(|frame| *frame.function == *cut_at(4096));
    let cut = cut.expect("the frame");
    assert_eq!(cut.file.as_deref(), Some(&*cut_at(4096)));
    let crate::snapshot::Origin::Dependency { name, version } = &cut.origin else {
        panic!("{:?}", cut.origin);
    };
    assert_eq!((&**name, &**version), (&*cut_at(254), &*cut_at(254)));
    assert_eq!(snapshot.modules[0].path, cut_at(4096));
    assert_eq!(snapshot.info.process.os, cut_at(4096));
    let again = Snapshot::read(&written(&snapshot)[..]).unwrap();
    assert_eq!(again, snapshot);
    assert_eq!(again.names, snapshot.names);
}

/// Each history is about a KiB to keep and may be a verdict to tell.
#[test]
fn more_histories_than_a_process_keeps_are_refused() {
    let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
    let site = file["growth"]["sites"][0].clone();
    assert!(site["history"].is_object());
    file["growth"]["sites"] = vec![site; 16_385].into();
    let text = refused(file.to_string().as_bytes());
    assert!(
        text.contains("history of 16385 sites, and at most 16384"),
        "{text}"
    );
}

/// Each site of a table of changes or verdicts has texts of its own.
#[test]
fn more_names_of_sites_than_a_full_table_has_are_refused() {
    let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
    let long = "a".repeat(5_000);
    file["frames"][0]["function"] = long.clone().into();
    file["frames"][0]["file"] = long.into();
    file["locations"][0]["frames"] = vec![0].into();
    let mut site = file["sites"][0].clone();
    site["stack"] = vec![0].into();
    file["sites"] = vec![site; 65_536].into();
    file["growth"].take();
    assert!(Snapshot::read(file.to_string().as_bytes()).is_ok());
    let sites = file["sites"].as_array_mut().unwrap();
    sites.push(sites[0].clone());
    let text = refused(file.to_string().as_bytes());
    assert!(text.contains("longest names of all sites"), "{text}");
}

/// Fields of later additions do not make a file unreadable.
#[test]
fn unknown_fields_are_passed_over() {
    let more = json().replacen("\"version\":1", "\"version\":1,\"later\":{\"a\":[1,{}]}", 1);
    assert_eq!(Snapshot::read(more.as_bytes()).unwrap(), sample());
}

fn text(profile: &mut proto::Profile, text: &str) -> i64 {
    profile.string_table.push(text.as_bytes().to_vec());
    profile.string_table.len() as i64 - 1
}

/// A profile with these sample types and, on one stack, these values.
fn profile(types: &[&str], values: &[&[i64]]) -> Vec<u8> {
    let mut profile = proto::Profile::default();
    text(&mut profile, "");
    for name in types {
        let r#type = text(&mut profile, name);
        profile
            .sample_type
            .push(proto::ValueType { r#type, unit: 0 });
    }
    let name = text(&mut profile, "main.register");
    let filename = text(&mut profile, "/srv/main.go");
    profile.function.push(proto::Function {
        id: 9,
        name,
        filename,
        ..Default::default()
    });
    profile.location.push(proto::Location {
        id: 5,
        address: 0x1000,
        line: vec![proto::Line {
            function_id: 9,
            line: 12,
        }],
        ..Default::default()
    });
    for value in values {
        profile.sample.push(proto::Sample {
            location_id: vec![5],
            value: value.to_vec(),
            label: Vec::new(),
        });
    }
    profile.encode_to_vec()
}

/// Go's four types, the two that others write, and compression or none.
#[test]
fn heap_profiles_of_other_tools_are_read() {
    let four = [
        "alloc_objects",
        "alloc_space",
        "inuse_objects",
        "inuse_space",
    ];
    // Samples of one stack, which Go tells apart by a label.
    let go = profile(&four, &[&[10, 1000, 4, 400], &[1, 64, 1, 64]]);
    for bytes in [gzip(&go), go] {
        let snapshot = Snapshot::read(&bytes[..]).unwrap();
        assert_eq!(snapshot.sites.len(), 1);
        assert_eq!(
            (snapshot.live().bytes, snapshot.live().objects),
            (464.0, 5.0)
        );
        assert_eq!(
            (snapshot.allocated().bytes, snapshot.freed().bytes),
            (1064.0, 600.0)
        );
        let top = snapshot.top(crate::report::By::Site).to_string();
        assert!(top.contains("main.register (/srv/main.go:12)"), "{top}");
        assert!(top.contains("does not tell how far"), "{top}");
        assert!(!top.contains('±'), "{top}");
        // What the profile does not hold is not made up.
        let facts = "heap by site, most live bytes first, time unknown\na pprof profile, 1 sites\n";
        assert!(top.starts_with(facts), "{top}");
        assert!(top.contains("464 B            unknown    100 %"), "{top}");
        let json = snapshot.top(crate::report::By::Site).to_json();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for fact in [
            "taken_seconds",
            "watched_seconds",
            "pid",
            "samples",
            "self_bytes",
            "interval_bytes",
        ] {
            assert!(json[fact].is_null(), "{fact}: {json}");
        }
        let diff = snapshot.diff(&snapshot).to_string();
        assert!(
            diff.contains("from time unknown, a pprof profile\n"),
            "{diff}"
        );
        assert_eq!(Snapshot::read(&written(&snapshot)[..]).unwrap(), snapshot);
    }
    let live = Snapshot::read(&profile(&["objects", "space"], &[&[2, 50]])[..]).unwrap();
    assert_eq!((live.live().bytes, live.info.notes.len()), (50.0, 1));
}

#[test]
fn profiles_of_something_else_are_refused() {
    let cpu = profile(&["samples", "cpu"], &[&[1, 2]]);
    assert!(refused(&cpu).contains("\"samples\", and a heap profile has some of inuse_objects"));
    assert!(refused(&profile(&["inuse_objects"], &[&[1]])).contains("neither inuse_space"));
    assert!(refused(&profile(&["inuse_space"; 2], &[&[1, 2]])).contains("twice"));
    assert!(refused(&profile(&["inuse_space"], &[&[-1]])).contains("difference of two"));
}

/// Our own profiles, read back, show the same numbers at the same call sites.
#[test]
fn own_profiles_are_read_back() {
    let snapshot = sample();
    let read = Snapshot::read(&snapshot.pprof().encode()[..]).unwrap();
    let facts = |snapshot: &Snapshot| {
        let info = &snapshot.info;
        (
            info.samples,
            info.watched_seconds,
            info.pid,
            info.interval_bytes,
            info.taken,
        )
    };
    assert_eq!(facts(&read), facts(&snapshot));
    let by = crate::report::By::Function;
    let (ours, theirs) = (snapshot.top(by), read.top(by));
    for (ours, theirs) in ours.rows().iter().zip(theirs.rows()) {
        assert_eq!(ours.function, theirs.function);
        assert_eq!(
            ours.amounts.live_bytes.estimate,
            theirs.amounts.live_bytes.estimate
        );
    }
}

fn mutated(mut bytes: Vec<u8>, changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for (at, value) in changes {
        let length = bytes.len();
        bytes[at % length] = *value;
    }
    bytes.truncate(cut.max(1));
    bytes
}

/// Reads bytes, and uses what was read: an index that was not checked would panic here.
fn use_all(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::read(bytes) {
        let top = snapshot.top(crate::report::By::Site);
        assert!(!top.to_string().is_empty() && !top.to_json().is_empty());
        if let Some(report) = snapshot.growth() {
            assert!(!report.to_string().is_empty() && !report.to_json().is_empty());
        }
        assert!(!top.sort(crate::report::Sort::Growth).to_string().is_empty());
        assert!(!snapshot.top(By::Function).to_json().is_empty());
        assert!(!snapshot.pprof().to_text().is_empty());
        let _ = snapshot.write_folded(crate::report::SampleType::AllocSpace, std::io::sink());
        let mut other = sample();
        for profile in [snapshot.info.profile_id, 1] {
            other.info.profile_id = profile;
            for diff in [snapshot.diff(&other), other.diff(&snapshot)] {
                assert!(!diff.to_string().is_empty() && !diff.by(By::Crate).to_json().is_empty());
            }
        }
        assert!(Snapshot::read(&written(&snapshot)[..]).is_ok());
    }
}

const EXTREMES: [u64; 13] = [
    0,
    1,
    2,
    31,
    32,
    65_535,
    1 << 27,
    1 << 28,
    1 << 31,
    u32::MAX as u64 / 3,
    u32::MAX as u64,
    1 << 45,
    u64::MAX,
];

const EXTREME_SUMS: [f64; 7] = [0.0, 1e-300, 1e-7, 0.5, 1.0, 1e19, 1e60];

fn numbers_in<'v>(value: &'v mut serde_json::Value, found: &mut Vec<&'v mut serde_json::Value>) {
    if value.is_number() {
        return found.push(value);
    }
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(|one| numbers_in(one, found)),
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(|one| numbers_in(one, found))
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Short forms of the fuzz targets.
    #[test]
    fn damaged_snapshots_do_no_harm(
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        cut in 1_usize..200_000,
    ) {
        use_all(&mutated(json().into_bytes(), &changes, cut));
        use_all(&mutated(written(&sample()), &changes, cut));
    }

    /// What changed bytes rarely make.
    #[test]
    fn numbers_at_the_ends_of_their_types_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..EXTREMES.len()), 1..8),
    ) {
        let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
        let mut numbers = Vec::new();
        let (info, growth) = (file["info"].take(), file["growth"].take());
        let mut parts = serde_json::json!({ "info": info, "growth": growth });
        numbers_in(&mut parts, &mut numbers);
        for (number, extreme) in changes {
            let place = number.index(numbers.len());
            *numbers[place] = EXTREMES[extreme].into();
        }
        file["info"] = parts["info"].take();
        file["growth"] = parts["growth"].take();
        use_all(file.to_string().as_bytes());
    }

    /// Counters that only just may be, and some that may not.
    #[test]
    fn extreme_counters_do_no_harm(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..EXTREME_SUMS.len()),
            1..12,
        ),
        samples in prop::collection::vec(0..EXTREMES.len(), 2),
    ) {
        let mut file: serde_json::Value = serde_json::from_str(&json()).unwrap();
        let sites = file["sites"].as_array_mut().unwrap();
        for (site, samples) in sites.iter_mut().zip(samples) {
            site["samples"] = EXTREMES[samples].into();
        }
        let sums = |site: &mut serde_json::Value| {
            serde_json::json!([site["live"].take(), site["allocated"].take(), site["freed"].take()])
        };
        let mut all: Vec<_> = sites.iter_mut().map(sums).collect();
        let mut numbers = Vec::new();
        all.iter_mut().for_each(|one| numbers_in(one, &mut numbers));
        for (number, extreme) in changes {
            let place = number.index(numbers.len());
            *numbers[place] = EXTREME_SUMS[extreme].into();
        }
        for (site, mut sums) in sites.iter_mut().zip(all) {
            for (index, name) in ["live", "allocated", "freed"].into_iter().enumerate() {
                site[name] = sums[index].take();
            }
        }
        use_all(file.to_string().as_bytes());
    }

    #[test]
    fn damaged_profiles_do_no_harm(
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        cut in 1_usize..4_000,
    ) {
        let mut plain = Vec::new();
        let packed = sample().pprof().encode();
        MultiGzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
        use_all(&mutated(plain, &changes, cut));
    }

    #[test]
    fn anything_at_all_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        use_all(&bytes);
        use_all(&gzip(&bytes));
    }
}
