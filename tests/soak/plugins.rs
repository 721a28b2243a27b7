//! Libraries that are loaded, allocate, and are unloaded, in each other's place. Each is a file of its own with a build
//! id of its own, and each call of each load is a call site of its own: if these stayed when they hold nothing, they
//! would take ever more memory.

use std::ffi::{CString, c_int, c_void};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::bare;
use super::common::branches::branch;
use super::common::{Block, Rng};
use super::held::any_size;
use super::program::{SEED, is_over};
use super::workers::turn;

pub(crate) const EVERY: Duration = Duration::from_millis(200);
/// Call sites of each library. Less than half of them are sampled, as the interval changes.
pub(crate) const SITES: u32 = 16;
/// Different libraries: what is known of a library stays, and a program has a bounded number of them. What becomes of
/// ever new ones is in `tests/reloading.rs`.
const LIBRARIES: u64 = 40;
/// Depth of [`branch`]: enough for as many sites as a soak of an hour makes.
const DEPTH: u32 = 19;
/// Blocks of each library that outlive it, until the next one has come and gone.
const KEPT: usize = 4;

const BUILD_ID: [u8; 20] = *b"the original library";

/// The variable that says where the original is.
pub(crate) const LIBRARY: &str = "HEAPWATCH_SOAK_LIBRARY";

pub(crate) static LOADED: AtomicU64 = AtomicU64::new(0);

/// Builds the library of which each load takes a copy.
pub(crate) fn build() -> PathBuf {
    let file = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (source, library) = (file("soak_plugin.c"), file("soak_plugin.so"));
    let code = "int call(void (*back)(void *), void *with) { volatile char x = 1; back(with); return x; }\n";
    std::fs::write(&source, code).unwrap();
    let id: String = BUILD_ID.iter().map(|byte| format!("{byte:02x}")).collect();
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-fomit-frame-pointer"])
        .arg(format!("-Wl,--build-id=0x{id}"))
        .arg("-o")
        .args([&library, &source])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cc could not build {}",
        source.display()
    );
    library
}

/// A copy of the library that no loader and no profiler takes for another one.
fn copy(original: &[u8], number: u64) -> PathBuf {
    let mut bytes = original.to_vec();
    let mut windows = original.windows(BUILD_ID.len());
    let id = windows.position(|window| window == BUILD_ID).unwrap();
    bytes[id..id + 8].copy_from_slice(&number.to_le_bytes());
    let name = format!("soak_plugin_{}_{number}.so", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

type Call = extern "C" fn(extern "C" fn(*mut c_void), *mut c_void) -> c_int;

/// What a library is to allocate, and what it has allocated.
struct Order {
    site: u32,
    size: usize,
    blocks: Vec<Block>,
}

extern "C" fn carry_out(order: *mut c_void) {
    // SAFETY: the order of `visit`, which waits meanwhile.
    let order = unsafe { &mut *order.cast::<Order>() };
    black_box(branch(order.site, DEPTH, order.size, &mut order.blocks));
}

fn original() -> Vec<u8> {
    std::fs::read(std::env::var_os(LIBRARY).unwrap()).unwrap()
}

/// Loads each library once, and has all its calls sampled. What a first sample has us know of a library stays, and
/// by itself comes late: for the intervals that change, most loads of a library are not sampled.
pub(crate) fn meet_all() {
    let original = original();
    let mut rng = Rng(SEED.rotate_left(14));
    if !bare() {
        heapwatch::set_interval(1).unwrap();
    }
    for number in 0..LIBRARIES {
        let blocks = visit_on_a_thread(&original, number, &mut rng);
        if !bare() {
            // That it is gone is found out here.
            heapwatch::snapshot().unwrap();
        }
        blocks.into_iter().for_each(check_and_free);
    }
}

/// On a new thread, which samples at the interval that holds now: one that allocates as little as its caller would
/// learn of it much later.
fn visit_on_a_thread(original: &[u8], number: u64, rng: &mut Rng) -> Vec<Block> {
    let visit = || visit(original, number, rng);
    thread::scope(|scope| scope.spawn(visit).join().unwrap())
}

/// Until the program is over. Goes on where [`meet_all`] has ended.
pub(crate) fn load_and_unload() {
    let original = original();
    let mut rng = Rng(SEED.rotate_left(7));
    let mut outlived: Vec<Block> = Vec::new();
    while !is_over() {
        {
            let _turn = turn();
            let number = LIBRARIES + LOADED.fetch_add(1, Ordering::Relaxed);
            let mut blocks = visit_on_a_thread(&original, number, &mut rng);
            let old = std::mem::take(&mut outlived);
            outlived = blocks.split_off(blocks.len() - KEPT);
            old.into_iter().chain(blocks).for_each(check_and_free);
        }
        thread::sleep(EVERY);
    }
    outlived.into_iter().for_each(check_and_free);
}

fn check_and_free(mut block: Block) {
    let size = block.size();
    assert!(block.holds(size as u64, size), "overwritten: {block:?}");
    block.free();
}

/// Loads a library, has it allocate, and unloads it. All that libraries allocate, they allocate in here.
#[inline(never)]
pub(crate) fn visit(original: &[u8], number: u64, rng: &mut Rng) -> Vec<Block> {
    let path = copy(original, number % LIBRARIES);
    let name = CString::new(path.to_str().unwrap()).unwrap();
    let mut order = Order {
        site: 0,
        size: 0,
        blocks: Vec::with_capacity(SITES as usize),
    };
    // SAFETY: the library has no constructors; its function has this type, and is not used after `dlclose`.
    unsafe {
        let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!library.is_null(), "{} could not be loaded", path.display());
        let call = libc::dlsym(library, c"call".as_ptr());
        assert!(!call.is_null());
        let call: Call = std::mem::transmute(call);
        for site in 0..SITES {
            order.site = number as u32 * SITES + site;
            order.size = any_size(rng) / 64 + 1;
            assert_eq!(black_box(call(carry_out, (&raw mut order).cast())), 1);
            let block = order.blocks.last_mut().unwrap();
            block.fill(block.size() as u64);
        }
        assert_eq!(libc::dlclose(library), 0);
    }
    // Only now: a scrape that wants names finds the file until then, and not afterwards.
    std::fs::remove_file(&path).unwrap();
    order.blocks
}
