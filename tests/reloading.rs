//! Plugins that come and go, for as long as a service runs. Each test has a process of its own: the
//! list of loaded libraries is the process's.

mod common;

use std::ffi::{CString, c_int, c_void};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::child::{command, is_child, run};
use common::{Block, Counts, Rng, fork, layout, through};
use heapwatch::Snapshot;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Builds a library of `functions` functions with unwind tables, 32 bytes for each, of which one
/// calls back.
fn build(name: &str, functions: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |ending: &str| folder.join(format!("{name}.{ending}"));
    let (caller, others, library) = (file("c"), file("s"), file("so"));
    let code = "int call(void (*back)(void)) { volatile char x = 1; back(); return x; }\n";
    std::fs::write(&caller, code).unwrap();
    let code = format!(
        ".text\n.rept {functions}\n.cfi_startproc\n.byte 0\n.cfi_endproc\n.endr\n\
         .section .note.GNU-stack,\"\",%progbits\n"
    );
    std::fs::write(&others, code).unwrap();
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-fomit-frame-pointer", "-o"])
        .args([&library, &caller, &others])
        .status();
    assert!(status.unwrap().success(), "cc could not build {name}");
    library
}

struct Library(*mut c_void);

impl Library {
    fn open(path: &Path) -> Library {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the library has no constructors.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null());
        Library(handle)
    }

    /// Where its code is.
    fn function(&self) -> *mut c_void {
        // SAFETY: the library is open.
        let function = unsafe { libc::dlsym(self.0, c"call".as_ptr()) };
        assert!(!function.is_null());
        function
    }

    #[inline(never)]
    fn allocate(&self) {
        // SAFETY: the function has this type.
        let function: extern "C" fn(extern "C" fn()) -> c_int =
            unsafe { std::mem::transmute(self.function()) };
        assert_eq!(black_box(function(allocate_and_free)), 1);
    }

    fn close(self) {
        // SAFETY: opened by dlopen, not used again.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

extern "C" fn allocate_and_free() {
    Block::alloc(layout(1000)).unwrap().free();
}

/// What was counted for stacks that reach out of the library.
fn whole_stacks(snapshot: &Snapshot) -> Counts {
    through(snapshot, Library::allocate as *const ())
}

fn has_note(snapshot: &Snapshot, words: &str) -> bool {
    let notes = &snapshot.info().notes;
    notes.iter().any(|note| note.contains(words))
}

/// A page of address space that nothing else can have.
struct Taken(*mut c_void);

impl Taken {
    const SIZE: usize = 4096;

    /// The page around an address, if it is free.
    fn around(address: *mut c_void) -> Taken {
        let page = (address as usize & !(Taken::SIZE - 1)) as *mut c_void;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe { libc::mmap(page, Taken::SIZE, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Taken(start)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: mapped by `around`, and nobody uses it.
        assert_eq!(unsafe { libc::munmap(self.0, Taken::SIZE) }, 0);
    }
}

/// A plugin that is reloaded on each deployment costs memory once, at its old place or at another
/// one, and its stacks are whole to the last.
#[test]
fn a_plugin_is_reloaded_for_ever() {
    const CYCLES: usize = 600;
    if !is_child() {
        run(&mut command("a_plugin_is_reloaded_for_ever"));
        return;
    }
    heapwatch::set_interval(1).unwrap();
    let path = build("reloaded", 20_000);
    let (mut bytes, mut place) = (0, std::ptr::null_mut());
    for cycle in 1..=CYCLES {
        let taken = (cycle % 4 == 0).then(|| Taken::around(place));
        let library = Library::open(&path);
        drop(taken);
        let moved = place != library.function();
        assert!(moved || cycle % 4 > 0, "cycle {cycle}: its place was free");
        place = library.function();
        library.allocate();
        library.close();
        let snapshot = heapwatch::snapshot().unwrap();
        let whole = whole_stacks(&snapshot).allocated_objects;
        assert_eq!(whole, cycle as f64, "cycle {cycle}");
        if cycle == 20 {
            bytes = snapshot.info().self_bytes;
        }
        if cycle == CYCLES {
            assert_eq!(snapshot.info().notes, [""; 0]);
            let more = snapshot.info().self_bytes - bytes;
            assert!(more < 1 << 20, "{more} bytes more than after 20 cycles");
        }
    }
}

/// Plugins that come and go, each now here and now there, cost memory once for each place. If what is gone were kept
/// with what is loaded, no two moments would be alike, and each would cost memory.
#[test]
fn plugins_that_come_and_go_anywhere_cost_memory_once() {
    const PLUGINS: usize = 5;
    const PLACES: usize = 4;
    const CYCLES: usize = 600;
    if !is_child() {
        run(&mut command(
            "plugins_that_come_and_go_anywhere_cost_memory_once",
        ));
        return;
    }
    heapwatch::set_interval(1).unwrap();
    let original = build("alternating", 10);
    let paths: [PathBuf; PLUGINS] = std::array::from_fn(|number| {
        let path = original.with_extension(format!("{number}.so"));
        std::fs::copy(&original, &path).unwrap();
        path
    });
    let mut rng = Rng(1);
    let (mut bytes, mut places) = (0, Vec::with_capacity(PLACES));
    for cycle in 1..=CYCLES {
        let mut taken = Vec::with_capacity(PLACES);
        taken.extend(
            places
                .iter()
                .filter(|_| rng.below(2) == 0)
                .map(|place| Taken::around(*place)),
        );
        let library = Library::open(&paths[rng.below(PLUGINS)]);
        drop(taken);
        let place = library.function();
        if places.len() < PLACES && !places.contains(&place) {
            places.push(place);
        }
        library.allocate();
        library.close();
        let snapshot = heapwatch::snapshot().unwrap();
        assert_eq!(whole_stacks(&snapshot).allocated_objects, cycle as f64);
        if cycle == CYCLES / 2 {
            assert_eq!(places.len(), PLACES);
            bytes = snapshot.info().self_bytes;
        }
    }
    let more = heapwatch::snapshot().unwrap().info().self_bytes - bytes;
    assert!(more < 128 << 10, "{more} bytes more");
}

/// Tables that are not copied cut stacks, and the reports say so.
#[test]
fn too_large_unwind_tables_are_noted() {
    if !is_child() {
        run(&mut command("too_large_unwind_tables_are_noted"));
        return;
    }
    const NOTE: &str = "no room to copy the unwind tables";
    heapwatch::set_interval(1).unwrap();
    let small = build("small", 10);
    let library = Library::open(&small);
    library.allocate();
    library.close();
    let snapshot = heapwatch::snapshot().unwrap();
    assert!(!has_note(&snapshot, NOTE));
    assert_eq!(whole_stacks(&snapshot).allocated_objects, 1.0);

    let library = Library::open(&build("large", 700_000));
    library.allocate();
    let snapshot = heapwatch::snapshot().unwrap();
    assert!(has_note(&snapshot, NOTE), "{:?}", snapshot.info().notes);
    assert_eq!(whole_stacks(&snapshot).allocated_objects, 1.0);
    library.close();
}

/// Copies of a library, each a file of its own, or the loader would take them for the same. Opened one by one.
fn many(name: &str) -> impl Iterator<Item = Library> {
    let library = build(name, 10);
    (0..1000).map(move |number| {
        let copy = library.with_extension(format!("{number}.so"));
        std::fs::copy(&library, &copy).unwrap();
        let open = Library::open(&copy);
        std::fs::remove_file(&copy).unwrap();
        open
    })
}

/// Each new library makes a list of them all. If those that were replaced stayed, a program with many libraries
/// would pay with the square of their number, and one in which they come and go would pay for good.
#[test]
fn lists_that_were_replaced_are_given_back() {
    const LIBRARIES: usize = 500;
    if !is_child() {
        run(&mut command("lists_that_were_replaced_are_given_back"));
        return;
    }
    heapwatch::set_interval(1).unwrap();
    let mut open = Vec::with_capacity(LIBRARIES);
    let before = heapwatch::snapshot().unwrap().info().self_bytes;
    for library in many("one_of_several").take(LIBRARIES) {
        library.allocate();
        open.push(library);
    }
    let snapshot = heapwatch::snapshot().unwrap();
    assert_eq!(whole_stacks(&snapshot).allocated_objects, LIBRARIES as f64);
    let more = snapshot.info().self_bytes - before;
    // A list of all of them takes 70 KiB, and all lists 17 MiB.
    assert!(more < 4 << 20, "{more} bytes more");
}

/// In a forked child, which frees nothing of its parent's, ever new libraries at last take all the room that
/// lists of them may have: then the list stays as it is, and the reports say so.
#[test]
fn a_list_that_is_no_longer_kept_is_noted() {
    if !is_child() {
        run(&mut command("a_list_that_is_no_longer_kept_is_noted"));
        return;
    }
    in_forked_child(|| {
        const NOTE: &str = "the list of them is no longer kept up to date";
        heapwatch::set_interval(1).unwrap();
        let mut open = Vec::new();
        let noted = many("one_of_many").find_map(|library| {
            library.allocate();
            open.push(library);
            let snapshot = heapwatch::snapshot().unwrap();
            has_note(&snapshot, NOTE).then_some(snapshot)
        });
        let bytes = noted.expect("it is noted").info().self_bytes;
        assert!(open.len() > 100, "only {} libraries", open.len());
        assert!((16 << 20..20 << 20).contains(&bytes), "{bytes}");
        // Everything goes on.
        for library in open {
            library.allocate();
            library.close();
        }
        assert!(has_note(&heapwatch::snapshot().unwrap(), NOTE));
    });
}

/// Runs this in a child of this process, where it must not panic.
fn in_forked_child(work: impl FnOnce()) {
    let status = fork::in_child(|| {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        if done.is_ok() { 0 } else { 101 }
    });
    assert_eq!(status, 0, "the child failed");
}
