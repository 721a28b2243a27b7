//! Allocates on a thread with little stack: bytes left of it, and its size, are the arguments.

mod allocations;
#[path = "../common/stacks.rs"]
#[allow(dead_code)]
mod stacks;

#[cfg(feature = "jemalloc")]
type Inner = tikv_jemallocator::Jemalloc;
#[cfg(feature = "jemalloc")]
const INNER: Inner = tikv_jemallocator::Jemalloc;

#[cfg(feature = "system")]
type Inner = std::alloc::System;
#[cfg(feature = "system")]
const INNER: Inner = std::alloc::System;

#[cfg(feature = "watched")]
#[global_allocator]
static ALLOC: heapwatch::Alloc<Inner> = heapwatch::Alloc::over(INNER);

#[cfg(not(feature = "watched"))]
#[global_allocator]
static ALLOC: Inner = INNER;

fn main() {
    #[cfg(feature = "watched")]
    heapwatch::set_interval(1).unwrap();
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().unwrap())
        .collect();
    stacks::run_on_stack(arguments[1], arguments[0], allocations::allocate);
}
