//! A tree per request whose children hold their parent with an `Arc`; the corrected ones hold a `Weak`.

use std::hint::black_box;
use std::sync::{Arc, Mutex, Weak};

use leak_harness::times;

const DOCUMENTS_PER_BEAT: u64 = 5;
const CHILDREN: usize = 8;

enum Parent {
    Strong(Arc<Node>),
    Weak(Weak<Node>),
}

struct Node {
    parent: Option<Parent>,
    text: String,
    children: Mutex<Vec<Arc<Node>>>,
}

impl Node {
    fn depth(&self) -> usize {
        match &self.parent {
            None => 0,
            Some(Parent::Strong(parent)) => 1 + parent.depth(),
            Some(Parent::Weak(parent)) => 1 + parent.upgrade().map_or(0, |parent| parent.depth()),
        }
    }
}

fn main() {
    leak_harness::run(|run| {
        for () in run.beats() {
            times(DOCUMENTS_PER_BEAT).for_each(|_| handle(run.healthy()));
        }
    });
}

fn handle(weak: bool) {
    let root = parse(weak);
    let children = root.children.lock().expect("no holder panics");
    black_box(
        children
            .iter()
            .map(|child| child.text.len() + child.depth())
            .sum::<usize>(),
    );
}

fn parse(weak: bool) -> Arc<Node> {
    let root = Arc::new(Node {
        parent: None,
        text: "root".into(),
        children: Mutex::default(),
    });
    for n in 0..CHILDREN {
        let child = Arc::new(Node {
            parent: Some(if weak {
                Parent::Weak(Arc::downgrade(&root))
            } else {
                Parent::Strong(root.clone())
            }),
            text: format!("paragraph {n}: {}", "lorem ipsum ".repeat(6)),
            children: Mutex::default(),
        });
        root.children.lock().expect("no holder panics").push(child);
    }
    root
}
