//! The stack of a sample is the stack that an unwinder by the book sees: the same return
//! addresses, from the function that allocates to the thread's first one, wherever it runs.
//!
//! The `backtrace` crate, which asks libgcc, is the reference.

mod common;

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CString, c_int, c_void};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::stacks::{run_in_context, run_on_thread};
use common::{Block, function_of, layout, my_turn, now_through, sites};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// An allocation of a size that no other one has, and the stack that the reference saw around it.
struct Seen {
    size: usize,
    reference: Vec<u64>,
    block: Block,
}

/// Allocates and asks the reference, so that both stacks are the same but for the innermost
/// return address.
#[inline(never)]
fn allocate_here() -> Seen {
    static SIZE: AtomicUsize = AtomicUsize::new(100_001);
    let size = SIZE.fetch_add(1, Ordering::Relaxed);
    let block = Block::alloc(layout(size)).unwrap();
    let mut reference = Vec::with_capacity(2000);
    // SAFETY: the tests that capture take turns.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            reference.push(frame.ip() as u64);
            true
        });
    }
    black_box(Seen {
        size,
        reference,
        block,
    })
}

/// The frames outside of [`allocate_here`].
fn outside(stack: &[u64]) -> &[u64] {
    let me = allocate_here as *const () as usize;
    let own = stack.iter().position(|&address| function_of(address) == me);
    &stack[own.expect("the allocating function is on the stack") + 1..]
}

impl Seen {
    /// The stack of the site that loses just this block when it is freed, and whether it was cut.
    fn captured(self) -> (Vec<u64>, bool, Vec<u64>) {
        let live = |snapshot: &heapwatch::Snapshot| -> BTreeMap<_, _> {
            let truncated = snapshot.sites().iter().map(|site| site.truncated);
            sites(snapshot)
                .zip(truncated)
                .map(|((stack, counts), truncated)| {
                    ((stack, truncated), counts.live_bytes as usize)
                })
                .collect()
        };
        let before = live(&heapwatch::snapshot().unwrap());
        self.block.free();
        let after = live(&heapwatch::snapshot().unwrap());
        let mut changed = before
            .into_iter()
            .filter(|(site, bytes)| *bytes == after[site] + self.size);
        let ((stack, truncated), _) = changed.next().expect("the block was counted at a site");
        assert_eq!(changed.next(), None);
        (stack, truncated, self.reference)
    }

    /// The captured stack is the reference's, to the end.
    fn check(self, case: &str) {
        let (stack, truncated, reference) = self.captured();
        check_innermost(&stack);
        assert_same(case, outside(&stack), outside(&reference));
        assert!(!truncated, "{case}: a whole stack is not marked as cut");
    }

    /// The innermost frames are the reference's; further out nothing is promised.
    fn check_start(self, case: &str, frames: usize) {
        let (stack, _, reference) = self.captured();
        check_innermost(&stack);
        let (ours, theirs) = (outside(&stack), outside(&reference));
        assert!(ours.len() >= frames, "{case}: {}", named(ours));
        assert_same(case, &ours[..frames], &theirs[..frames]);
    }

    /// The reference's frames: all of them, or marked as cut.
    fn check_whole_or_cut(self, case: &str, at_least: usize) {
        let (stack, truncated, reference) = self.captured();
        check_innermost(&stack);
        let (ours, theirs) = (outside(&stack), outside(&reference));
        assert!(ours.len() >= at_least, "{case}: {}", named(ours));
        let to_compare = if truncated { ours.len() } else { theirs.len() };
        assert_same(case, ours, &theirs[..to_compare]);
    }
}

/// The allocator's frames are gone: what comes first is the function that called it. std's own
/// `alloc::alloc::alloc` may lie between where it is not inlined.
fn check_innermost(stack: &[u64]) {
    let me = allocate_here as *const () as usize;
    let before = stack
        .iter()
        .take_while(|&&address| function_of(address) != me)
        .count();
    let most = if cfg!(debug_assertions) { 3 } else { 0 };
    assert!(
        before <= most,
        "{before} frames inside of the call site are left"
    );
}

fn assert_same(case: &str, ours: &[u64], theirs: &[u64]) {
    // The reference may add the address 0 or the kernel's entry point as an outermost frame.
    let theirs: Vec<u64> = theirs.iter().copied().filter(|&a| a != 0).collect();
    assert!(
        ours == theirs,
        "{case}: heapwatch saw\n{}\nand the reference\n{}",
        named(ours),
        named(&theirs)
    );
}

fn named(stack: &[u64]) -> String {
    let mut text = String::new();
    for &address in stack {
        let mut name = String::new();
        backtrace::resolve((address - 1) as *mut c_void, |symbol| {
            name += &symbol.name().map(|n| n.to_string()).unwrap_or_default();
            name += ";";
        });
        text += &format!("  {address:x} {name}\n");
    }
    text
}

fn sample_all() {
    heapwatch::set_interval(1).unwrap();
}

#[test]
fn spawned_threads() {
    let _turn = my_turn();
    sample_all();
    allocate_here().check("the test's thread");
    std::thread::spawn(|| allocate_here().check("a spawned thread"))
        .join()
        .unwrap();
}

/// Async services allocate on the runtime's workers.
#[test]
fn tokio_workers() {
    let _turn = my_turn();
    sample_all();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let seen = runtime.block_on(async {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                tokio::spawn(async {
                    tokio::task::yield_now().await;
                    allocate_here()
                })
            })
            .collect();
        let mut seen = Vec::new();
        for task in tasks {
            seen.push(task.await.unwrap());
        }
        seen
    });
    for seen in seen {
        seen.check_start("a tokio worker", 8);
    }
    drop(runtime);
}

#[inline(never)]
fn recurse(depth: usize) -> Seen {
    if depth == 0 {
        return black_box(allocate_here());
    }
    let seen = recurse(depth - 1);
    black_box(seen)
}

/// Deep recursion: the innermost 128 frames, marked as cut; and whole again when it is over.
#[test]
fn deep_recursion() {
    let _turn = my_turn();
    sample_all();
    recurse(60).check("60 deep");
    for depth in [127, 128, 200, 1000] {
        let seen = recurse(depth);
        let (stack, truncated, reference) = seen.captured();
        assert!(truncated, "{depth} deep: cut");
        assert_eq!(stack.len(), 128, "{depth} deep");
        check_innermost(&stack);
        let ours = outside(&stack);
        assert_same("deep", ours, &outside(&reference)[..ours.len()]);
    }
    allocate_here().check("after deep recursion");
}

thread_local! {
    static FROM_CALLBACK: std::cell::RefCell<Vec<Seen>> = const { std::cell::RefCell::new(Vec::new()) };
}

extern "C" fn compare(_: *const c_void, _: *const c_void) -> c_int {
    let seen = allocate_here();
    FROM_CALLBACK.with_borrow_mut(|all| all.push(seen));
    0
}

/// The stack runs through libc's own frames.
#[test]
fn inside_of_qsort() {
    let _turn = my_turn();
    sample_all();
    let mut numbers = [3, 2];
    // SAFETY: the callback looks at nothing.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 2, 4, Some(compare)) };
    let seen = FROM_CALLBACK.take();
    assert!(!seen.is_empty());
    for seen in seen {
        seen.check("in qsort");
    }
}

extern "C" fn call_back() {
    let seen = allocate_here();
    FROM_CALLBACK.with_borrow_mut(|all| all.push(seen));
}

/// Builds a shared object of one function that calls back, without frame pointers.
fn build_library(name: &str, padding: usize) -> std::path::PathBuf {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, object) = (
        dir.join(format!("{name}.c")),
        dir.join(format!("{name}.so")),
    );
    let code = format!(
        "int {name}_pad(int x) {{ volatile char room[{padding}]; room[x] = x; return room[x]; }}\n\
         int {name}(void (*back)(void)) {{ volatile char room[{padding}]; room[0] = 1; back(); return room[0]; }}\n"
    );
    std::fs::write(&source, code).unwrap();
    let status = std::process::Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-fomit-frame-pointer"])
        .args(["-Wl,--build-id=none", "-o"])
        .args([&object, &source])
        .status()
        .unwrap();
    assert!(status.success(), "cc could not build {}", source.display());
    object
}

struct Library(*mut c_void);

impl Library {
    fn open(path: &std::path::Path) -> Library {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the library has no constructors.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null());
        Library(handle)
    }

    fn call(&self, name: &str) -> Vec<Seen> {
        let name = CString::new(name).unwrap();
        // SAFETY: the function has this type.
        unsafe {
            let function = libc::dlsym(self.0, name.as_ptr());
            assert!(!function.is_null());
            let function: extern "C" fn(extern "C" fn()) -> c_int = std::mem::transmute(function);
            assert_eq!(black_box(function(call_back)), 1);
        }
        FROM_CALLBACK.take()
    }

    fn close(self) {
        // SAFETY: opened by dlopen, not used again.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

/// Plugins: code loaded after the first allocation, found without the loader's lock; and unloaded
/// again, while stacks through it are still counted.
#[test]
fn through_loaded_code() {
    let _turn = my_turn();
    sample_all();
    let first = build_library("first_plugin", 200);
    let second = build_library("second_plugin", 9000);
    for round in 0..5 {
        for (path, name) in [(&first, "first_plugin"), (&second, "second_plugin")] {
            let library = Library::open(path);
            let seen = library.call(name).pop().unwrap();
            seen.check(&format!("{name}, round {round}"));
            library.close();
            // Everything goes on, with its old stacks and with new ones.
            allocate_here().check("after unloading");
            assert!(heapwatch::snapshot().unwrap().live().bytes > 0.0);
        }
    }
}

/// A plugin that is unloaded and loaded again elsewhere is the same code: two sites of one id would
/// give a metric two series of the same name.
#[test]
fn code_that_is_loaded_again_elsewhere_is_one_site() {
    let _turn = my_turn();
    sample_all();
    let path = build_library("moved_plugin", 400);
    let (mut places, mut seen) = (Vec::new(), Vec::new());
    // Not unrolled, or the two calls would be at two places.
    for _ in 0..black_box(2) {
        let library = Library::open(&path);
        seen.append(&mut library.call("moved_plugin"));
        let snapshot = heapwatch::snapshot().unwrap();
        let mut modules = snapshot.modules().iter();
        let module = modules.find(|module| {
            module.path.ends_with("moved_plugin.so") && !places.contains(&module.start)
        });
        let module = module.unwrap();
        library.close();
        let (start, length) = (module.start as *mut c_void, module.end - module.start);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: nothing is mapped there any more; from now on no other library can be.
        let taken = unsafe { libc::mmap(start, length as usize, libc::PROT_NONE, flags, -1, 0) };
        assert_eq!(taken, start);
        places.push(module.start);
    }
    let snapshot = heapwatch::snapshot().unwrap();
    let ids: HashSet<u64> = snapshot.sites().iter().map(|site| site.id).collect();
    assert_eq!(ids.len(), snapshot.sites().len());
    let bytes = seen.iter().map(|seen| seen.size as f64).sum::<f64>();
    let lives = snapshot.sites().iter().map(|site| site.live);
    let both = lives.filter(|live| live.objects == 2.0 && live.bytes == bytes);
    assert_eq!(both.count(), 1);
    seen.into_iter().for_each(|seen| seen.block.free());
}

/// Where no snapshot is taken between unloading one library and loading another at its place,
/// the walk has a stale list; it must neither crash nor hang.
#[test]
fn through_code_at_the_place_of_unloaded_code() {
    let _turn = my_turn();
    sample_all();
    let first = build_library("third_plugin", 300);
    let second = build_library("fourth_plugin", 7000);
    for _ in 0..20 {
        for (path, name) in [(&first, "third_plugin"), (&second, "fourth_plugin")] {
            let library = Library::open(path);
            drop(library.call(name));
            library.close();
        }
    }
    // The last one known there was the other; without a build id they look alike from afar.
    let library = Library::open(&second);
    let _ = heapwatch::snapshot().unwrap();
    library
        .call("fourth_plugin")
        .pop()
        .unwrap()
        .check("after a snapshot");
    library.close();
    let _ = heapwatch::snapshot().unwrap();
}

/// Coroutines: another stack, of which only the kernel knows what can be read. Beyond its first
/// frames, which switch stacks in assembler, the two unwinders differ.
#[test]
fn on_a_coroutine() {
    let _turn = my_turn();
    sample_all();
    let mut coroutine = corosensei::Coroutine::new(|yielder, ()| {
        yielder.suspend(allocate_here());
        recurse(20)
    });
    let first = coroutine.resume(()).as_yield().unwrap();
    first.check_start("first resume", 1);
    let second = coroutine.resume(()).as_return().unwrap();
    second.check_start("second resume", 22);
}

/// A stack that grows in pieces. framehop follows it only towards higher addresses: where the older
/// piece lies below, the stack ends at the switch, and says so.
#[test]
fn across_two_stacks() {
    let _turn = my_turn();
    sample_all();
    for _ in 0..8 {
        std::thread::spawn(|| {
            let seen = stacker::grow(1 << 20, || recurse(3));
            seen.check_whole_or_cut("grown stack", 6);
            let seen = stacker::grow(1 << 20, || stacker::grow(64 << 10, || recurse(3)));
            seen.check_whole_or_cut("twice grown stack", 6);
        })
        .join()
        .unwrap();
    }
}

/// A stack made by hand with `makecontext`: the walk ends where the stack does.
#[test]
fn on_a_context_of_libc() {
    let _turn = my_turn();
    sample_all();
    static SEEN: std::sync::Mutex<Option<Seen>> = std::sync::Mutex::new(None);
    extern "C" fn run() {
        *SEEN.lock().unwrap() = Some(recurse(5));
    }
    let mut stack = vec![0_u8; 256 << 10];
    // SAFETY: the stack is this function's alone.
    unsafe { run_in_context(stack.as_mut_ptr(), stack.len(), run) };
    let seen = SEEN.lock().unwrap().take().unwrap();
    seen.check_start("makecontext", 6);
}

/// A small stack as a library of coroutines makes it: below it a guard page, and below that a
/// neighbour, which could be read.
struct SmallStack {
    start: *mut u8,
    size: usize,
}

impl SmallStack {
    const GUARD: usize = 4096;
    const NEIGHBOUR: usize = 64 << 10;

    fn new(size: usize) -> SmallStack {
        let all = SmallStack::NEIGHBOUR + SmallStack::GUARD + size;
        // SAFETY: a new mapping, of which one page is made a guard.
        unsafe {
            let (access, flags) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            );
            let map = libc::mmap(std::ptr::null_mut(), all, access, flags, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let guard = map.cast::<u8>().add(SmallStack::NEIGHBOUR);
            assert_eq!(libc::mprotect(guard.cast(), SmallStack::GUARD, 0), 0);
            SmallStack {
                start: guard.add(SmallStack::GUARD),
                size,
            }
        }
    }

    fn run(&self, function: extern "C" fn()) {
        // SAFETY: the mapping is this stack's alone.
        unsafe { run_in_context(self.start, self.size, function) };
    }
}

impl Drop for SmallStack {
    fn drop(&mut self) {
        let below = SmallStack::NEIGHBOUR + SmallStack::GUARD;
        // SAFETY: the whole mapping of `new`, on which nobody runs.
        let failed = unsafe { libc::munmap(self.start.sub(below).cast(), below + self.size) };
        assert_eq!(failed, 0);
    }
}

/// A coroutine's stack has little room, and nobody can tell how much: the walk does without, and the
/// stack is whole.
#[test]
fn on_a_small_stack_with_a_guard_page() {
    extern "C" fn just_allocate_once() {
        Block::alloc(layout(100)).unwrap().free();
    }
    let _turn = my_turn();
    sample_all();
    just_allocate_once();
    let path = build_library("another_plugin", 100);
    let mut whole = Vec::new();
    for size in (8 << 10..=64 << 10_usize).step_by(1024) {
        let before = now_through(just_allocate_once as *const ()).allocated_objects;
        // With another list of libraries no rule is known, and the walk needs most.
        let library = Library::open(&path);
        let _ = heapwatch::snapshot().unwrap();
        SmallStack::new(size).run(just_allocate_once);
        library.close();
        let after = now_through(just_allocate_once as *const ()).allocated_objects;
        whole.push(after > before);
    }
    assert!(whole.iter().all(|whole| *whole), "{whole:?}");
}

extern "C" fn plugin_thread(handle: *mut c_void) -> *mut c_void {
    // SAFETY: as in `Library::call`.
    unsafe {
        let function = libc::dlsym(handle, c"small_plugin".as_ptr());
        let function: extern "C" fn(extern "C" fn()) -> c_int = std::mem::transmute(function);
        black_box(function(just_allocate));
    }
    std::ptr::null_mut()
}

extern "C" fn just_allocate() {
    for size in [100, 1000] {
        Block::alloc(layout(size)).unwrap().free();
    }
}

/// Taking over a newly loaded library happens inside of malloc, also on a small stack.
#[test]
fn discovered_on_a_small_stack() {
    let _turn = my_turn();
    sample_all();
    let path = build_library("small_plugin", 100);
    for size in (20 << 10..64 << 10).step_by(4096) {
        let library = Library::open(&path);
        // SAFETY: the thread gets the library that it expects, which is closed after its end.
        unsafe { run_on_thread(size, plugin_thread, library.0) };
        library.close();
        // Unloaded, so that the next thread meets it anew.
        let _ = heapwatch::snapshot().unwrap();
    }
}
