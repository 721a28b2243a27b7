//! Little address space (`ulimit -v`) is enough for samples; where the region's own is taken, or all
//! is used up, the program runs on, unsampled, and the snapshot says why.

mod common;

use std::os::unix::process::CommandExt;

use common::{Block, child, layout, now_through};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Runs one of the tests below in a child with so much address space.
fn run_limited(test: &str, bytes: u64) -> String {
    let mut command = child::command(test);
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    command.env("HEAPWATCH_INTERVAL", "1");
    // SAFETY: setrlimit may be called between fork and exec.
    unsafe {
        command.pre_exec(
            move || match libc::setrlimit(libc::RLIMIT_AS, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            },
        );
    }
    child::run(&mut command)
}

#[inline(never)]
fn hold(count: usize, size: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count);
    for i in 0..count {
        let mut block = Block::alloc(layout(size)).expect("there is memory left");
        block.fill(i as u64);
        blocks.push(block);
    }
    blocks
}

fn check_and_free(blocks: Vec<Block>) {
    for (i, mut block) in blocks.into_iter().enumerate() {
        let size = block.size();
        assert!(block.holds(i as u64, size), "block {i} was overwritten");
        block.free();
    }
}

fn notes() -> String {
    heapwatch::snapshot().unwrap().info().notes.join("\n")
}

/// The region takes only what its samples need, so a small address space is no reason to see nothing.
#[test]
fn a_small_address_space_is_enough() {
    if !child::is_child() {
        let test = "a_small_address_space_is_enough";
        println!("{}", run_limited(test, 256 << 20));
        return;
    }
    let blocks = hold(10_000, 1000);
    let large = hold(100, 100_000);
    let snapshot = heapwatch::snapshot().unwrap();
    assert_eq!(snapshot.info().dropped, []);
    let counts = common::through(&snapshot, hold as *const ());
    // Beside the blocks, the two vectors that hold them.
    assert_eq!(counts.live_objects, 10_102.0, "{counts:?}");
    check_and_free(blocks);
    check_and_free(large);
    assert_eq!(now_through(hold as *const ()).live_objects, 0.0);
}

/// Maps all of the window that is not mapped yet.
#[cfg(target_arch = "x86_64")]
fn take_the_window(start: usize, size: usize) {
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a fresh mapping where nothing is mapped, never used.
    let map = unsafe { libc::mmap(start as *mut _, size, libc::PROT_NONE, flags, -1, 0) };
    if map == libc::MAP_FAILED && size > 256 << 10 {
        take_the_window(start, size / 2);
        take_the_window(start + size / 2, size / 2);
    }
}

/// Where the region cannot grow, blocks come from the inner allocator, unsampled and counted as lost;
/// what is freed in it is there to be used again.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_region_that_cannot_grow() {
    if !child::is_child() {
        let mut command = child::command("a_region_that_cannot_grow");
        command.env("HEAPWATCH_INTERVAL", "1");
        println!("{}", child::run(&mut command));
        return;
    }
    let mut early = hold(10, 1000);
    take_the_window(8 << 40, 4 << 40);
    let full = hold(2500, 1000);
    let counts = now_through(hold as *const ());
    assert!(
        counts.live_objects > 100.0 && counts.live_objects < 2000.0,
        "some are in the region, and no more than it holds: {counts:?}"
    );
    assert!(
        notes().contains("no memory or address space for sampled blocks"),
        "{}",
        notes()
    );
    for block in &mut early {
        assert!(block.resize(20 << 10), "there is memory left elsewhere");
    }
    for (i, block) in early.iter_mut().enumerate() {
        assert!(block.holds(i as u64, 1000));
    }
    early.into_iter().for_each(Block::free);
    check_and_free(full);
    assert_eq!(now_through(hold as *const ()).live_objects, 0.0);
    let again = hold(100, 1000);
    // Beside the blocks, the vector that holds them.
    assert_eq!(now_through(hold as *const ()).live_objects, 101.0);
    check_and_free(again);
}

/// The region is for what is sampled: a block that is resized unsampled leaves it, and its record
/// does not stay.
#[test]
fn unsampled_blocks_leave_the_region() {
    if !child::is_child() {
        let mut command = child::command("unsampled_blocks_leave_the_region");
        command.env("HEAPWATCH_INTERVAL", "1");
        println!("{}", child::run(&mut command));
        return;
    }
    let mut resized = hold(200, 1000);
    heapwatch::set_interval(0).unwrap();
    for block in &mut resized {
        assert!(block.resize(1010));
    }
    assert_eq!(now_through(hold as *const ()).live_objects, 1.0);
    for (i, block) in resized.iter_mut().enumerate() {
        assert!(block.holds(i as u64, 1000));
    }
    resized.into_iter().for_each(Block::free);
}

/// All of the address space used up, the region's and the program's: null, and back again.
#[test]
fn nothing_left_at_all() {
    if !child::is_child() {
        println!("{}", run_limited("nothing_left_at_all", 700 << 20));
        return;
    }
    let mut blocks = Vec::with_capacity(10_000);
    for round in 0..3 {
        while let Some(block) = Block::alloc(layout(1 << 20)) {
            blocks.push(block);
        }
        assert!(blocks.len() > 200, "round {round}: {}", blocks.len());
        let mut last = blocks.pop().unwrap();
        last.fill(1);
        assert!(!last.resize(600 << 20));
        assert!(last.holds(1, 1 << 20));
        last.free();
        blocks.drain(..).for_each(Block::free);
    }
    // There is memory for a report again.
    assert!(heapwatch::snapshot().unwrap().live().bytes < 1e6);
}
