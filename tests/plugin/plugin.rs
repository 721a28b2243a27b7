//! A plugin that has heapwatch as its own global allocator, and watches itself.

use std::alloc::System;

#[global_allocator]
static ALLOC: heapwatch::Alloc<System> = heapwatch::Alloc::over(System);

/// 0 if it watches itself now, 1 if that was refused.
#[unsafe(no_mangle)]
pub extern "C" fn begin() -> i32 {
    i32::from(heapwatch::watch().is_err())
}

/// Allocates and frees, a little and a lot; returns how many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn work() -> usize {
    let parts: Vec<Vec<u8>> = (0..1000).map(|size| vec![1; 100 * size]).collect();
    parts.iter().map(Vec::len).sum()
}
