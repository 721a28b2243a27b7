//! The two lines that a service adds. Run it, then open the address that it prints.

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

fn main() -> Result<(), heapwatch::Error> {
    let watch = heapwatch::serve("127.0.0.1:6790")?;
    println!("http://{}/heap/top", watch.local_addr());
    let mut kept = Vec::new();
    for _ in 0..600 {
        kept.push(vec![1_u8; 100_000]);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    println!("{} blocks kept", kept.len());
    Ok(())
}
