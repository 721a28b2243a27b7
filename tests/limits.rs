//! Limits that an administrator sets: under each of them the program gets the memory that it gets
//! without heapwatch. `docs/limits.md` says what happens under which.
//!
//! Those that need root: `cargo test --test limits -- --ignored`.

mod common;

use std::thread;

use common::either::{self, Either, bare, is_bare, set_interval};
use common::setting::Setting;
use common::{Block, child, layout, my_turn, status};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOC: Either<heapwatch::Alloc, Jemalloc> =
    Either::new(heapwatch::Alloc::new(), Jemalloc, either::BARE);

const MIB: usize = 1 << 20;
const BUFFER: usize = 5 * MIB;

/// The least share of what bare jemalloc could still get that there must be under heapwatch. The
/// rest is for heapwatch's own tables.
const SHARE: f64 = 0.95;

fn set_limit(which: libc::__rlimit_resource_t, bytes: usize) {
    let limit = libc::rlimit {
        rlim_cur: bytes as libc::rlim_t,
        rlim_max: bytes as libc::rlim_t,
    };
    // SAFETY: a plain system call.
    let failed = unsafe { libc::setrlimit(which, &raw const limit) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

/// How many buffers can be had, of at most so many.
fn buffers(most: usize) -> usize {
    let mut buffers = Vec::with_capacity(most);
    while buffers.len() < most
        && let Some(buffer) = Block::alloc(layout(BUFFER))
    {
        buffers.push(buffer);
    }
    let count = buffers.len();
    buffers.into_iter().for_each(Block::free);
    count
}

/// Small blocks of 50 MiB, each of which keeps what is written to it.
fn small_blocks() {
    let make = |i: usize| {
        let mut block = Block::alloc(layout(16 + i % 1000)).expect("there is memory left");
        block.fill(i as u64);
        block
    };
    let mut blocks: Vec<Block> = (0..100_000).map(make).collect();
    for (i, block) in blocks.iter_mut().enumerate() {
        assert!(block.holds(i as u64, 16 + i % 1000), "block {i}");
    }
    blocks.into_iter().for_each(Block::free);
}

/// Everything is sampled again, and a snapshot says so.
fn samples_are_taken() {
    if is_bare() {
        return;
    }
    let before = heapwatch::snapshot().unwrap().info().samples;
    small_blocks();
    let snapshot = heapwatch::snapshot().unwrap();
    let taken = snapshot.info().samples - before;
    assert!(taken >= 100_000, "{taken} samples: {:?}", snapshot.info());
}

/// Runs a test's child under heapwatch and bare, and compares their only figure, a number of buffers.
fn compare_buffers(test: &str, variable: Option<&str>) {
    let run = |is_bare: bool| {
        let mut command = child::command(test);
        command.envs(variable.map(|name| (name, "1")));
        if is_bare {
            bare(&mut command);
        }
        child::figures(&child::run(&mut command))[0]
    };
    let (watched, bare) = (run(false), run(true));
    println!("{variable:?}: {watched} buffers of {BUFFER} bytes, bare {bare}");
    assert!(
        bare >= 100.0,
        "bare {bare}: the limit is too low for a test"
    );
    assert!(watched >= bare * SHARE, "{watched}, bare {bare}");
}

/// A supervisor's limit on address space, set in the program itself after it has started.
#[test]
fn address_space_limited_after_the_start() {
    const MORE: &str = "LIMIT_IS_1_GIB_MORE";
    const SAMPLES: &str = "SAMPLES_ARE_TAKEN";
    if child::is_child() {
        let limit = match std::env::var_os(MORE) {
            Some(_) => status::bytes("VmSize") + 1024 * MIB,
            None => 4096 * MIB,
        };
        set_limit(libc::RLIMIT_AS, limit);
        if std::env::var_os(SAMPLES).is_some() {
            set_interval(1);
            return samples_are_taken();
        }
        child::report(&[buffers(1000) as f64]);
        // jemalloc keeps the address space of what was freed, so samples may find none; the program
        // gets its blocks all the same.
        set_interval(1);
        return small_blocks();
    }
    let _turn = my_turn();
    for variable in [None, Some(MORE)] {
        compare_buffers("address_space_limited_after_the_start", variable);
    }
    let mut command = child::command("address_space_limited_after_the_start");
    child::run(command.env(SAMPLES, "1"));
}

/// Programs that must not wait for a page lock all of their memory: what heapwatch maps is then
/// resident, and counts against the limit on locked memory.
#[test]
#[ignore = "needs root"]
fn all_memory_locked() {
    const LIMITED: &str = "LOCKED_MEMORY_IS_LIMITED";
    /// More than heapwatch's tables may take, and less than any region.
    const OWN: f64 = 64.0 * MIB as f64;
    if child::is_child() {
        // Before the limits: with them a file of the process may be another user's.
        set_interval(512 << 10);
        if std::env::var_os(LIMITED).is_some() {
            set_limit(libc::RLIMIT_MEMLOCK, 1024 * MIB);
            // SAFETY: a plain system call; as another user than root, limits hold.
            assert_eq!(unsafe { libc::setuid(65_534) }, 0);
        }
        // SAFETY: a plain system call.
        let failed = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
        assert_eq!(buffers(100), 100);
        small_blocks();
        child::report(&[status::rss() as f64]);
        set_interval(1);
        return samples_are_taken();
    }
    let _turn = my_turn();
    for variable in ["NONE", LIMITED] {
        let mut command = child::command("all_memory_locked");
        let watched = child::figures(&child::run(command.env(variable, "1")))[0];
        let bare = child::figures(&child::run(bare(&mut command)))[0];
        println!("{variable}: {watched} bytes resident, bare {bare}");
        assert!(watched - bare <= OWN, "{watched}, bare {bare}");
    }
}

/// Where memory is never promised twice, what is only reserved counts as used.
#[test]
#[ignore = "changes vm.overcommit_memory; needs root"]
fn memory_is_not_overcommitted() {
    if child::is_child() {
        let limit = status::bytes("VmSize") + 4096 * MIB;
        set_limit(libc::RLIMIT_AS, limit);
        child::report(&[buffers(200) as f64]);
        set_interval(1);
        small_blocks();
        return samples_are_taken();
    }
    let _turn = my_turn();
    let _strict = Setting::change("/proc/sys/vm/overcommit_memory", "2");
    compare_buffers("memory_is_not_overcommitted", None);
}

/// Where the region is looked for: in the window that its addresses are told by.
fn region() -> Vec<status::Mapping> {
    let mut mappings = status::mappings();
    mappings.retain(|one| (8 << 40..12 << 40).contains(&one.start));
    mappings
}

const REGION_RESIDENT: &str = "the region's resident bytes";

/// What the region takes at the default interval, with many threads and sizes.
fn region_under_load(during: impl Fn() + Sync) {
    const THREADS: usize = 16;
    let all_hold = std::sync::Barrier::new(THREADS + 1);
    let measured = std::sync::Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (all_hold, measured) = (&all_hold, &measured);
            scope.spawn(move || {
                let size = |i| 100 + (i + thread) % 400;
                let blocks: Vec<Vec<u8>> = (0..20_000).map(|i| vec![1; size(i)]).collect();
                all_hold.wait();
                measured.wait();
                drop(blocks);
            });
        }
        during();
        all_hold.wait();
        let resident: usize = region().iter().map(|one| one.rss).sum();
        measured.wait();
        println!("{REGION_RESIDENT}: {resident}");
        assert!(resident > 0, "the region was looked for at the wrong place");
        assert!(resident <= 2 * MIB, "{resident} bytes");
    });
}

/// Under huge pages each part of the region that is used takes 2 MiB. As the kernel would with
/// `transparent_hugepage=always`, this asks for them wherever the region does not decline them.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_region_takes_no_huge_pages() {
    if !child::is_child() {
        println!(
            "{}",
            child::run(&mut child::command("the_region_takes_no_huge_pages"))
        );
        return;
    }
    drop(std::hint::black_box(Box::new(1)));
    let ask = || {
        for one in region().iter().filter(|one| !one.has("nh")) {
            // SAFETY: advice changes no contents; a mapping that is gone by now is refused.
            unsafe {
                let start = std::ptr::with_exposed_provenance_mut(one.start);
                libc::madvise(start, one.end - one.start, libc::MADV_HUGEPAGE);
            }
        }
    };
    ask();
    region_under_load(|| {
        for _ in 0..50 {
            ask();
            thread::sleep(std::time::Duration::from_millis(2));
        }
    });
}

/// As above, by the kernel itself.
#[test]
#[ignore = "changes transparent_hugepage; needs root"]
#[cfg(target_arch = "x86_64")]
fn the_region_takes_no_huge_pages_where_all_memory_does() {
    let test = "the_region_takes_no_huge_pages_where_all_memory_does";
    if child::is_child() {
        return region_under_load(|| ());
    }
    let _turn = my_turn();
    let _always = Setting::change("/sys/kernel/mm/transparent_hugepage/enabled", "always");
    println!("{}", child::run(&mut child::command(test)));
}
