//! A program that has tikv-jemallocator in its tree, of the version that the folder is named after:
//! heapwatch over it, or with the feature `new` over the jemalloc that both share.

#[cfg(not(feature = "new"))]
#[global_allocator]
static ALLOC: heapwatch::Alloc<tikv_jemallocator::Jemalloc> =
    heapwatch::Alloc::over(tikv_jemallocator::Jemalloc);

#[cfg(feature = "new")]
#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

fn main() -> Result<(), heapwatch::Error> {
    heapwatch::set_interval(1)?;
    let held = vec![1_u8; 1 << 20];
    let snapshot = heapwatch::snapshot()?;
    assert!(snapshot.live().bytes >= held.len() as f64);
    // jemalloc's own figures come with the feature `jemalloc`, and are those of the program's.
    let own = &snapshot.info().process.jemalloc;
    assert_eq!(own.is_some(), cfg!(feature = "new"));
    println!("{} bytes are live", snapshot.live().bytes);
    Ok(())
}
