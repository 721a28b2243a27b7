//! At interval 1 every number is exact, on whatever threads blocks are allocated and freed; over
//! the system's allocator.

mod common;

#[global_allocator]
static ALLOC: heapwatch::Alloc<std::alloc::System> = heapwatch::Alloc::over(std::alloc::System);

/// A number that is off here is a lie in every report.
#[test]
fn counts_are_exact() {
    let _turn = common::my_turn();
    common::exact::counts_are_exact();
}

/// Collections reach the allocator through std's own code; its frames must not hide the site.
#[test]
fn collections_are_exact() {
    let _turn = common::my_turn();
    common::exact::collections_are_exact();
}

/// A block given back to the wrong allocator, or a lost byte, corrupts the program.
#[test]
fn random_operations_keep_contents() {
    let _turn = common::my_turn();
    common::random::keeps_contents_and_settles(4000);
}
