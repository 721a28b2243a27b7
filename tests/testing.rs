//! Assertions on growth: leaks of every kind fail, innocent code passes, whatever other tests do
//! meanwhile. The tests run in parallel threads on purpose.

mod testing {
    mod innocent;
    mod leaking;
    mod message;
    mod parallel;
}

use std::panic::{AssertUnwindSafe, catch_unwind};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// The message of a failed assertion.
fn failure(assertion: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("growth was not found");
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a message")).to_owned(),
    }
}
