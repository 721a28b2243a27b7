//! The main thread's stack, whose bounds are found another way than the other threads'. Without
//! the test harness, which runs tests on threads of its own.

mod common;

use std::hint::black_box;
use std::os::unix::process::CommandExt;

use common::{Block, child, layout, sites};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const SIZE: usize = 123_457;
/// Frames that a stack keeps.
const MAX_DEPTH: usize = 128;

/// Allocates, with the reference's stack at the same place.
#[inline(never)]
fn allocate(depth: usize, reference: &mut Vec<u64>) -> Block {
    if depth > 0 {
        let block = allocate(depth - 1, reference);
        return black_box(block);
    }
    // SAFETY: there is no other thread.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            reference.push(frame.ip() as u64);
            true
        });
    }
    Block::alloc(layout(SIZE)).unwrap()
}

/// A block that is allocated here has the stack that the reference sees, at least its innermost part,
/// which is all that very deep recursion leaves.
fn check(case: &str, depth: usize, work: impl FnOnce(&mut Vec<u64>) -> Block) {
    let mut reference = Vec::with_capacity(2000);
    let block = work(&mut reference);
    let snapshot = heapwatch::snapshot().unwrap();
    let (stack, _) = sites(&snapshot)
        .find(|(_, counts)| counts.live_bytes == SIZE as f64)
        .unwrap_or_else(|| panic!("{case}: the block has a site"));
    // All frames outside of the innermost call of `allocate`.
    let outer = |stack: &[u64]| -> Vec<u64> {
        let at = stack
            .iter()
            .position(|&a| common::function_of(a) == allocate as *const () as usize);
        let at = at.unwrap_or_else(|| panic!("{case}: no stack, but {} frames", stack.len()));
        stack[at + 1..]
            .iter()
            .copied()
            .filter(|&a| a != 0)
            .collect()
    };
    let (ours, mut reference) = (outer(&stack), outer(&reference));
    if stack.len() == MAX_DEPTH {
        reference.truncate(ours.len());
    }
    assert_eq!(ours, reference, "{case}");
    assert!(ours.len() > depth, "{case}: {} frames", ours.len());
    block.free();
    println!("main thread, {case}: ok, {} frames", stack.len());
}

/// Calls itself until the stack has become so many bytes deeper.
#[inline(never)]
fn deeper(bytes: usize, work: &mut dyn FnMut() -> Block) -> Block {
    let room = black_box([0_u8; 64 << 10]);
    let block = if bytes < room.len() {
        work()
    } else {
        deeper(bytes - room.len(), work)
    };
    black_box(&room);
    block
}

/// Callable between fork and exec.
fn set_stack_limit(bytes: usize) -> std::io::Result<()> {
    // SAFETY: plain system calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit);
        limit.rlim_cur = bytes as libc::rlim_t;
        match libc::setrlimit(libc::RLIMIT_STACK, &raw const limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

fn check_deep(case: &str, bytes: usize) {
    check(case, 6, |reference| {
        deeper(bytes, &mut || allocate(5, reference))
    });
}

/// What the limit is at the start of each child.
const AT_START: usize = 8 << 20;

/// Lowered to less than is in use, as before many threads or programs are started, when no stack
/// was captured yet.
fn lowered() {
    heapwatch::set_interval(0).unwrap();
    grow_to(2 << 20);
    set_stack_limit(256 << 10).unwrap();
    heapwatch::set_interval(1).unwrap();
    // What was in use already may be used again.
    check_deep("lowered, a MiB deep", 1 << 20);
    check_deep("lowered", 0);
}

/// Makes the kernel give the stack so much room.
fn grow_to(bytes: usize) {
    deeper(bytes, &mut || Block::alloc(layout(1)).unwrap()).free();
}

/// Raised for deep recursion, when stacks were captured before.
fn raised() {
    heapwatch::set_interval(1).unwrap();
    check_deep("at first", 0);
    check_deep("a MiB deep", 1 << 20);
    set_stack_limit(8 * AT_START).unwrap();
    check_deep("raised", 0);
    check_deep("raised, 20 MiB deep", 20 << 20);
    check_deep("raised, at the end", 0);
}

const CASES: [(&str, fn()); 2] = [("lowered", lowered), ("raised", raised)];
const CASE: &str = "MAIN_THREAD_CASE";

/// A main thread whose stacks end early mixes up its call sites, and a single-threaded program has
/// no other ones. Its stack has the size of a limit, which the program may change at any time.
fn main() {
    if let Ok(case) = std::env::var(CASE) {
        // SAFETY: two system calls.
        assert_eq!(unsafe { libc::gettid() }, unsafe { libc::getpid() });
        return CASES.into_iter().find(|(name, _)| *name == case).unwrap().1();
    }
    for (case, _) in CASES {
        let mut command = child::command(case);
        // SAFETY: only system calls are made between fork and exec.
        unsafe { command.pre_exec(|| set_stack_limit(AT_START)) };
        let (status, text) = child::spawn(command.env(CASE, case)).end();
        print!("{text}");
        assert!(status.success(), "{case}: {status}");
    }
}
