//! A plugin with a heapwatch of its own, in a program that loads and unloads it: either it may not
//! watch itself, or that does no harm.

mod common;

use std::ffi::{CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use common::{build, child, fork};

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

const PATH: &str = "PLUGIN";
const TICK: Duration = Duration::from_millis(20);

struct Plugin(*mut c_void);

impl Plugin {
    fn open(path: &str) -> Plugin {
        let path = CString::new(path).unwrap();
        // SAFETY: the plugin has no constructors that do harm.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        // SAFETY: there is a message after a failure.
        assert!(!handle.is_null(), "{:?}", unsafe {
            std::ffi::CStr::from_ptr(libc::dlerror())
        });
        Plugin(handle)
    }

    fn address(&self, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        // SAFETY: the plugin is open.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!address.is_null(), "no {name:?} in the plugin");
        address
    }

    fn begin(&self) -> c_int {
        // SAFETY: the function has this type.
        let begin: extern "C" fn() -> c_int = unsafe { std::mem::transmute(self.address("begin")) };
        begin()
    }

    fn work(&self) -> usize {
        // SAFETY: the function has this type.
        let work: extern "C" fn() -> usize = unsafe { std::mem::transmute(self.address("work")) };
        work()
    }

    fn close(self) {
        // SAFETY: opened by dlopen, not used again.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

fn build_plugin() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin/plugin.rs");
    let plugin = Path::new(env!("CARGO_TARGET_TMPDIR")).join("watching_plugin.so");
    let (heapwatch, libraries) = build::library();
    let status = build::rustc()
        .args(["--crate-type=cdylib", "-Copt-level=1"])
        .arg(&source)
        .arg("-o")
        .arg(&plugin)
        .arg(format!("--extern=heapwatch={}", heapwatch.display()))
        .arg(format!("-Ldependency={}", libraries.display()))
        .status();
    assert!(status.expect("a compiler").success());
    plugin
}

/// The thread of the plugin's `watch` would run on in code that is no longer there.
#[test]
fn a_plugin_that_watches_itself_can_be_unloaded() {
    let test = "a_plugin_that_watches_itself_can_be_unloaded";
    if !child::is_child() {
        let mut command = child::command(test);
        command
            .env(PATH, build_plugin())
            // jemalloc, if it is in the plugin, has thread-local memory that is set aside at start.
            .env("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=65536")
            .env("HEAPWATCH_INTERVAL", "1")
            .env("HEAPWATCH_TICK", TICK.as_secs_f64().to_string());
        println!("{}", child::run(&mut command));
        return;
    }
    heapwatch::watch().unwrap();
    let (done, is_done) = std::sync::mpsc::channel();
    // On a thread that does not end: jemalloc, which is in the plugin though it is not used there,
    // leaves a destructor of its own behind in it, as it does without heapwatch.
    thread::spawn(move || {
        load_and_unload();
        done.send(()).unwrap();
        loop {
            thread::park();
        }
    });
    is_done.recv().expect("the plugin was loaded and unloaded");
}

fn load_and_unload() {
    let path = std::env::var(PATH).unwrap();
    for watches_itself in [false, true] {
        for _ in 0..5 {
            let plugin = Plugin::open(&path);
            if watches_itself {
                println!("refused: {}", plugin.begin());
            }
            assert_eq!(plugin.work(), 999 * 1000 / 2 * 100);
            thread::sleep(TICK * 3);
            plugin.close();
            thread::sleep(TICK * 5);
            // What the plugin has left behind for forks, too.
            assert_eq!(fork::in_child(|| 0), 0);
            assert!(heapwatch::snapshot().unwrap().live().bytes > 0.0);
        }
    }
}
