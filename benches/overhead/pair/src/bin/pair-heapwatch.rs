//! The loop under heapwatch.

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

fn main() -> std::process::ExitCode {
    pair::main()
}
