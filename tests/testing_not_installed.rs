//! A test binary without heapwatch would pass every assertion if it were not told.

/// The message must say what to add, and where.
#[test]
fn says_how_to_install_it() {
    let assertion = || heapwatch::testing::assert_no_growth(|| (), 10);
    let panic = std::panic::catch_unwind(assertion).expect_err("nothing was counted");
    let message = *panic.downcast::<String>().unwrap();
    assert_eq!(
        message,
        "heapwatch is not the global allocator of this program; add `#[global_allocator] static \
         ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();` to this test's binary: a file in \
         `tests/` needs it at its top, unit tests need it in the crate's root below `#[cfg(test)]`"
    );
}
