//! Tools that look into a process from outside: they must get on with heapwatch in it.
//!
//! `cargo test --test foreign_tools -- --ignored`.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::either::{self, Either, bare, set_interval};
use common::{Block, child, layout, my_turn};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOC: Either<heapwatch::Alloc, Jemalloc> =
    Either::new(heapwatch::Alloc::new(), Jemalloc, either::BARE);

const MIB: usize = 1 << 20;

#[inline(never)]
fn hold(count: usize) -> Vec<Block> {
    let make = |i: usize| {
        let mut block = Block::alloc(layout(16 + i % 1000)).unwrap();
        block.fill(i as u64);
        block
    };
    (0..count).map(make).collect()
}

const READY: &str = "ready";

/// A process of this test that holds some blocks, until it is killed by being dropped.
struct Held(Child);

impl Held {
    fn start(command: &mut Command) -> Held {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.any(|line| line.unwrap().ends_with(READY));
        assert!(ready, "the process ended");
        Held(child)
    }

    /// What such a process does.
    fn hold() {
        set_interval(1);
        let blocks = hold(10_000);
        println!("{READY}");
        let _ = std::io::stdin().read(&mut [0]);
        drop(blocks);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The core file that `gcore` writes of a process, of at most a GiB.
fn core_of(process: &Held, name: &str) -> PathBuf {
    let start = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let pid = process.0.id().to_string();
    let core = PathBuf::from(format!("{}.{pid}", start.display()));
    let limit = libc::rlimit {
        rlim_cur: 1 << 30,
        rlim_max: 1 << 30,
    };
    let mut command = Command::new("gcore");
    command.arg("-o").arg(&start).arg(&pid);
    // SAFETY: setrlimit may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            Ok(())
        });
    }
    let output = command.output().expect("gcore");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && core.exists(), "gcore: {said}");
    core
}

/// A core file of a service would fill the disk, or lack what a debugger is to look at.
#[test]
#[ignore = "needs gdb"]
fn a_core_file_has_the_blocks_and_little_else() {
    if child::is_child() {
        return Held::hold();
    }
    let test = "a_core_file_has_the_blocks_and_little_else";
    let core = |command: &mut Command, name| {
        let core = core_of(&Held::start(command), name);
        let contents = std::fs::read(&core).unwrap();
        std::fs::remove_file(core).unwrap();
        contents
    };
    let watched = core(&mut child::command(test), "watched");
    let bare = core(bare(&mut child::command(test)), "bare");
    println!("core files: {} bytes, bare {}", watched.len(), bare.len());
    assert!(
        watched.len() < bare.len() + 64 * MIB,
        "{} bytes",
        watched.len()
    );
    for block in hold(1000).iter_mut().skip(990) {
        let bytes = block.bytes();
        assert!(contains(&bare, bytes), "a block that is not to be found");
        assert!(contains(&watched, bytes), "a block is missing");
    }
}

/// Whether bytes are somewhere in others.
fn contains(all: &[u8], part: &[u8]) -> bool {
    // SAFETY: both are readable in their lengths.
    let found = unsafe {
        libc::memmem(
            all.as_ptr().cast(),
            all.len(),
            part.as_ptr().cast(),
            part.len(),
        )
    };
    !found.is_null()
}

/// Whoever looks for a fault in a program under valgrind must not be stopped by heapwatch.
#[test]
#[ignore = "needs valgrind"]
fn valgrind_survives_a_snapshot() {
    if child::is_child() {
        set_interval(1);
        let blocks = hold(100);
        // Not by name: valgrind stands in for the program's file.
        let live = heapwatch::snapshot().unwrap().live();
        assert!(live.objects >= 100.0, "{live:?}");
        blocks.into_iter().for_each(Block::free);
        return;
    }
    let _turn = my_turn();
    let plain = child::command("valgrind_survives_a_snapshot");
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=9"])
        .arg(plain.get_program())
        .args(plain.get_args());
    let variables = plain.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    child::run(&mut command);
}
