//! Allocates 47 kinds of things, and prints what heapwatch sees of each: the fixtures of `src/symbols/tests/kinds.rs`.
//!
//! ```text
//! cargo run --release > ../../src/symbols/tests/kinds/legacy.txt
//! RUSTFLAGS="-Csymbol-mangling-version=v0" cargo run --release > ../../src/symbols/tests/kinds/v0.txt
//! ```

use std::alloc::System;
use std::collections::*;
use std::ffi::{CString, OsString};
use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use heapwatch::Snapshot;
use heapwatch::snapshot::Origin;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOC: heapwatch::Alloc<System> = heapwatch::Alloc::over(System);

#[derive(Clone, Debug, Default)]
pub struct Session {
    id: u64,
    seen: [u64; 12],
}

#[derive(Clone, Debug)]
pub struct Event(u64, u64);

pub trait Greet {
    fn greet(&self) -> u64;
}

impl Greet for Session {
    fn greet(&self) -> u64 {
        self.id + self.seen[2]
    }
}

fn session(id: u64) -> Session {
    let seen = [id; 12];
    Session { id, seen }
}

pub async fn serve(id: u64) -> u64 {
    let session = session(id);
    black_box(&session);
    std::future::pending::<()>().await;
    session.greet()
}

/// A few, as far as the compiler knows.
fn few() -> u64 {
    black_box(3)
}

fn text() -> &'static str {
    black_box("some text")
}

fn each(mut add: impl FnMut(u64)) {
    for number in 0..few() {
        add(number);
    }
}

/// A function for each kind, what its author would call it, and what is kept.
macro_rules! kinds {
    ($runtime:ident: $($name:ident, $called:literal, $make:expr;)*) => {
        $(#[inline(never)]
        fn $name($runtime: &Runtime) {
            // No two of these functions are the same code, which would be merged.
            black_box((stringify!($name), $runtime));
            std::mem::forget(black_box($make));
        })*

        const KINDS: &[(&str, &str, fn(&Runtime))] = &[$((stringify!($name), $called, $name)),*];
    };
}

kinds! {
    runtime:
    vec, "Vec<chat::Session>", { let mut it = Vec::new(); each(|n| it.push(session(n))); it };
    vec_cloned, "Vec<chat::Event>", { let it = vec![Event(few(), 2); few() as usize]; let copy = it.clone(); (it, copy) };
    string, "String", { let mut it = String::new(); each(|_| it.push_str(text())); it };
    formatted, "String", format!("{} and {}", few(), few());
    boxed, "Box<chat::Session>", Box::new(session(few()));
    arc, "Arc<chat::Session>", Arc::new(session(few()));
    rc, "Rc<chat::Session>", Rc::new(session(few()));
    hash_map, "HashMap<u64, chat::Session>", { let mut it = HashMap::new(); each(|n| { it.insert(n, session(n)); }); it };
    hash_set, "HashSet<u32>", { let mut it = HashSet::new(); each(|n| { it.insert(n as u32); }); it };
    btree_map, "BTreeMap<u64, chat::Session>", { let mut it = BTreeMap::new(); each(|n| { it.insert(n, session(n)); }); it };
    btree_set, "BTreeSet<u64>", { let mut it = BTreeSet::new(); each(|n| { it.insert(n); }); it };
    vec_deque, "VecDeque<chat::Session>", { let mut it = VecDeque::new(); each(|n| it.push_back(session(n))); it };
    binary_heap, "BinaryHeap<(u64, u8)>", { let mut it = BinaryHeap::new(); each(|n| it.push((n, n as u8))); it };
    linked_list, "LinkedList<chat::Session>", { let mut it = LinkedList::new(); each(|n| it.push_back(session(n))); it };
    boxed_dyn, "Box<chat::Session>", { let it: Box<dyn Greet> = Box::new(session(few())); it };
    arc_dyn, "Arc<chat::Session>", { let it: Arc<dyn Greet + Send + Sync> = Arc::new(session(few())); it };
    boxed_future, "Box<async fn chat::serve>", { let it: Pin<Box<dyn Future<Output = u64>>> = Box::pin(serve(few())); it };
    arc_str, "Arc<str>", { let it: Arc<str> = Arc::from(text()); it };
    rc_str, "Rc<str>", { let it: Rc<str> = Rc::from(text()); it };
    box_str, "Box<str>", { let it: Box<str> = Box::from(text()); it };
    arc_slice, "Arc<[chat::Event]>", { let it: Arc<[Event]> = (0..few()).map(|n| Event(n, n)).collect(); it };
    box_slice, "Box<[chat::Event]>", { let it: Box<[Event]> = (0..few()).map(|n| Event(n, n)).collect(); it };
    path_buf, "PathBuf", { let mut it = PathBuf::new(); each(|_| it.push(text())); it };
    path_owned, "PathBuf", { let it: &Path = Path::new(text()); (it.to_path_buf(), it.join("else")) };
    c_string, "CString", CString::new(text()).unwrap();
    os_string, "OsString", { let mut it = OsString::new(); each(|_| it.push(text())); it };
    bytes, "Bytes", bytes::Bytes::copy_from_slice(text().as_bytes());
    bytes_mut, "BytesMut", { use bytes::BufMut; let mut it = bytes::BytesMut::with_capacity(few() as usize); each(|n| it.put_u64(n)); it };
    index_map, "IndexMap<u64, chat::Session>", { let mut it = indexmap::IndexMap::new(); each(|n| { it.insert(n, session(n)); }); it };
    index_set, "IndexSet<u64>", { let mut it = indexmap::IndexSet::new(); each(|n| { it.insert(n); }); it };
    dash_map, "DashMap<u64, chat::Session>", { let it = dashmap::DashMap::new(); each(|n| { it.insert(n, session(n)); }); it };
    small_vec, "SmallVec<[chat::Session; 2]>", { let mut it = smallvec::SmallVec::<[Session; 2]>::new(); each(|n| it.push(session(n))); it };
    slab, "Slab<chat::Session>", { let mut it = slab::Slab::new(); each(|n| { it.insert(session(n)); }); it };
    lru, "LruCache<u64, chat::Session>", { let mut it = lru::LruCache::new(NonZeroUsize::new(few() as usize).unwrap()); each(|n| { it.put(n, session(n)); }); it };
    array_vec, "Box<ArrayVec<chat::Session, 4>>", { let mut it = Box::new(arrayvec::ArrayVec::<Session, 4>::new()); each(|n| it.push(session(n))); it };
    std_channel, "std::mpsc::channel<chat::Session>", { let it = std::sync::mpsc::channel(); each(|n| it.0.send(session(n)).unwrap()); it };
    std_bounded, "std::mpsc::channel<chat::Event>", { let it = std::sync::mpsc::sync_channel(few() as usize); each(|n| it.0.send(Event(n, n)).unwrap()); it };
    tokio_bounded, "tokio::mpsc::channel<chat::Session>", { let it = tokio::sync::mpsc::channel(5); each(|n| it.0.try_send(session(n)).unwrap()); it };
    tokio_unbounded, "tokio::mpsc::channel<chat::Event>", { let it = tokio::sync::mpsc::unbounded_channel(); (0..20).for_each(|_| each(|n| it.0.send(Event(n, n)).unwrap())); it };
    tokio_oneshot, "tokio::oneshot::channel<chat::Session>", { let (to, from) = tokio::sync::oneshot::channel(); to.send(session(few())).unwrap(); from };
    tokio_broadcast, "tokio::broadcast::channel<chat::Session>", { let it = tokio::sync::broadcast::channel(4); each(|n| { it.0.send(session(n)).unwrap(); }); it };
    tokio_watch, "tokio::watch::channel<chat::Session>", tokio::sync::watch::channel(session(few()));
    crossbeam_unbounded, "crossbeam::channel<chat::Session>", { let it = crossbeam_channel::unbounded(); each(|n| it.0.send(session(n)).unwrap()); it };
    crossbeam_bounded, "crossbeam::channel<chat::Session>", { let it = crossbeam_channel::bounded(4); each(|n| it.0.send(session(n)).unwrap()); it };
    flume, "flume::channel<chat::Session>", { let it = flume::unbounded(); each(|n| it.0.send(session(n)).unwrap()); it };
    task, "tokio::task<async fn chat::serve>", each(|n| drop(runtime.spawn(serve(n))));
    bump, "Bump", { let it = bumpalo::Bump::new(); each(|n| { it.alloc(session(n)); }); it };
}

fn main() {
    heapwatch::set_interval(1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for (_, _, make) in KINDS {
        make(&runtime);
    }
    let snapshot = heapwatch::snapshot().unwrap();
    for (name, called, _) in KINDS {
        print(&snapshot, name, called);
    }
}

/// Each stack under a kind's function, innermost first, without the allocator's frames.
fn print(snapshot: &Snapshot, kind: &str, called: &str) {
    let function = format!("chat::{kind}");
    let mut printed = BTreeSet::new();
    for site in snapshot.sites().iter().filter(|site| site.live.bytes > 0.0) {
        let frames = site.stack.iter().flat_map(|&place| snapshot.frames(place));
        let frames: Vec<_> = frames.collect();
        let Some(end) = frames.iter().position(|frame| *frame.function == *function) else {
            continue;
        };
        let mut lines = String::new();
        for frame in &frames[..=end] {
            let whose = match &frame.origin {
                Origin::Allocator => continue,
                Origin::Own { .. } => "own",
                Origin::Std => "std",
                Origin::Dependency { name, .. } => name,
                Origin::Foreign => "foreign",
            };
            lines += &format!("{whose} {}\n", frame.function);
        }
        printed.insert(lines);
    }
    if printed.is_empty() {
        println!("{kind}: {called}\nnothing\n");
    }
    for lines in printed {
        println!("{kind}: {called}\n{lines}");
    }
}
