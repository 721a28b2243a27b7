//! This test binary, as it is loaded: names of a running program, and the cache.
#![allow(unsafe_code)]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::cache::Cache;
use super::super::{CACHE, Names, resolve, resolve_with};
use super::fixture::{module, text_of};
use crate::snapshot::{Location, Module};

/// This test binary as it is loaded here.
fn this_program() -> Module {
    let path = std::env::current_exe().unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let lines = maps
        .lines()
        .filter(|line| line.ends_with(path.to_str().unwrap()));
    let ranges: Vec<(u64, u64)> = lines
        .map(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let hex = |text| u64::from_str_radix(text, 16).unwrap();
            (hex(start), hex(end))
        })
        .collect();
    Module {
        start: ranges[0].0,
        end: ranges[ranges.len() - 1].1,
        // Position-independent: the file states addresses from 0.
        bias: ranges[0].0,
        ..module(&path)
    }
}

#[inline(never)]
fn a_function_of_this_test() -> u32 {
    line!()
}

fn of_a_function_of_this_test() -> Location {
    let address = a_function_of_this_test as *const () as u64 + 1;
    Location {
        address,
        module: Some(0),
    }
}

#[test]
fn a_running_program_finds_its_own_functions() {
    let module = this_program();
    let frames = resolve(
        std::slice::from_ref(&module),
        &[of_a_function_of_this_test()],
    )
    .frames;
    let frame = frames[0].last().unwrap();
    assert_eq!(
        &*frame.function,
        "heapwatch::symbols::tests::process::a_function_of_this_test"
    );
    assert_eq!(frame.file.as_deref(), Some("src/symbols/tests/process.rs"));
    assert!(frame.line.unwrap().abs_diff(a_function_of_this_test()) <= 1);

    // A second time the very same frames, also when the program was loaded elsewhere.
    let moved = Module {
        bias: module.bias + 0x1000,
        ..module.clone()
    };
    let there = Location {
        address: of_a_function_of_this_test().address + 0x1000,
        module: Some(0),
    };
    let again = resolve(&[moved], &[there]).frames;
    assert!(Arc::ptr_eq(&frames[0], &again[0]));

    // The link to the executable works where its path does not.
    let renamed = Module {
        path: "/nowhere/gone".into(),
        ..module
    };
    let found = resolve_with(
        &Cache::default(),
        &[renamed],
        &[of_a_function_of_this_test()],
    )
    .frames;
    assert_eq!(found[0].last(), Some(frame));
}

/// Another thread holds the cache's lock while this one forks: the child must not wait for it.
#[test]
fn a_forked_child_does_not_wait_for_its_parents_lock() {
    // The first sample of a process does this; here heapwatch is not the allocator.
    crate::record::fork::watch();
    let module = this_program();
    let locations = [of_a_function_of_this_test()];
    let name = resolve(std::slice::from_ref(&module), &locations).frames[0][0]
        .function
        .clone();
    let cache = CACHE.get_or_init(Cache::default).unwrap();
    let (locked, wait) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            cache.hold(|| {
                locked.send(()).unwrap();
                let _ = finished.recv_timeout(Duration::from_secs(20));
            });
        });
        wait.recv().unwrap();
        // SAFETY: the child calls no function that needs another thread's lock, which is what is
        // tested; glibc keeps its allocator usable across fork. It leaves without running exit
        // handlers.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above. The alarm ends a child that waits for ever.
            unsafe { libc::alarm(10) };
            let frames = resolve(&[module], &locations).frames;
            let same = frames[0][0].function == name;
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!same)) };
        }
        let mut status = -1;
        // SAFETY: waits for the child made above, with a pointer to a live integer.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        finish.send(()).unwrap();
        assert_eq!(
            (waited, status),
            (child, 0),
            "14 is the alarm: the child hung"
        );
    });
}

/// What could not be read because the process had no descriptor left is read the next time. In a
/// child, as the limit is the whole process's.
#[test]
fn names_come_back_when_descriptors_do() {
    crate::record::fork::watch();
    let module = this_program();
    let locations = [of_a_function_of_this_test()];
    let name = resolve_with(&Cache::default(), std::slice::from_ref(&module), &locations).frames[0]
        [0]
    .function
    .clone();
    let set_limit = |soft| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: both calls get a live struct.
        unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
            let before = std::mem::replace(&mut limit.rlim_cur, soft);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            before
        }
    };
    // SAFETY: as in the test above.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe { libc::alarm(60) };
        let (cache, modules) = (Cache::default(), [module]);
        let before = set_limit(0);
        let without = resolve_with(&cache, &modules, &locations);
        set_limit(before);
        let again = resolve_with(&cache, &modules, &locations);
        let named = |names: &Names| names.frames[0][0].function == name;
        let told = !without.lasting && again.lasting;
        let status =
            i32::from(named(&without)) + 2 * i32::from(!named(&again)) + 4 * i32::from(!told);
        // SAFETY: as above.
        unsafe { libc::_exit(status) };
    }
    let mut status = -1;
    // SAFETY: as above.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    let exit = libc::WEXITSTATUS(status);
    assert!(waited == child && libc::WIFEXITED(status), "{status:#x}");
    assert_eq!(exit & 1, 0, "the limit kept nobody from reading the file");
    assert_eq!(exit & 2, 0, "the name stayed lost");
    assert_eq!(
        exit & 4,
        0,
        "whoever keeps names was not told which to keep"
    );
}

/// The second profile of a process must be fast. Needs a release build and a quiet machine.
#[test]
#[ignore = "measures time: cargo test --release --lib ten_thousand -- --ignored --nocapture"]
fn ten_thousand_locations_take_two_seconds_once_and_then_no_time() {
    let path = std::env::var_os("HEAPWATCH_BENCH_BINARY")
        .map_or_else(|| std::env::current_exe().unwrap(), PathBuf::from);
    let (start, size) = text_of(&path);
    let locations: Vec<Location> = (0..10_000)
        .map(|i| Location {
            address: start + i * size / 10_000 + 1,
            module: Some(0),
        })
        .collect();
    let modules = [module(&path)];
    let cache = Cache::default();
    let before = resident();
    let time = |what: &str| {
        let start = Instant::now();
        let frames = resolve_with(&cache, &modules, &locations).frames;
        println!("{what}: {:?}", start.elapsed());
        (frames, start.elapsed())
    };
    let (first, first_time) = time("first");
    let (second, second_time) = time("second");
    let kept = resident().saturating_sub(before);
    let frames: usize = first.iter().map(|frames| frames.len()).sum();
    println!("{frames} frames, {} KiB kept", kept >> 10);
    assert!(
        first.iter().zip(&second).all(|(a, b)| Arc::ptr_eq(a, b)),
        "all were kept"
    );
    assert!(first_time < Duration::from_secs(2), "{first_time:?}");
    assert!(second_time < Duration::from_millis(300), "{second_time:?}");
    assert!(kept < 16 << 20, "{kept}");
}

/// Memory in use, what is free given back.
fn resident() -> usize {
    // SAFETY: no pointers are involved.
    unsafe { libc::malloc_trim(0) };
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
