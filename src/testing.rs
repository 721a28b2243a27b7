//! Assertions for tests that must fail when a leak comes in.
//!
//! # How to put it into your tests
//!
//! heapwatch must be the global allocator of the test's binary. For a file in `tests/`, two lines
//! at its top do that; for unit tests, the same two lines below `#[cfg(test)]` in `lib.rs` or
//! `main.rs`. Then hand a piece of work that should leave nothing behind to
//! [`assert_no_growth`], and say how often to do it:
//!
//! ```
//! #[global_allocator]
//! static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
//!
//! # struct Rooms(std::collections::HashMap<u32, String>);
//! # impl Rooms {
//! #     fn join(&mut self, user: u32) { self.0.insert(user, format!("user {user}")); }
//! #     fn leave(&mut self, user: u32) { self.0.remove(&user); }
//! # }
//! # /*
//! #[test]
//! # */
//! fn who_leaves_is_forgotten() {
//!     let mut rooms = Rooms(Default::default());
//!     heapwatch::testing::assert_no_growth(
//!         || {
//!             rooms.join(7);
//!             rooms.leave(7);
//!         },
//!         100,
//!     );
//! }
//! # who_leaves_is_forgotten();
//! ```
//!
//! Without the `leave`, and with another user each time, the test fails and says where the memory
//! was allocated:
//!
//! ```text
//! memory still grows after 800 iterations, by 52.24 B an iteration
//!
//! 52.24 B in 1 object an iteration: chat::Rooms::join (src/rooms.rs:7)
//!     at most 10.22 KiB in iterations 100 to 200, at least 20.42 KiB in iterations 400 to 800
//!     40.83 KiB in 801 objects are live now
//!
//! If this is a cache that is still filling, fill it before, or ask for more iterations.
//! ```
//!
//! Where the work is no closure, or the test's own loop is wanted, use a [`Scope`].
//!
//! Names and lines come from debug information, which test builds have unless the profile turns
//! it off.
//!
//! # What is counted
//!
//! Every allocation, whatever the sampling interval is, of the thread that makes the assertion and
//! of threads that are created by it, or by one of them, while the assertion runs; and every free
//! of such a block on any thread. Other tests in other threads do not matter, and see nothing of
//! it: their interval is as before.
//!
//! How a new thread is known to belong to a scope: the kernel hands a thread's timer slack to those
//! that it creates, and inside of a scope that is up to 10 µs more than the usual 50 µs. So this
//! works on Linux, for threads of every language, and not for real-time threads; elsewhere only
//! the thread that makes the assertion is counted, and a failure says so.
//!
//! # How it decides
//!
//! After each iteration it notes what is live at each call site. The iterations fall into windows,
//! of which each ends at twice as many as the one before. A call site grows if, over the last three
//! windows, its lowest and its highest level rise by more from one to the next, and all of the last
//! lies above all of the first. Hence
//!
//! - what is allocated once (lazy statics, thread-locals, tables that reach their size) is no
//!   growth, however much it is, nor is a cache that is full before the last window begins,
//! - a level that goes up and down is no growth, nor is one that rises ever less, such as buffers
//!   that are as large as the largest input so far,
//! - one `Vec`, `String` or `HashMap` that is replaced by a larger one ever more rarely *is* growth:
//!   its size doubles whenever the number of iterations does.
//!
//! [`assert_no_growth`] returns after as many iterations as it was asked for if nothing rose in
//! the second half of them. Otherwise it makes twice and then four times as many; if something
//! grows then, it doubles them once more, and fails if something still does. All allocations are counted, so a test that does the same each time gets the same verdict
//! each time.
//!
//! # What it cannot see
//!
//! - Threads that existed before the scope: what a worker of an older thread pool or runtime
//!   allocates is not counted. Start the runtime inside of the closure or scope, or use a
//!   single-threaded one.
//! - Whose work it is that a thread does: a pool that is created inside of a scope belongs to the
//!   scope, even if other tests use it, too. Create a pool that tests share before.
//! - A leak that comes less than once in half of the iterations that were asked for, or by chance and only a few times in
//!   it, or a container with so much spare room that it does not double three times in the run:
//!   ask for more iterations.
//! - A leak that is smaller, over the whole run, than what the same call site goes up and down by.
//! - Memory that is not the global allocator's: `mmap`, `malloc` from C.
//! - What std's own capture of a test's output takes is left out: it grows with all that is printed.

mod laps;
mod message;

use crate::snapshot::evidence::SiteKey;
use crate::snapshot::muted;
use crate::snapshot::scope::{Level, Scope as Counted};

use laps::{Amount, Laps};

/// Runs `iteration` at least `iterations` times, at most about eight times as often, and panics if
/// memory that it allocates grows. The [module's documentation](self) says what is
/// counted and how it is decided.
///
/// At least 20 iterations are a good number; they should be so many that everything is warm when
/// they are over.
///
/// # Panics
///
/// - If memory grows; the message is a report of where.
/// - If heapwatch is not the global allocator of this binary, if fewer than two iterations are asked
///   for, or inside of another scope.
/// - If an allocation could not be recorded, because nothing exact can be said then.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// heapwatch::testing::assert_no_growth(|| drop(vec![1, 2, 3]), 50);
/// ```
///
/// ```should_panic
/// # #[global_allocator]
/// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// heapwatch::testing::assert_no_growth(|| std::mem::forget(vec![1, 2, 3]), 50);
/// ```
#[track_caller]
pub fn assert_no_growth<T>(mut iteration: impl FnMut() -> T, iterations: usize) {
    assert!(
        iterations >= 2,
        "assert_no_growth needs at least 2 iterations to compare, and was asked for {iterations}; \
         20 or more are a good number"
    );
    let mut scope = Scope::with_first(iterations.div_ceil(2));
    while scope.laps.count() < iterations
        || scope.laps.count() < scope.laps.most() && scope.suspicious()
    {
        drop(iteration());
        scope.lap();
    }
    scope.end();
}

/// Counts what this thread, and threads that it creates, allocate from here on; for tests with a
/// loop of their own.
///
/// Call [`lap`](Scope::lap) at the end of each iteration and
/// [`assert_no_growth`](Scope::assert_no_growth) at the end. The scope also ends when it is dropped.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();
/// # let requests = (0..100).map(|i| format!("GET /{i}"));
/// # fn handle(request: String) -> usize { request.len() }
/// let mut scope = heapwatch::testing::Scope::start();
/// for request in requests {
///     handle(request);
///     scope.lap();
/// }
/// scope.assert_no_growth();
/// ```
#[derive(Debug)]
pub struct Scope {
    counted: Counted,
    laps: Laps<SiteKey>,
}

impl Scope {
    /// Starts counting on this thread.
    ///
    /// # Panics
    ///
    /// If heapwatch is not the global allocator of this binary, or this thread is in a scope already.
    #[must_use]
    #[track_caller]
    pub fn start() -> Scope {
        Scope::with_first(1)
    }

    #[track_caller]
    fn with_first(laps: usize) -> Scope {
        match Counted::open() {
            Ok(Some(counted)) => Scope {
                counted,
                laps: Laps::new(laps),
            },
            Ok(None) => panic!(
                "this thread is in a heapwatch::testing scope already, or was created in one; end \
                 that one first: its allocations can belong to one scope only"
            ),
            Err(error) => panic!(
                "{error} to this test's binary: a file in `tests/` needs it at its top, unit tests \
                 need it in the crate's root below `#[cfg(test)]`"
            ),
        }
    }

    /// Ends an iteration: notes what is live.
    pub fn lap(&mut self) {
        muted(|| {
            let levels = self.counted.levels();
            self.laps.end(levels.iter().map(level));
        });
    }

    fn suspicious(&self) -> bool {
        muted(|| self.laps.suspicious())
    }

    /// Ends the scope and panics if memory grew from lap to lap; caches must be full by a quarter
    /// of the laps.
    ///
    /// # Panics
    ///
    /// As [`assert_no_growth`](crate::testing::assert_no_growth()), and with fewer than eight laps,
    /// because they tell nothing.
    #[track_caller]
    pub fn assert_no_growth(self) {
        assert!(
            self.laps.count() >= self.laps.enough(),
            "a scope needs at least {} laps to tell growth from warm-up, and has {}; call \
             `Scope::lap` at the end of each iteration",
            self.laps.enough(),
            self.laps.count(),
        );
        self.end();
    }

    #[track_caller]
    fn end(self) {
        let message = muted(|| message::failure(&self.counted, &self.laps));
        // The scope ends first, so that nothing of the panic is counted.
        drop(self);
        if let Some(message) = message {
            panic!("{message}");
        }
    }
}

fn level(level: &Level) -> (SiteKey, Amount) {
    let amount = Amount {
        bytes: level.bytes,
        objects: level.objects,
    };
    (level.site, amount)
}
