//! A small service with what real ones hold: maps, strings, trait objects, closures, generic code, a
//! dependency, threads. It fills itself, writes a snapshot to the path it is given, and ends.
//!
//! `tests/rebuild.rs` builds it several times with unrelated changes. Each call site holds a
//! number of bytes that no other holds, so that a site taken for another one shows.

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

// CHANGE: here

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut service = service::Service::new(311);
    service.fill();
    let worker = std::thread::spawn(|| workers::work(|n| service::frame(n, 6_113)));
    let held = (service, worker.join(), unrelated());
    let path = std::env::args().nth(1).ok_or("where to write the snapshot")?;
    heapwatch::snapshot()?.save(path)?;
    std::hint::black_box(&held);
    Ok(())
}

fn unrelated() -> Vec<u8> {
    // CHANGE: and here
    Vec::new()
}

mod service {
    use std::collections::{BTreeMap, HashMap, VecDeque};
    use std::rc::Rc;
    use std::sync::Arc;

    use depot::Cache;

    pub struct Session {
        pub name: String,
        pub seen: [u64; 12],
    }

    pub trait Handler {
        fn handle(&self, request: usize) -> Vec<u8>;
    }

    struct Echo(Vec<u8>);

    impl Handler for Echo {
        fn handle(&self, request: usize) -> Vec<u8> {
            let mut answer = self.0.clone();
            answer.resize(request * 7, 1);
            answer
        }
    }

    struct Static<const N: usize>(Box<[u8; N]>);

    impl<const N: usize> Handler for Static<N> {
        fn handle(&self, request: usize) -> Vec<u8> {
            self.0.iter().cycle().take(request * 9).copied().collect()
        }
    }

    type Job = Box<dyn Fn(u64) -> u64>;

    pub struct Service {
        sessions: HashMap<u64, Session>,
        by_name: BTreeMap<String, Rc<[u8]>>,
        recent: VecDeque<[u16; 50]>,
        cache: Cache<u32, [u8; 300]>,
        words: Cache<Arc<str>, Vec<u8>>,
        handlers: Vec<Box<dyn Handler>>,
        jobs: Vec<Job>,
        answers: Vec<Vec<u8>>,
        first: Vec<u8>,
        second: Vec<u8>,
    }

    impl Service {
        pub fn new(entries: usize) -> Self {
            Service {
                sessions: HashMap::new(),
                by_name: BTreeMap::new(),
                recent: VecDeque::new(),
                cache: Cache::new(entries),
                words: Cache::new(entries * 2),
                handlers: Vec::new(),
                jobs: Vec::new(),
                answers: Vec::new(),
                first: Vec::new(),
                second: Vec::new(),
            }
        }

        pub fn fill(&mut self) {
            for id in 0..2_311 {
                self.register(id);
            }
            for number in 0..1_117 {
                self.remember(number);
            }
            self.handlers.push(Box::new(Echo(vec![7; 40_009])));
            self.handlers.push(Box::new(Static(Box::new([3; 52_021]))));
            self.handlers.push(Box::new(Static(Box::new([4; 31_013]))));
            for handler in &self.handlers {
                self.answers.push(handler.handle(5_003));
            }
            self.jobs = jobs(701);
            // Two calls on lines of their own, alike but for these.
            self.first = page(60_013);
            self.second = page(90_017);
        }

        fn register(&mut self, id: u64) {
            let name = format!("session number {id:06} of this service");
            let session = Session {
                name,
                seen: [id; 12],
            };
            self.sessions.insert(id, session);
        }

        fn remember(&mut self, number: u32) {
            let name = number.to_string().repeat(17);
            self.by_name.insert(name, Rc::from(vec![1; 133]));
            self.recent.push_back([number as u16; 50]);
            self.cache.put(number, [2; 300]);
            let text = depot::intern(&format!("word {number:08} of many"));
            let encoded = depot::encode(text.bytes().cycle().take(77));
            self.words.put(text, encoded);
        }
    }

    fn jobs(count: u64) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        for job in 0..count {
            let (small, large) = ([job; 19], [job; 47]);
            jobs.push(Box::new(move |x| small[x as usize % 19]));
            jobs.push(Box::new(move |x| large[x as usize % 47]));
        }
        jobs
    }

    #[inline(never)]
    fn page(bytes: usize) -> Vec<u8> {
        let mut page = vec![5; bytes];
        // Were the allocation the last that this does, a compiler could leave no frame of it.
        page[bytes / 2] = 6;
        page
    }

    pub fn frame(number: usize, bytes: usize) -> Vec<u8> {
        let mut frame = Vec::with_capacity(bytes);
        frame.extend((0..bytes).map(|byte| (byte ^ number) as u8));
        frame
    }
}

mod workers {
    pub struct Done {
        pub frames: Vec<Vec<u8>>,
        pub log: String,
        pub sums: Vec<u64>,
    }

    pub fn work(make: impl Fn(usize) -> Vec<u8>) -> Done {
        let frames: Vec<Vec<u8>> = (0..29).map(&make).collect();
        let sums = collect(frames.iter().map(|frame| frame.len() as u64), 4_099);
        let small = collect((0..29).map(|n: u32| n), 9_001);
        let mut log = String::new();
        for frame in &frames {
            log += &format!("{} {} {}\n", "made".repeat(313), frame.len(), small.len());
        }
        Done { frames, log, sums }
    }

    /// Several instances of one function.
    fn collect<T: Clone>(items: impl Iterator<Item = T>, times: usize) -> Vec<T> {
        let all: Vec<T> = items.collect();
        all.iter().cycle().take(times).cloned().collect()
    }
}
