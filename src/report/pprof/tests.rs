use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::decode::decode;
use super::proto::Profile;
use super::*;
use crate::analyze::By;
use crate::report::golden;
use crate::snapshot::testing::{Builder, frame, own, sample};

fn read(pprof: Pprof<'_>) -> Profile {
    decode(&pprof.encode(), 64 << 20).unwrap()
}

/// Function names of each sample, innermost first, with its values.
fn stacks(profile: &Profile) -> Vec<(Vec<String>, [i64; 4])> {
    let functions: HashMap<u64, i64> = profile.function.iter().map(|f| (f.id, f.name)).collect();
    let samples = profile.sample.iter().map(|sample| {
        let names = sample.location_id.iter().flat_map(|&id| {
            let location = &profile.location[id as usize - 1];
            assert_eq!(location.id, id);
            location
                .line
                .iter()
                .map(|line| functions[&line.function_id])
        });
        let names = names
            .map(|name| profile.string(name).into_owned())
            .collect();
        (names, sample.value.clone().try_into().unwrap())
    });
    samples.collect()
}

fn find<'a>(stacks: &'a [(Vec<String>, [i64; 4])], function: &str) -> &'a (Vec<String>, [i64; 4]) {
    stacks
        .iter()
        .find(|(names, _)| names[0] == function)
        .unwrap()
}

/// Flat bytes belong on the user's call sites: what std and collections did for them is cut off,
/// whether it was called or inlined.
#[test]
fn stacks_begin_at_the_call_site() {
    let profile = read(sample().pprof());
    let stacks = stacks(&profile);
    assert_eq!(
        find(&stacks, "chat::register").0,
        ["chat::register", "chat::main"]
    );
    assert_eq!(
        find(&stacks, "bytes::BytesMut::reserve").0,
        ["bytes::BytesMut::reserve", "chat::decode", "chat::main"]
    );
    // Nothing but std, and nothing at all.
    assert_eq!(stacks.len(), 8);
    find(&stacks, "std::thread::current::init");
    find(&stacks, "[stack not captured]");
    find(&stacks, "[sites beyond the table]");
}

/// The endpoint's table and profile must tell the same numbers.
#[test]
fn values_are_those_of_the_table() {
    let snapshot = sample();
    let total = snapshot.top(By::Site).total();
    let expected = [
        total.allocated_objects,
        total.allocated_bytes,
        total.live_objects,
        total.live_bytes,
    ]
    .map(|amount| amount.estimate as i64);
    let mut sums = [0; 4];
    for (_, values) in stacks(&read(snapshot.pprof())) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value;
        }
    }
    assert_eq!(sums, expected);
}

/// Readers rely on these to scale, to date and to find files.
#[test]
fn header_and_mappings_are_complete() {
    let snapshot = sample();
    let profile = read(snapshot.pprof());
    let types: Vec<String> = profile
        .sample_type
        .iter()
        .chain(&profile.period_type)
        .map(|of| format!("{}/{}", profile.string(of.r#type), profile.string(of.unit)))
        .collect();
    assert_eq!(
        types,
        [
            "alloc_objects/count",
            "alloc_space/bytes",
            "inuse_objects/count",
            "inuse_space/bytes",
            "space/bytes"
        ]
    );
    assert_eq!(profile.period, 524_288);
    assert_eq!(profile.string(profile.default_sample_type), "inuse_space");
    assert_eq!(
        (profile.time_nanos, profile.duration_nanos),
        (1_700_000_000_000_000_000, 0)
    );
    let comments: Vec<_> = profile
        .comment
        .iter()
        .map(|&line| profile.string(line))
        .collect();
    for part in [
        "interval 524288 bytes",
        "less than 1.5 MiB",
        "12 samples (region_full)",
        "128 frames",
    ] {
        assert!(
            comments.iter().any(|line| line.contains(part)),
            "{part}: {comments:?}"
        );
    }

    let [chat, sqlite] = &profile.mapping[..] else {
        panic!("{:?}", profile.mapping)
    };
    assert_eq!(profile.string(chat.filename), "/srv/chat");
    assert_eq!(profile.string(chat.build_id), "c0ffee");
    assert_eq!(
        (chat.memory_start, chat.memory_limit),
        (0x5000_0000, 0x5010_0000)
    );
    assert!(chat.has_functions && chat.has_filenames);
    assert!(chat.has_line_numbers && chat.has_inline_frames);
    // Only symbol names there: a reader with the file may find lines.
    assert!(sqlite.has_functions && !sqlite.has_filenames && !sqlite.has_line_numbers);

    let allocs = snapshot.pprof().default_sample_type(SampleType::AllocSpace);
    let allocs = read(allocs);
    assert_eq!(allocs.string(allocs.default_sample_type), "alloc_space");
}

/// pprof looks an address up as it is: a return address would name the line after the call.
#[test]
fn addresses_lie_within_the_call() {
    let profile = read(sample().pprof().symbolize(false));
    let addresses: Vec<u64> = profile
        .location
        .iter()
        .map(|location| location.address)
        .collect();
    assert!(addresses.contains(&0x5000_1004) && !addresses.contains(&0x5000_1005));
}

/// Without names the whole stack is needed, as no call site can be told.
#[test]
fn unsymbolized_profiles_have_whole_stacks_and_no_names() {
    let profile = read(sample().pprof().symbolize(false));
    assert!(profile.mapping.iter().all(|mapping| !mapping.has_functions));
    let names: Vec<_> = profile
        .function
        .iter()
        .map(|f| profile.string(f.name))
        .collect();
    assert_eq!(names, ["[sites beyond the table]", "[stack not captured]"]);
    let depths = profile.sample.iter().map(|sample| sample.location_id.len());
    assert_eq!(depths.max(), Some(4));
}

fn before_and_after() -> (Snapshot, Snapshot) {
    let build = |seconds: u64, sites: &[(u64, usize, usize)]| {
        let mut builder = Builder::new().info(|info| {
            info.taken += Duration::from_secs(seconds);
            info.watched_seconds += seconds as f64;
        });
        let main = builder.location(0x5000_2005, &[frame("main", "main.rs", 1, own("chat"))]);
        for &(id, allocated, freed) in sites {
            let name = format!("f{id}");
            let at = builder.location(
                0x5000_0005 + id * 16,
                &[frame(&name, "f.rs", 2, own("chat"))],
            );
            builder.site(id, &[at, main], &vec![300_000.0; allocated], freed);
        }
        builder.build()
    };
    (
        build(0, &[(1, 10, 0), (2, 8, 2), (3, 4, 4), (4, 5, 0)]),
        build(30, &[(5, 1, 0), (1, 10, 0), (2, 8, 6), (3, 9, 9)]),
    )
}

/// A delta tells what happened in the window and nothing of what was there before.
#[test]
fn delta_is_the_change_between_two_snapshots() {
    let (before, after) = before_and_after();
    let profile = read(after.pprof().since(&before));
    assert_eq!(profile.time_nanos, 1_700_000_000_000_000_000);
    assert_eq!(profile.duration_nanos, 30_000_000_000);
    let stacks = stacks(&profile);
    // What 300,000 bytes stand for.
    let weight = 1.0 / (1.0 - (-300_000.0f64 / 524_288.0).exp());
    let stands_for = |samples: f64| (samples * weight, samples * weight * 300_000.0);
    let check = |function: &str, allocated: f64, live: f64| {
        let (_, values) = find(&stacks, function);
        let (alloc_objects, alloc_bytes) = stands_for(allocated);
        let (objects, bytes) = stands_for(live);
        for (value, exact) in values
            .iter()
            .zip([alloc_objects, alloc_bytes, objects, bytes])
        {
            assert!(
                (*value as f64 - exact).abs() <= 1.0,
                "{function}: {values:?}"
            );
        }
    };
    check("f2", 0.0, -4.0);
    check("f3", 5.0, 0.0);
    check("f5", 1.0, 1.0);
    // A table that lost a site, as after a fork: all it had is gone.
    check("f4", -5.0, -5.0);
    assert_eq!(stacks.len(), 4, "f1 did not change: {stacks:?}");
    assert_eq!(find(&stacks, "f2").1[..2], [0, 0]);
    assert_eq!(find(&stacks, "f3").1[2..], [0, 0]);

    let nothing = read(after.pprof().since(&after));
    assert!(nothing.sample.is_empty());
}

/// The text that people read with curl.
#[test]
fn text_form_is_as_agreed() {
    golden::check("heap_debug.txt", &sample().pprof().to_text());
}

/// Runs the real reader, which must say nothing on its error output but what it fetches from.
fn go_pprof(args: &[&str], files: &[&Path]) -> String {
    let output = Command::new("go")
        .args(["tool", "pprof", "-symbolize=none"])
        .args(args)
        .args(files)
        .env("PPROF_TMPDIR", std::env::temp_dir())
        .output()
        .expect("go");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{args:?}: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let name = format!("heapwatch-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The reader that profiles are written for takes all of our forms without a warning and finds the
/// numbers that we meant.
#[test]
#[ignore = "needs go tool pprof"]
fn go_tool_pprof_reads_all_forms() {
    let snapshot = sample();
    let heap = write("heap.pb.gz", &snapshot.pprof().encode());
    let top = go_pprof(&["-top"], &[&heap]);
    assert!(top.contains("Type: inuse_space"), "{top}");
    let first = top
        .lines()
        .find(|line| line.contains("chat::register"))
        .unwrap();
    assert!(first.trim_start().starts_with("20483.91kB"), "{top}");
    assert!(
        !top.contains("raw_vec") && !top.contains("reserve_rehash"),
        "{top}"
    );

    let allocs = go_pprof(&["-top", "-sample_index=alloc_space"], &[&heap]);
    assert!(
        allocs.contains("Type: alloc_space") && allocs.contains("chat::encode"),
        "{allocs}"
    );

    let raw = go_pprof(&["-raw"], &[&heap]);
    assert!(
        raw.contains("PeriodType: space bytes") && raw.contains("Period: 524288"),
        "{raw}"
    );
    assert!(
        raw.contains("alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes")
    );
    assert!(raw.contains("/srv/chat c0ffee [FN][FL][LN][IN]"), "{raw}");
    let comments = go_pprof(&["-comments"], &[&heap]);
    assert!(comments.contains("less than 1.5 MiB"), "{comments}");

    let (before, after) = before_and_after();
    let before_file = write("before.pb.gz", &before.pprof().encode());
    let after_file = write("after.pb.gz", &after.pprof().encode());
    let delta_file = write("delta.pb.gz", &after.pprof().since(&before).encode());
    let base = format!("-diff_base={}", before_file.display());
    let diff = go_pprof(
        &["-top", "-sample_index=inuse_space", &base],
        &[&after_file],
    );
    let delta = go_pprof(&["-top", "-sample_index=inuse_space"], &[&delta_file]);
    for text in [&diff, &delta] {
        let freed = text.lines().find(|line| line.contains("f2")).unwrap();
        assert!(freed.trim_start().starts_with("-2689.51kB"), "{text}");
    }

    let addresses = write("bare.pb.gz", &snapshot.pprof().symbolize(false).encode());
    let bare = go_pprof(&["-raw"], &[&addresses]);
    assert!(bare.contains("0x50001004 M=1"), "{bare}");

    let text = write("heap.txt", snapshot.pprof().to_text().as_bytes());
    let legacy = go_pprof(&["-raw"], &[&text]);
    // Return addresses in, call addresses out, and the values not scaled again.
    assert!(legacy.contains("0x50001004"), "{legacy}");
    assert!(legacy.contains("104878   20975520"), "{legacy}");

    for file in [heap, before_file, after_file, delta_file, addresses, text] {
        std::fs::remove_file(file).unwrap();
    }
}

/// Names that C++ templates and HTML would look like.
const ODD_NAMES: [&str; 3] = [
    "<chat::Session as chat::Greet>::greet",
    "chat::Store<chat::Session>::put",
    "<script>alert(1)</script>",
];

fn with_odd_names() -> Snapshot {
    let mut builder = Builder::new();
    for (id, name) in (1..).zip(ODD_NAMES) {
        let place = builder.location(id * 16, &[frame(name, "a.rs", 1, own("chat"))]);
        builder.site(id, &[place], &[1e6], 0);
    }
    builder.build()
}

/// A system name that equals the name tells pprof to demangle it, which for C++ is to cut `<…>` out.
#[test]
fn functions_have_no_system_name() {
    let profile = read(with_odd_names().pprof());
    assert_eq!(profile.function.len(), ODD_NAMES.len());
    assert!(profile.function.iter().all(|f| f.system_name == 0));
}

#[test]
#[ignore = "needs go tool pprof"]
fn go_tool_pprof_shows_names_in_full() {
    let file = write("names.pb.gz", &with_odd_names().pprof().encode());
    for report in ["-top", "-peek=.", "-traces"] {
        // Without -symbolize=none, as everybody calls it: that option would keep names as they are.
        let output = Command::new("go")
            .args(["tool", "pprof", report])
            .arg(&file)
            .env("PPROF_TMPDIR", std::env::temp_dir())
            .output()
            .expect("go");
        let text = String::from_utf8_lossy(&output.stdout);
        for name in ODD_NAMES {
            assert!(text.contains(name), "{report} lacks {name}: {text}");
        }
    }
    std::fs::remove_file(file).unwrap();
}
