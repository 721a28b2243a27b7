//! The walk with memory against the one without, on stacks of real code.

use std::cell::RefCell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::{LastWalk, walk};
use super::{Walked, my_turn, no_copies, no_walk, walk_plainly};
use crate::record::memory::{CALLS, PageCopies, StackMemory};
use crate::record::unwind::Registers;

/// What one thread, or several by turns, walk with.
struct Walker {
    last: Box<LastWalk>,
    copies: Box<PageCopies>,
    compared: usize,
}

impl Walker {
    fn new() -> Walker {
        Walker {
            last: no_walk(),
            copies: no_copies(),
            compared: 0,
        }
    }

    #[inline(never)]
    fn compare(&mut self) -> usize {
        let from = Registers::here();
        let mut memory = StackMemory::new(from.sp, &mut self.copies);
        let whole = walk_plainly(&from, &mut memory);
        let mut memory = StackMemory::new(from.sp, &mut self.copies);
        let remembered = Walked::from(walk(&from, &mut memory, &mut self.last));
        assert_eq!(remembered, whole);
        self.compared += 1;
        whole.frames.len()
    }
}

thread_local! {
    static WALKER: RefCell<Walker> = RefCell::new(Walker::new());
}

fn compare() -> usize {
    WALKER.with_borrow_mut(Walker::compare)
}

/// Recursion of random shape, through functions with frames of several kinds.
#[inline(never)]
fn descend(rng: &mut SmallRng, depth: usize) -> usize {
    let mut compared = 0;
    while depth > 0 && compared < 400 {
        compared += match rng.random_range(0..7) {
            0 => narrow(rng, depth - 1),
            1 => wide::<40>(rng, depth - 1),
            2 => wide::<700>(rng, depth - 1),
            3 => catching(rng, depth - 1),
            4 => {
                // SAFETY: the handler is installed and touches only this thread.
                unsafe { libc::raise(libc::SIGUSR2) };
                1
            }
            _ => {
                assert!(compare() > 0);
                1
            }
        };
        if rng.random_range(0..3) == 0 {
            break;
        }
    }
    black_box(compared)
}

#[inline(never)]
fn narrow(rng: &mut SmallRng, depth: usize) -> usize {
    black_box(descend(rng, depth)) + black_box(0)
}

#[inline(never)]
fn wide<const N: usize>(rng: &mut SmallRng, depth: usize) -> usize {
    let room = black_box([depth; N]);
    let compared = descend(rng, depth);
    compared + (black_box(room)[N / 2] - depth)
}

/// Frames that go away without returning.
#[inline(never)]
fn catching(rng: &mut SmallRng, depth: usize) -> usize {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let compared = descend(rng, depth);
        resume_unwind(Box::new(compared));
    }));
    *caught.unwrap_err().downcast::<usize>().unwrap()
}

extern "C" fn on_signal(_: libc::c_int) {
    assert!(compare() > 1);
}

fn install_handler() {
    // SAFETY: a handler of the right type for a signal that nothing else here uses.
    unsafe { libc::signal(libc::SIGUSR2, on_signal as *const () as libc::sighandler_t) };
}

/// A remembered frame that has returned would count memory at a call site that never allocated it.
#[test]
fn recursion_signals_and_panics() {
    let _turn = my_turn();
    install_handler();
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        for depth in [3, 12, 40, 200] {
            descend(&mut rng, depth);
        }
    }
    let compared = WALKER.with_borrow(|walker| walker.compared);
    assert!(compared > 1000, "{compared}");
}

/// As above, with stacks that change under one walker: coroutines, and threads on reused stacks.
#[test]
fn several_stacks_with_one_walker() {
    let _turn = my_turn();
    install_handler();
    let mut walker = Walker::new();
    for seed in 0..40 {
        walker = std::thread::spawn(move || {
            WALKER.with_borrow_mut(|mine| std::mem::swap(mine, &mut walker));
            let mut rng = SmallRng::seed_from_u64(seed);
            let mut coroutines: Vec<_> = (0..3)
                .map(|number| {
                    corosensei::Coroutine::new(move |yielder, ()| {
                        let mut rng = SmallRng::seed_from_u64(seed ^ number << 32);
                        for depth in [2, 9, 30] {
                            descend(&mut rng, depth);
                            yielder.suspend(());
                            assert!(compare() > 0);
                        }
                    })
                })
                .collect();
            while coroutines.iter().any(|coroutine| !coroutine.done()) {
                let next = rng.random_range(0..coroutines.len());
                if !coroutines[next].done() {
                    coroutines[next].resume(());
                }
                descend(&mut rng, 6);
            }
            WALKER.with_borrow_mut(|mine| std::mem::swap(mine, &mut walker));
            walker
        })
        .join()
        .unwrap();
    }
    assert!(walker.compared > 400, "{}", walker.compared);
}

/// A signal's frame is no call: without its row's expressions the stack would go on by whatever the
/// interrupted code had in its base pointer.
#[test]
fn through_a_signal_to_the_interrupted_code() {
    let _turn = my_turn();
    static OUTSIDE: std::sync::Mutex<Vec<usize>> = std::sync::Mutex::new(Vec::new());
    static INSIDE: std::sync::Mutex<Vec<usize>> = std::sync::Mutex::new(Vec::new());
    #[inline(never)]
    fn stack() -> Vec<usize> {
        let from = Registers::here();
        let mut copies = no_copies();
        let mut memory = StackMemory::new(from.sp, &mut copies);
        let stack = walk_plainly(&from, &mut memory);
        assert!(!stack.truncated);
        stack.frames
    }
    extern "C" fn handler(_: libc::c_int) {
        *INSIDE.lock().unwrap() = stack();
    }
    *OUTSIDE.lock().unwrap() = stack();
    // SAFETY: a handler of the right type for a signal that nothing else here uses.
    unsafe {
        libc::signal(libc::SIGURG, handler as *const () as libc::sighandler_t);
        libc::raise(libc::SIGURG);
    }
    let (outside, inside) = (OUTSIDE.lock().unwrap(), INSIDE.lock().unwrap());
    // The innermost address of the two is in one function, at different calls.
    let common = outside.len() - 1;
    assert!(inside.len() > outside.len(), "{inside:x?} {outside:x?}");
    assert_eq!(inside[inside.len() - common..], outside[1..]);
}

/// Calls itself so often, and walks there.
#[inline(never)]
fn measure(depth: usize) -> (Duration, usize, usize) {
    if depth > 0 {
        return black_box(measure(black_box(depth - 1)));
    }
    measure_here()
}

/// The fastest of many walks, how many system calls it took, and its frames.
#[inline(never)]
fn measure_here() -> (Duration, usize, usize) {
    let mut copies = no_copies();
    let mut fastest = (Duration::MAX, 0, 0);
    for _ in 0..500 {
        let calls = CALLS.get();
        let start = Instant::now();
        let from = Registers::here();
        let mut memory = StackMemory::new(from.sp, &mut copies);
        let stack = walk_plainly(&from, &mut memory);
        let took = start.elapsed();
        fastest = fastest.min((took, CALLS.get() - calls, stack.frames.len()));
    }
    fastest
}

fn measure_both(depth: usize) -> [(Duration, usize, usize); 2] {
    let _turn = my_turn();
    let own = measure(depth);
    let other = corosensei::Coroutine::<(), (), _>::new(move |_, ()| measure(depth)).resume(());
    [own, other.as_return().unwrap()]
}

/// One system call for each word made a walk on a coroutine a hundred times as slow.
#[test]
fn another_stack_takes_a_few_system_calls() {
    let [own, other] = measure_both(30);
    assert_eq!(own.1, 0, "on the thread's own stack");
    assert!(other.2 >= 30, "{other:?}");
    assert!((1..=3).contains(&other.1), "{other:?}");
}

#[test]
#[ignore = "needs a quiet machine"]
fn another_stack_costs_at_most_five_times_as_much() {
    let [own, other] = measure_both(30);
    let per_frame =
        |(took, _, frames): (Duration, usize, usize)| took.as_secs_f64() / frames as f64;
    let ratio = per_frame(other) / per_frame(own);
    println!("{own:?} {other:?}: {ratio:.2}");
    assert!(ratio <= 5.0, "{own:?} {other:?}: {ratio:.2}");
}
