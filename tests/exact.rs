//! At interval 1 every number is exact, on whatever threads blocks are allocated and freed.

use std::sync::mpsc;

use heapwatch::Snapshot;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

#[inline(never)]
fn boxes(count: usize) -> Vec<Box<[u8; 100]>> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(std::hint::black_box(Box::new([7; 100])));
    }
    all
}

fn sites(snapshot: &Snapshot, size: f64) -> Vec<String> {
    snapshot
        .sites()
        .iter()
        .filter(|site| site.samples > 0)
        .map(|site| {
            let names: Vec<String> = site
                .stack
                .iter()
                .take(12)
                .map(|&at| format!("{:x}", snapshot.locations()[at as usize].address))
                .collect();
            format!(
                "{} live {} objects {} bytes, freed {} {size} {:?}",
                site.samples, site.live.objects, site.live.bytes, site.freed.objects, names
            )
        })
        .collect()
}

#[test]
fn counts_are_exact() {
    heapwatch::set_interval(1).unwrap();
    let (send, receive) = mpsc::channel();
    let freer = std::thread::spawn(move || {
        for block in receive {
            drop::<Box<[u8; 100]>>(block);
        }
    });
    let mut kept = boxes(1000);
    for block in kept.drain(..400) {
        send.send(block).unwrap();
    }
    drop(send);
    freer.join().unwrap();
    let snapshot = heapwatch::snapshot().unwrap();
    for s in sites(&snapshot, 100.0) {
        println!("{s}");
    }
    println!("{:?}", snapshot.info());
}
