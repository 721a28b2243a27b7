//! Compiled by the tests at several debug levels; what matters is the code, it is never run.
use std::collections::HashMap;
use std::hint::black_box;

pub mod store {
    pub struct Store<T> {
        items: Vec<T>,
    }

    impl<T> Store<T> {
        #[inline(never)]
        pub fn put(&mut self, item: T) {
            self.items.push(item);
        }
        pub fn new() -> Store<T> {
            Store { items: Vec::new() }
        }
    }
}

pub struct Session {
    name: String,
    seen: [u64; 9],
}

pub trait Greet {
    fn greet(&self) -> Vec<u8>;
}

impl Greet for Session {
    #[inline(never)]
    fn greet(&self) -> Vec<u8> {
        self.name.as_bytes().to_vec()
    }
}

impl Session {
    #[inline(never)]
    pub fn new(id: u64) -> Session {
        Session { name: format!("session {id}"), seen: [id; 9] }
    }

    #[inline(always)]
    fn touched(self) -> Session {
        black_box(self.seen[3]);
        self
    }
}

#[inline(never)]
fn register(sessions: &mut HashMap<u64, Session>, id: u64) {
    sessions.insert(id, Session::new(id).touched());
}

#[inline(always)]
fn with<T>(make: impl FnOnce() -> T) -> T {
    black_box(make())
}

#[inline(never)]
fn caller(id: u64) -> Box<Session> {
    with(|| Box::new(Session::new(id)))
}

fn main() {
    let mut sessions = HashMap::new();
    register(&mut sessions, 7);
    let mut store = store::Store::<Session>::new();
    store.put(Session::new(1));
    black_box(caller(3).greet());
    black_box((store, sessions));
}
