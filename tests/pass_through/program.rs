//! Where nothing is sampled, a program runs as without heapwatch, and each call for a report returns an
//! error of one line that says so. On Linux with `RUSTFLAGS="--cfg heapwatch_pass_through"`, which stands for such a place.

use heapwatch::Error;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

fn main() {
    let mut block = vec![1_u8; 100];
    for size in [30_000, 3_000_000, 5] {
        block.resize(size, 1);
        assert!(block.iter().all(|byte| *byte == 1));
    }
    told(heapwatch::set_interval(1));
    told(heapwatch::snapshot());
    told(heapwatch::watch());
    told(heapwatch::growth());
    told(heapwatch::serve("127.0.0.1:0"));
    told(heapwatch::metrics::Collector::new());
}

fn told<T>(answer: Result<T, Error>) {
    let Err(error) = answer else {
        panic!("nothing can be told here");
    };
    assert!(matches!(error, Error::NotSupported), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("nothing on this platform") && text.lines().count() == 1);
}
