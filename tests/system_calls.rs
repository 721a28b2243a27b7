//! Inside of malloc heapwatch makes only the system calls that `docs/limits.md` lists: a program
//! under seccomp must be able to allow them. The kernel ends the process for any other.
//!
//! Without the test harness, which runs tests on threads of its own: the bounds of the main thread's
//! stack are found another way than the other threads'.

mod common;
#[path = "system_calls/filter.rs"]
mod filter;
#[path = "system_calls/pool.rs"]
mod pool;

use std::alloc::GlobalAlloc;
use std::collections::BTreeSet;
use std::ffi::{CStr, c_long};
use std::hint::black_box;

use common::either::{self, Either};
use common::late::Late;
use common::stacks::run_on_stack;
use common::{Block, Rng, child};
use pool::Pool;
use tikv_jemallocator::Jemalloc;

/// What heapwatch itself calls inside of malloc, its start included.
const OWN: &[(&str, c_long)] = &[
    ("clock_gettime", libc::SYS_clock_gettime),
    ("futex", libc::SYS_futex),
    ("getpid", libc::SYS_getpid),
    ("gettid", libc::SYS_gettid),
    ("madvise", libc::SYS_madvise),
    ("mmap", libc::SYS_mmap),
    ("mprotect", libc::SYS_mprotect),
    ("munmap", libc::SYS_munmap),
    ("prctl", libc::SYS_prctl),
    ("prlimit64", libc::SYS_prlimit64),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    ("sched_getaffinity", libc::SYS_sched_getaffinity),
];

/// What jemalloc calls once it has started: none that is not heapwatch's, too.
const JEMALLOC: &[&str] = &["futex", "madvise", "mmap", "munmap"];

/// What this test itself calls at its end.
const OF_THE_TEST: &[c_long] = &[libc::SYS_write, libc::SYS_exit_group];

const OVER_JEMALLOC: &CStr = c"HEAPWATCH_TEST_OVER_JEMALLOC";
const SPAWNED: &CStr = c"HEAPWATCH_TEST_SPAWNED";
const FREE: &CStr = c"HEAPWATCH_TEST_WITHOUT_FILTER";
const DONE: &str = "all was allocated and freed";

#[global_allocator]
static ALLOC: Late<Either<heapwatch::Alloc<Pool>, heapwatch::Alloc>> = Late::new(Either::new(
    heapwatch::Alloc::over(Pool),
    heapwatch::Alloc::new(),
    OVER_JEMALLOC,
));

/// Ends under the filter, where nothing but this may be called.
fn say_and_exit(text: &str) -> ! {
    // SAFETY: plain system calls.
    unsafe {
        libc::write(1, text.as_ptr().cast(), text.len());
        libc::_exit(0)
    }
}

const SIZES: [usize; 6] = [1, 40, 3000, 40_000, 200_000, 3 << 20];

/// All calls of an allocator, with all kinds of sizes and alignments.
#[inline(never)]
fn each_call() {
    for size in SIZES {
        for align in [1, 16, 64, 4096] {
            let layout = std::alloc::Layout::from_size_align(size, align).unwrap();
            let mut block = Block::alloc(layout).unwrap();
            assert!(block.resize(2 * size) && block.resize(size.div_ceil(2)));
            block.free();
            Block::zeroed(layout).unwrap().free();
        }
    }
}

/// Stacks of many kinds, so that tables grow.
#[inline(never)]
fn deep(depth: usize, path: u64, into: &mut Vec<Block>) {
    if depth == 0 {
        into.push(Block::alloc(common::layout(1 + path as usize % 600)).unwrap());
    } else if path >> depth & 1 == 0 {
        deep(depth - 1, path, into);
        black_box(depth);
    } else {
        deep(depth - 1, path, into);
        black_box(depth + 1);
    }
}

/// Many live blocks, of which most are freed again, twice.
fn many() {
    let mut rng = Rng(5);
    let mut held = Vec::new();
    for _ in 0..2 {
        for _ in 0..40_000 {
            deep(rng.below(16), rng.next(), &mut held);
        }
        while held.len() > 1000 {
            held.swap_remove(rng.below(held.len())).free();
        }
    }
    held.into_iter().for_each(Block::free);
}

type Coroutine = corosensei::Coroutine<(), (), ()>;

/// Everything, first of all heapwatch's start.
fn allocate(coroutine: &mut Coroutine) {
    ALLOC.begin();
    each_call();
    assert!(coroutine.resume(()).as_yield().is_some());
    many();
    assert!(coroutine.resume(()).as_return().is_some());
    each_call();
}

fn all_under_the_filter() {
    // Its stack is mapped by the test, not by malloc.
    let mut coroutine = Coroutine::new(|yielder, ()| {
        each_call();
        yielder.suspend(());
        each_call();
    });
    if either::is_set(OVER_JEMALLOC) {
        // jemalloc's own start is not heapwatch's.
        let layout = common::layout(100);
        // SAFETY: a block that is freed at once.
        unsafe { Jemalloc.dealloc(Jemalloc.alloc(layout), layout) };
    }
    if either::is_set(FREE) {
        allocate(&mut coroutine);
        let samples = heapwatch::snapshot().unwrap().info().samples;
        assert!(samples > 80_000, "{samples} samples");
    } else {
        let numbers = OWN.iter().map(|(_, number)| number).chain(OF_THE_TEST);
        filter::install(&numbers.copied().collect::<Vec<_>>());
        allocate(&mut coroutine);
    }
    say_and_exit(DONE)
}

/// A sandboxed program ends at the first call that its author did not foresee.
fn only_listed_system_calls_are_made_inside_malloc() {
    let mut wrong = Vec::new();
    for inner in [None, Some(OVER_JEMALLOC)] {
        for thread in [None, Some(SPAWNED)] {
            for filter in [Some(FREE), None] {
                let variables = [inner, thread, filter].into_iter().flatten();
                let names: Vec<&str> = variables.map(|name| name.to_str().unwrap()).collect();
                let mut command = child::command("");
                command.envs(names.iter().map(|name| (*name, "1")));
                let child = child::spawn(command.env("HEAPWATCH_INTERVAL", "1"));
                let (status, text) = child.end();
                if !status.success() || !text.contains(DONE) {
                    wrong.push(format!("{names:?}: {status}: {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names in the first column of the table under a heading.
fn listed(document: &str, heading: &str) -> BTreeSet<String> {
    let from = document.split_once(heading).expect(heading).1;
    let section = from.split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split_once('`').unwrap().0.to_owned())
        .collect()
}

/// Whoever writes a filter reads the page.
fn the_page_lists_the_same_system_calls() {
    let page = include_str!("../docs/limits.md");
    let own: BTreeSet<String> = OWN.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed(page, "\n### System calls of heapwatch\n"), own);
    assert!(JEMALLOC.iter().all(|name| own.contains(*name)));
    let jemalloc = JEMALLOC.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(listed(page, "\n### System calls of jemalloc\n"), jemalloc);
}

fn main() {
    if child::is_child() {
        if either::is_set(SPAWNED) {
            run_on_stack(1 << 20, 1 << 20, all_under_the_filter);
        }
        // SAFETY: two system calls.
        assert_eq!(unsafe { libc::gettid() }, unsafe { libc::getpid() });
        all_under_the_filter();
    }
    the_page_lists_the_same_system_calls();
    only_listed_system_calls_are_made_inside_malloc();
    println!("system calls: ok");
}
