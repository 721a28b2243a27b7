//! With too little address space for the region (`ulimit -v`), or once it is used up, the program
//! runs on, unsampled, and the snapshot says why.

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

/// 500 MiB are too few for a region: everything goes to the inner allocator, also at interval 1,
/// on all threads. Nearer to the program's own needs jemalloc itself crashes, with or without
/// heapwatch, when a new thread finds no address space for a new arena.
#[test]
fn refused() {
    if !child::is_child() {
        println!("{}", run_limited("refused", 500 << 20));
        return;
    }
    check_and_free(hold(10_000, 1000));
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(|| check_and_free(hold(1000, 100))))
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let snapshot = heapwatch::snapshot().unwrap();
    assert_eq!(snapshot.info().samples, 0);
    assert_eq!(snapshot.live().bytes, 0.0);
    let dropped = &snapshot.info().dropped;
    assert!(
        dropped.len() == 1 && dropped[0].reason == "region_refused" && dropped[0].samples >= 14_000,
        "{dropped:?}"
    );
    assert!(notes().contains("ulimit -v"), "{}", notes());
}

/// 1 GiB gives a region of 128 MiB. Blocks that find no room in it come from the inner allocator,
/// and a block that cannot grow in it grows out of it.
#[test]
fn used_up() {
    if !child::is_child() {
        println!("{}", run_limited("used_up", 1 << 30));
        return;
    }
    let mut early = hold(10, 1000);
    let full = hold(2500, 100_000);
    let counts = now_through(hold as *const ());
    assert!(
        counts.live_bytes > 32e6 && counts.live_bytes < 130e6,
        "some of the 250 MB are in the region, and no more than it holds: {counts:?}"
    );
    assert!(
        notes().contains("no memory or address space for sampled blocks"),
        "{}",
        notes()
    );
    for block in &mut early {
        assert!(
            block.resize(20 << 20),
            "there is memory left outside of the region"
        );
    }
    for (i, block) in early.iter_mut().enumerate() {
        assert!(block.holds(i as u64, 1000));
    }
    early.into_iter().for_each(Block::free);
    check_and_free(full);
    let counts = now_through(hold as *const ());
    assert_eq!((counts.live_objects, counts.live_bytes), (0.0, 0.0));
    // What was freed is there to be used again.
    let again = hold(300, 100_000);
    let counts = now_through(hold as *const ());
    assert!(counts.live_bytes > 25e6, "{counts:?}");
    check_and_free(again);
}

/// A small region is for what is sampled: blocks that are resized unsampled leave it, however large
/// they are, and samples find room again.
#[test]
fn unsampled_blocks_leave_a_small_region() {
    if !child::is_child() {
        let test = "unsampled_blocks_leave_a_small_region";
        println!("{}", run_limited(test, 1 << 30));
        return;
    }
    let mut grown = hold(200, 100_000);
    heapwatch::set_interval(0).unwrap();
    for block in &mut grown {
        assert!(block.resize(600_000));
    }
    heapwatch::set_interval(1).unwrap();
    let sampled = hold(200, 100_000);
    let counts = now_through(hold as *const ());
    assert!(counts.live_bytes >= 20e6, "{counts:?}");
    for (i, block) in grown.iter_mut().enumerate() {
        assert!(block.holds(i as u64, 100_000));
    }
    grown.into_iter().for_each(Block::free);
    check_and_free(sampled);
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
    assert!(!notes().is_empty());
}
