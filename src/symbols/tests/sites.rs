use super::super::origin::{Packages, origin};
use super::super::{allocated_type, call_site, own_frame, spawned_task};
use crate::snapshot::{Frame, Origin};

fn frame(origin: Origin, function: &str) -> Frame {
    Frame {
        function: function.into(),
        file: None,
        line: None,
        origin,
        inlined: false,
    }
}

fn std(function: &str) -> Frame {
    frame(Origin::Std, function)
}

fn allocator(function: &str) -> Frame {
    frame(Origin::Allocator, function)
}

fn foreign(function: &str) -> Frame {
    frame(Origin::Foreign, function)
}

fn own(function: &str) -> Frame {
    let krate = "chat".into();
    frame(Origin::Own { krate }, function)
}

fn tokio(function: &str) -> Frame {
    let (name, version) = ("tokio".into(), "1.54.1".into());
    frame(Origin::Dependency { name, version }, function)
}

/// Without line tables a name is all there is.
#[test]
fn names_alone_tell_the_origin_as_far_as_they_can() {
    let mut packages = Packages::default();
    packages.read(b"..\0/root/.cargo/registry/src/index-1/tokio-1.54.1/src/runtime/mod.rs\0/x/registry/src/i/rand-0.8.5/src/lib.rs/x/registry/src/i/rand-0.9.2/src/lib.rs/registry/src/");
    let of = |function: &str| origin(function, None, || &packages);
    let krate = |krate: &str| Origin::Own {
        krate: krate.into(),
    };
    let package = |name: &str, version: &str| Origin::Dependency {
        name: name.into(),
        version: version.into(),
    };
    let table = [
        ("chat::Session::new", krate("chat")),
        (
            "<chat::Session as core::ops::drop::Drop>::drop",
            krate("chat"),
        ),
        (
            "<&mut chat::Session as core::fmt::Debug>::fmt",
            krate("chat"),
        ),
        ("<T as chat::Greet>::greet", krate("chat")),
        ("<(A,B) as chat::Greet>::greet", krate("chat")),
        ("<dyn chat::Greet as chat::Other>::f", krate("chat")),
        (
            "<alloc::vec::Vec<T> as core::clone::Clone>::clone",
            Origin::Std,
        ),
        ("<[T]>::to_vec", Origin::Std),
        ("hashbrown::raw::RawTable<T,A>::reserve_rehash", Origin::Std),
        ("std::thread::spawn", Origin::Std),
        (
            "tokio::runtime::task::core::Cell<T,S>::new",
            package("tokio", "1.54.1"),
        ),
        // Two versions in one binary: which one is not known.
        ("rand::random", package("rand", "")),
        ("heapwatch::alloc::Alloc<A>::alloc_slow", Origin::Allocator),
        (
            "<heapwatch::alloc::Alloc as core::alloc::global::GlobalAlloc>::alloc",
            Origin::Allocator,
        ),
        ("heapwatch::record::sites::find", Origin::Allocator),
        (
            "<chat::Counting as core::alloc::global::GlobalAlloc>::realloc",
            Origin::Allocator,
        ),
        ("heapwatch::http::serve", krate("heapwatch")),
        ("__rust_alloc_zeroed", Origin::Allocator),
        ("__rg_oom", Origin::Allocator),
        ("__rdl_alloc", Origin::Allocator),
        ("malloc", Origin::Foreign),
        ("_Unwind_Backtrace", Origin::Std),
        ("chat+0x1234", Origin::Foreign),
        ("0x7f0011223344", Origin::Foreign),
        ("_ZNSt6vectorIiE4pushEv", Origin::Foreign),
    ];
    for (function, expected) in table {
        assert_eq!(of(function), expected, "{function}");
    }
}

#[test]
fn the_call_site_is_the_innermost_frame_with_a_reason_of_its_own() {
    type Row = (&'static str, Vec<Frame>, Option<usize>, Option<usize>);
    let table: [Row; 9] = [
        (
            "own code behind std",
            vec![
                allocator("__rust_alloc"),
                std("alloc::vec::push<u8>"),
                own("chat::f"),
                own("chat::main"),
            ],
            Some(2),
            Some(2),
        ),
        (
            "a dependency, and own code under it",
            vec![
                std("alloc::boxed::new<u8>"),
                tokio("tokio::spawn"),
                std("core::f"),
                own("chat::f"),
            ],
            Some(1),
            Some(3),
        ),
        (
            "a C library that calls back",
            vec![own("chat::compare"), foreign("qsort"), own("chat::sort")],
            Some(0),
            Some(0),
        ),
        (
            "C code that was called",
            vec![foreign("sqlite3_step"), own("chat::query")],
            Some(0),
            Some(1),
        ),
        (
            "stripped",
            vec![foreign("chat+0x10"), foreign("chat+0x20")],
            Some(0),
            None,
        ),
        (
            "std's own start of a thread",
            vec![
                allocator("__rust_alloc"),
                std("alloc::sync::new<u8>"),
                std("std::thread::current::init"),
                std("core::f"),
                foreign("start_thread"),
                foreign("__GI___clone3"),
            ],
            Some(2),
            None,
        ),
        (
            "start of the program",
            vec![
                std("alloc::alloc::alloc"),
                foreign("main"),
                foreign("_start"),
            ],
            Some(0),
            None,
        ),
        (
            "nothing but the runtime",
            vec![
                allocator("__rust_alloc"),
                foreign("__libc_start_main@GLIBC_2.34"),
                foreign("__GI___clone3"),
            ],
            Some(1),
            None,
        ),
        ("no stack", vec![], None, None),
    ];
    for (what, frames, site, own) in table {
        assert_eq!(call_site(&frames), site, "call site: {what}");
        assert_eq!(own_frame(&frames), own, "own frame: {what}");
    }
}

/// Stacks as rustc 1.95 and tokio 1.54 make them, allocator frames removed.
#[test]
fn the_type_behind_the_bytes_is_found() {
    let table: [(&[&str], Option<&str>); 19] = [
        // Inlined and merged names, `debug = "line-tables-only"`.
        (
            &[
                "hashbrown::raw::new_uninitialized",
                "hashbrown::raw::RawTable::reserve_rehash<(u64, chat::Session), hashbrown::map::make_hasher::{closure_env#0}<u64, chat::Session>>",
                "hashbrown::raw::reserve<(u64, chat::Session), hashbrown::map::make_hasher::{closure_env#0}<u64, chat::Session>>",
                "hashbrown::map::HashMap::insert<u64, chat::Session>",
                "std::collections::hash::map::insert<u64, chat::Session>",
            ],
            Some("HashMap<u64, chat::Session>"),
        ),
        (
            &[
                "hashbrown::raw::RawTable::reserve_rehash<(alloc::string::String, ()), chat::h>",
                "hashbrown::map::insert<alloc::string::String, ()>",
                "hashbrown::set::insert<alloc::string::String>",
            ],
            Some("HashSet<String>"),
        ),
        (
            &[
                "alloc::raw_vec::RawVecInner::finish_grow",
                "alloc::raw_vec::RawVec::grow_one<chat::Session>",
                "alloc::vec::push<chat::Session>",
            ],
            Some("Vec<chat::Session>"),
        ),
        // Merged with another buffer's identical code.
        (
            &[
                "alloc::raw_vec::RawVec::grow_one<core::task::wake::Waker>",
                "alloc::collections::vec_deque::VecDeque::grow<chat::Task>",
            ],
            Some("VecDeque<chat::Task>"),
        ),
        (
            &["alloc::boxed::new<chat::Session>"],
            Some("Box<chat::Session>"),
        ),
        (
            &[
                "alloc::boxed::new<alloc::sync::ArcInner<chat::Session>>",
                "alloc::sync::new<chat::Session>",
            ],
            Some("Arc<chat::Session>"),
        ),
        (
            &["alloc::boxed::new<alloc::rc::RcInner<chat::Session>>"],
            Some("Rc<chat::Session>"),
        ),
        (
            &[
                "alloc::boxed::new_uninit_in<alloc::collections::btree::node::LeafNode<u64, chat::Session>>",
                "alloc::collections::btree::node::new<u64, chat::Session>",
            ],
            Some("BTreeMap<u64, chat::Session>"),
        ),
        (
            &[
                "alloc::collections::btree::node::NodeRef::new_internal<alloc::collections::btree::node::marker::Owned, u64, alloc::collections::btree::set_val::SetValZST>",
            ],
            Some("BTreeSet<u64>"),
        ),
        (
            &[
                "alloc::slice::{impl#0}::to_vec<u8>",
                "alloc::slice::<impl [T]>::to_vec<u8>",
                "alloc::str::<impl alloc::borrow::ToOwned for str>::to_owned",
            ],
            Some("String"),
        ),
        // A temporary inside another collection's making is what it is.
        (
            &[
                "alloc::vec::with_capacity<(u64, chat::Session)>",
                "<alloc::collections::btree::map::BTreeMap as core::iter::traits::collect::FromIterator<(K,V)>>::from_iter<u64, chat::Session, chat::I>",
            ],
            Some("Vec<(u64, chat::Session)>"),
        ),
        // v0 names.
        (
            &[
                "alloc::raw_vec::RawVecInner::with_capacity_in",
                "alloc::raw_vec::RawVec<u8>::with_capacity_in",
                "alloc::vec::Vec<u8>::with_capacity",
                "alloc::string::String::with_capacity",
                "alloc::fmt::format::format_inner",
            ],
            Some("String"),
        ),
        (
            &["<alloc::vec::Vec<chat::Session> as core::clone::Clone>::clone"],
            Some("Vec<chat::Session>"),
        ),
        (&["<[u8]>::to_vec<u8>"], Some("Vec<u8>")),
        (
            &["hashbrown::raw::RawTable<(u64, chat::Session)>::reserve_rehash<chat::h>"],
            Some("HashMap<u64, chat::Session>"),
        ),
        // Legacy symbols without line tables: parameters, not types.
        (&["alloc::raw_vec::RawVec<T,A>::grow_one"], None),
        (&["hashbrown::raw::RawTable<T,A>::reserve_rehash"], None),
        // A call through a box allocates nothing by itself.
        (
            &["<alloc::boxed::Box<F> as core::ops::function::FnOnce<A>>::call_once<(), chat::F>"],
            None,
        ),
        (&[], None),
    ];
    for (functions, expected) in table {
        let mut frames: Vec<Frame> = functions.iter().map(|function| std(function)).collect();
        frames.push(own("chat::register"));
        // Outside the call site: someone else's bytes.
        frames.push(std("alloc::vec::push<chat::Wrong>"));
        assert_eq!(
            allocated_type(&frames).as_deref(),
            expected,
            "{functions:?}"
        );
    }
}

#[test]
fn the_spawned_task_is_found() {
    let table: [(&str, Option<&str>); 8] = [
        (
            "tokio::runtime::task::core::Cell::new<chat::client::run::{async_fn_env#0}, alloc::sync::Arc<tokio::S>>",
            Some("chat::client::run"),
        ),
        (
            "tokio::runtime::task::core::new<chat::client::run::{async_fn_env#0}, alloc::sync::Arc<tokio::S>>",
            Some("chat::client::run"),
        ),
        (
            "tokio::runtime::task::core::Cell::new<chat::main::{async_block_env#2}, tokio::S>",
            Some("chat::main::{async_block#2}"),
        ),
        (
            "tokio::runtime::task::core::Cell::new<chat::client::{impl#0}::serve::{async_fn_env#0}, tokio::S>",
            Some("chat::client::{impl#0}::serve"),
        ),
        (
            "tokio::runtime::task::core::Cell::new<tokio::runtime::blocking::task::BlockingTask<chat::main::{closure_env#3}>, tokio::S>",
            Some("chat::main::{closure#3}"),
        ),
        (
            "tokio::runtime::task::core::Cell::new<tracing::instrument::Instrumented<core::pin::Pin<alloc::boxed::Box<chat::run::{async_fn_env#0}>>>, tokio::S>",
            Some("chat::run"),
        ),
        (
            "tokio::runtime::task::core::Cell::new<core::pin::Pin<alloc::boxed::Box<dyn core::future::Future>>, tokio::S>",
            Some("spawned in chat::accept"),
        ),
        // Legacy symbol without line tables.
        (
            "tokio::runtime::task::core::Cell<T,S>::new",
            Some("spawned in chat::accept"),
        ),
    ];
    for (cell, expected) in table {
        let frames = [
            allocator("__rust_alloc"),
            std("alloc::boxed::new"),
            tokio(cell),
            tokio("tokio::task::spawn::spawn<chat::Wrong>"),
            own("chat::accept"),
        ];
        assert_eq!(spawned_task(&frames).as_deref(), expected, "{cell}");
    }
    // What a task allocates while it runs is not the task.
    let inside = [
        std("alloc::boxed::new<u8>"),
        own("chat::client::run::{async_fn#0}"),
        tokio(
            "tokio::runtime::task::core::Core::poll<chat::client::run::{async_fn_env#0}, tokio::S>",
        ),
    ];
    assert_eq!(spawned_task(&inside), None);
    assert_eq!(spawned_task(&[]), None);
}
