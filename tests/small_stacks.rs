//! Threads and coroutines with little stack: what runs without heapwatch runs with it.
//!
//! As programs of their own, optimised and not: `cargo test --test small_stacks -- --ignored`.

#[path = "small_stacks/allocations.rs"]
mod allocations;
mod common;

use std::alloc::System;
use std::ffi::CStr;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use allocations::allocate;
use common::build::Project;
use common::either::{self, Either, bare, set_interval};
use common::stacks::{run_in_context, run_on_stack};
use common::{child, my_turn};
use tikv_jemallocator::Jemalloc;

const SYSTEM: &CStr = c"HEAPWATCH_TEST_SYSTEM";

type OverJemalloc = Either<heapwatch::Alloc, Jemalloc>;
type OverSystem = Either<heapwatch::Alloc<System>, System>;

#[global_allocator]
static ALLOC: Either<OverJemalloc, OverSystem> = Either::new(
    Either::new(heapwatch::Alloc::new(), Jemalloc, either::BARE),
    Either::new(heapwatch::Alloc::over(System), System, either::BARE),
    SYSTEM,
);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    Jemalloc,
    System,
}

const OVER: [Over; 2] = [Over::Jemalloc, Over::System];

/// A child over one of them, with heapwatch or without.
fn command(over: Over, is_bare: bool, test: &str) -> Command {
    let mut command = child::command(test);
    if over == Over::System {
        command.env(SYSTEM.to_str().unwrap(), "1");
    }
    if is_bare {
        bare(&mut command);
    }
    command
}

/// What is left of the stack when a thread allocates, in bytes.
const LEFT: &str = "STACK_LEFT";
const LEFTS: std::ops::Range<usize> = 0..96 << 10;
const STEP: usize = 2 << 10;

/// Whether it survives, for each amount of stack left.
fn survivals(command: impl Fn(usize) -> Command) -> Vec<(usize, bool)> {
    let survives = |left| {
        let mut command = command(left);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        (left, command.status().unwrap().success())
    };
    LEFTS.step_by(STEP).map(survives).collect()
}

/// Fails if something that survives without heapwatch dies with it.
fn compare(case: &str, watched: Vec<(usize, bool)>, bare: Vec<(usize, bool)>) {
    let dead = |results: &[(usize, bool)]| -> Vec<usize> {
        let dead = results.iter().filter(|(_, survives)| !survives);
        dead.map(|(left, _)| *left).collect()
    };
    let (watched, bare) = (dead(&watched), dead(&bare));
    println!("{case}: dies with so much stack left: {watched:?}, bare {bare:?}");
    assert!(bare.len() < LEFTS.len() / STEP, "{case}: no run without it");
    let worse: Vec<_> = watched.iter().filter(|left| !bare.contains(left)).collect();
    assert!(worse.is_empty(), "{case}: only with heapwatch: {worse:?}");
}

/// A thread near the end of its stack is an ordinary thread of a program with deep recursion.
#[test]
fn threads_near_the_end_of_their_stack() {
    if child::is_child() {
        let left = std::env::var(LEFT).unwrap().parse().unwrap();
        set_interval(1);
        return run_on_stack(LEFTS.end + (200 << 10), left, allocate);
    }
    let _turn = my_turn();
    for over in OVER {
        let with = |is_bare: bool| {
            survivals(|left| {
                let mut command = command(over, is_bare, "threads_near_the_end_of_their_stack");
                command.env(LEFT, left.to_string());
                command
            })
        };
        compare(&format!("{over:?}"), with(false), with(true));
    }
}

/// The smallest stack that a thread of libc's can have.
#[test]
fn threads_with_16_kib_stacks() {
    if child::is_child() {
        for interval in [1, 4096, 512 << 10] {
            set_interval(interval);
            run_on_stack(16 << 10, 16 << 10, allocate);
        }
        return;
    }
    let _turn = my_turn();
    for over in OVER {
        for is_bare in [true, false] {
            child::run(&mut command(over, is_bare, "threads_with_16_kib_stacks"));
        }
    }
}

/// Another build has other frames: an unoptimised one larger ones.
#[test]
#[ignore = "builds a program four times"]
fn programs_near_the_end_of_a_stack() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/small_stacks/program.rs");
    for optimisation in [0, 3] {
        let project = Project::new("small_stacks", &source, optimisation);
        for inner in ["jemalloc", "system"] {
            let survivals_of = |features: &str| {
                let program = project.build(features);
                survivals(|left| {
                    let mut command = Command::new(&program);
                    command.args([left.to_string(), (LEFTS.end + (200 << 10)).to_string()]);
                    command
                })
            };
            let watched = survivals_of(&format!("watched,{inner}"));
            compare(
                &format!("opt-level {optimisation}, {inner}"),
                watched,
                survivals_of(inner),
            );
        }
    }
}

/// The size of a stack without a guard page, in bytes.
const SIZE: &str = "STACK_SIZE";
const SIZES: [usize; 4] = [2 << 10, 4 << 10, 8 << 10, 16 << 10];
const BELOW: usize = 64 << 10;
const UNTOUCHED: u8 = 0xA5;

/// Bytes of a stack of this size, without a guard page, that `work` uses.
fn used(size: usize, work: extern "C" fn()) -> usize {
    let mut memory = vec![UNTOUCHED; BELOW + size];
    // SAFETY: the memory is this function's alone.
    unsafe { run_in_context(memory.as_mut_ptr().add(BELOW), size, work) };
    let untouched = memory.iter().position(|byte| *byte != UNTOUCHED);
    memory.len() - untouched.unwrap()
}

extern "C" fn allocate_small() {
    for _ in 0..100 {
        drop(black_box(Box::new([1_u8; 100])));
    }
}

extern "C" fn allocate_all() {
    for _ in 0..100 {
        allocate();
    }
}

/// What heapwatch's own frames may take between the program and the inner allocator, where that
/// needs more stack than there is.
const FRAMES: f64 = 512.0;

/// A coroutine's stack that no guard page ends: below it lies somebody else's memory, and nothing
/// may write there that would not without heapwatch.
#[test]
fn stacks_without_a_guard_page() {
    if child::is_child() {
        set_interval(1);
        // On the thread's own stack first, so that all is set up.
        allocate_small();
        allocate_all();
        let size = std::env::var(SIZE).unwrap().parse().unwrap();
        let figures = [used(size, allocate_small), used(size, allocate_all)];
        return child::report(&figures.map(|used| used as f64));
    }
    let _turn = my_turn();
    let mut wrong = Vec::new();
    for (over, size) in OVER
        .into_iter()
        .flat_map(|over| SIZES.map(|size| (over, size)))
    {
        let figures = |is_bare| {
            let mut command = command(over, is_bare, "stacks_without_a_guard_page");
            command.env(SIZE, size.to_string());
            child::figures(&child::run(&mut command))
        };
        let (watched, bare, size) = (figures(false), figures(true), size as f64);
        for (i, (watched, bare)) in watched.iter().zip(&bare).enumerate() {
            let what = ["small blocks", "all calls"][i];
            let line = format!("{over:?}, {size} bytes, {what}: used {watched}, bare {bare}");
            println!("{line}");
            if *watched > size && *watched > bare + FRAMES {
                wrong.push(line);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
