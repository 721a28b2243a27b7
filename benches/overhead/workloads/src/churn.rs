//! Small objects of several kinds, made at several call sites and replaced at random.

use fastrand::Rng;

use crate::SEED;

const SLOTS: usize = 16_384;
const OPERATIONS: u64 = 36_000_000;

/// A small object such as services are made of.
pub enum Object {
    Bytes(Box<[u8]>),
    Text(String),
    Node(Box<Node>),
    Words(Vec<u32>),
}

pub struct Node {
    key: u64,
    label: Box<[u8; 24]>,
    children: [u64; 6],
}

impl Object {
    /// An object of 16 to 399 bytes, mostly small.
    pub fn random(rng: &mut Rng) -> Object {
        let bits = rng.u32(..);
        // The product of two uniform numbers leans towards the small sizes, as real heaps do.
        let size = 16 + ((bits >> 8) & 0xff) * ((bits >> 16) & 0xff) * 384 / 65_536;
        let size = size as usize;
        match bits & 3 {
            0 => bytes(size),
            1 => text(size),
            2 => node(u64::from(bits)),
            _ => words(size / 4),
        }
    }

    /// Reads a little of the object, so that it has to exist.
    pub fn touch(&self) -> u64 {
        match self {
            Object::Bytes(bytes) => bytes.len() as u64,
            Object::Text(text) => text.capacity() as u64,
            Object::Node(node) => node.key ^ node.children[5] ^ u64::from(node.label[0]),
            Object::Words(words) => words.capacity() as u64,
        }
    }
}

#[inline(never)]
fn bytes(size: usize) -> Object {
    Object::Bytes(vec![0; size].into_boxed_slice())
}

#[inline(never)]
fn text(size: usize) -> Object {
    let mut text = String::with_capacity(size);
    text.push_str("heap");
    Object::Text(text)
}

#[inline(never)]
fn node(key: u64) -> Object {
    Object::Node(Box::new(Node {
        key,
        label: Box::new([key as u8; 24]),
        children: [key; 6],
    }))
}

#[inline(never)]
fn words(count: usize) -> Object {
    let mut words = Vec::with_capacity(count);
    words.push(count as u32);
    Object::Words(words)
}

/// Replaces random slots; the live set stays near 2 MiB.
pub fn run() -> u64 {
    let mut rng = Rng::with_seed(SEED);
    let mut slots: Vec<Object> = (0..SLOTS).map(|_| Object::random(&mut rng)).collect();
    let mut checksum = 0u64;
    for _ in 0..OPERATIONS {
        let slot = rng.usize(..SLOTS);
        slots[slot] = Object::random(&mut rng);
        checksum = checksum.wrapping_add(slots[slot].touch());
    }
    checksum
}
