//! Every right-hand side is what a reader must see; every left-hand side was produced by rustc
//! 1.95 unless it says otherwise.

use super::super::names::{arguments, closure_path, merge, split_last, tidy};

#[test]
fn mangled_and_spelled_out_names_are_tidied() {
    let table = [
        // Legacy mangling.
        (
            "_ZN4chat7Session3new17h79ba59723bdb54abE",
            "chat::Session::new",
        ),
        (
            "_ZN45_$LT$chat..Session$u20$as$u20$chat..Greet$GT$5greet17h79ba59723bdb54abE",
            "<chat::Session as chat::Greet>::greet",
        ),
        (
            "_ZN4chat4main28_$u7b$$u7b$closure$u7d$$u7d$17h5a9c21a7bc8272baE",
            "chat::main::{closure}",
        ),
        (
            "_ZN4chat4main28_$u7b$$u7b$closure$u7d$$u7d$17he063850129feaf65E.llvm.2875254335464648896",
            "chat::main::{closure}",
        ),
        (
            "_ZN4chat5store14Store$LT$T$GT$3put17h7b6f0e3b06b6a062E",
            "chat::store::Store<T>::put",
        ),
        // v0 mangling: everything is spelled out, and that is kept.
        (
            "_RINvCsj1K8gG8XVK1_4chat2onINtNtCslNYArtu3iFV_5alloc3vec3VecNtB2_7SessionENCNCNvNtB2_6client7in_task00EB2_",
            "chat::on<alloc::vec::Vec<chat::Session>, chat::client::in_task::{closure#0}::{closure#0}>",
        ),
        (
            "_RINvMNtNtCs17MhMrX7zlA_5tokio7runtime7runtimeNtB3_7Runtime8block_onNCNvCsj1K8gG8XVK1_4chat4mainsm_0EB17_",
            "tokio::runtime::runtime::Runtime::block_on<chat::main::{closure#24}>",
        ),
        // Demangled elsewhere: profiles of other tools.
        (
            "chat::Session::new::h0123456789abcdef",
            "chat::Session::new",
        ),
        ("<chat::Store<T>>::put", "chat::Store<T>::put"),
        ("<[u8]>::to_vec::<u8>", "<[u8]>::to_vec<u8>"),
        ("_<chat::A as chat::B>::f", "<chat::A as chat::B>::f"),
        ("__rustc::__rust_alloc", "__rust_alloc"),
        // Exported under any name there is.
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        (
            "chat\n0 B\u{1b}[2J\u{202e}f",
            r"chat\n0 B\u{1b}[2J\u{202e}f",
        ),
        // `DW_AT_name`.
        (
            "push<chat::Session, alloc::alloc::Global>",
            "push<chat::Session>",
        ),
        (
            "insert<u64, chat::Session, std::hash::random::RandomState, alloc::alloc::Global>",
            "insert<u64, chat::Session>",
        ),
        (
            "<alloc::alloc::Global>::alloc_impl",
            "alloc::alloc::Global::alloc_impl",
        ),
        (
            "alloc::slice::<impl [T]>::to_vec",
            "alloc::slice::<impl [T]>::to_vec",
        ),
        // Not Rust.
        ("malloc", "malloc"),
        ("_ZNSt6vectorIiE4pushEv", "_ZNSt6vectorIiE4pushEv"),
    ];
    for (raw, readable) in table {
        assert_eq!(tidy(raw), readable, "{raw}");
    }
}

#[test]
fn a_path_and_its_arguments_are_joined() {
    let legacy = |path: &str| Some(path.to_string());
    let table = [
        // Legacy symbol and `DW_AT_name`.
        (
            "_ZN4chat5store14Store$LT$T$GT$3put17h7b6f0e3b06b6a062E",
            "put<chat::Session>",
            "chat::store::Store::put<chat::Session>",
        ),
        (
            "hashbrown::raw::RawTable<T,A>::reserve_rehash",
            "reserve_rehash<(u64, chat::Session), alloc::alloc::Global, chat::f::{closure_env#0}>",
            "hashbrown::raw::RawTable::reserve_rehash<(u64, chat::Session), chat::f::{closure_env#0}>",
        ),
        (
            "<alloc::vec::Vec<T,A> as core::clone::Clone>::clone",
            "clone<chat::Session, alloc::alloc::Global>",
            "<alloc::vec::Vec as core::clone::Clone>::clone<chat::Session>",
        ),
        // The number of a closure is in DWARF alone.
        (
            "chat::main::{{closure}}",
            "{closure#13}",
            "chat::main::{closure#13}",
        ),
        (
            "chat::run::{{closure}}",
            "{async_fn#0}",
            "chat::run::{async_fn#0}",
        ),
        // Nothing to add: instantiated arguments in the path stay.
        (
            "core::ptr::drop_in_place<chat::Session>",
            "drop_in_place<chat::Session>",
            "core::ptr::drop_in_place<chat::Session>",
        ),
        // A v0 symbol does not tell a future from a closure.
        (
            "_RNvMs0_NtNtNtCscSiqHRrfeW3_5tokio7runtime4task4coreINtB5_4CellNCNvCsa0REJMx7kNk_4chat5serve0INtNtCslNYArtu3iFV_5alloc4sync3ArcNtNtNtB9_9scheduler14current_thread6HandleEE3newB12_",
            "new<chat::serve::{async_fn_env#0}, alloc::sync::Arc<tokio::runtime::scheduler::current_thread::Handle, alloc::alloc::Global>>",
            "tokio::runtime::task::core::Cell<chat::serve::{async_fn_env#0}, alloc::sync::Arc<tokio::runtime::scheduler::current_thread::Handle>>::new",
        ),
        // Names of different functions are not mixed; the symbol is the linker's word.
        ("chat::a", "b<u8>", "chat::a"),
        ("main", "main", "main"),
    ];
    for (symbol, dwarf, readable) in table {
        assert_eq!(
            merge(Some(symbol), Some(dwarf)),
            legacy(readable),
            "{symbol} + {dwarf}"
        );
    }
    assert_eq!(merge(None, Some("put<u8>")), legacy("put<u8>"));
    assert_eq!(merge(None, None), None);
}

#[test]
fn an_inlined_closure_takes_its_path_from_the_caller_that_is_generic_over_it() {
    let caller = "chat::on<alloc::vec::Vec<chat::Session>, chat::main::{closure_env#3}>";
    let path = closure_path("{closure#3}", "chat", caller);
    assert_eq!(path.as_deref(), Some("chat::main::{closure#3}"));
    let nested = "core::f<chat::client::in_task::{async_fn#0}::{closure_env#1}>";
    let path = closure_path("{closure#1}<i32>", "chat::client", nested);
    assert_eq!(
        path.as_deref(),
        Some("chat::client::in_task::{async_fn#0}::{closure#1}<i32>")
    );
    // A caller with a v0 symbol.
    let v0 = "<chat::a::{closure#0}::{closure#2} as core::ops::FnOnce<()>>::call_once";
    assert_eq!(
        closure_path("{async_block#2}", "chat", v0).as_deref(),
        Some("chat::a::{closure#0}::{async_block#2}")
    );
    assert_eq!(closure_path("{closure#0}", "chat", v0), None);
    assert_eq!(
        closure_path("{closure#0}", "chat", "chat::a::{closure#0}"),
        None,
        "one closure in another, and not the other"
    );
    // Another number, another module, or two candidates: not known.
    assert_eq!(closure_path("{closure#4}", "chat", caller), None);
    assert_eq!(closure_path("{closure#3}", "core::iter", caller), None);
    let two = "chat::on<chat::a::{closure_env#3}, chat::b::{closure_env#3}>";
    assert_eq!(closure_path("{closure#3}", "chat", two), None);
}

#[test]
fn paths_are_split_outside_brackets_only() {
    assert_eq!(
        split_last("<a::B<c::D> as e::F>::g<h::I>"),
        ("<a::B<c::D> as e::F>", "g<h::I>")
    );
    let list: Vec<&str> = arguments("f<(u8, a::B), fn(u8, u8) -> c::D, [e; 3]>").collect();
    assert_eq!(list, ["(u8, a::B)", "fn(u8, u8) -> c::D", "[e; 3]"]);
    // Unbalanced text, which a cut name is, must not panic.
    for text in [
        "<", ">", "a::<", "a<b", "a>b::c", "{", "-> >", "::", "<a as",
    ] {
        let _ = (tidy(text), split_last(text), arguments(text).count());
    }
}

/// Futures nest without end; their names must not.
#[test]
fn long_names_are_cut_at_a_character() {
    let long = tidy(&format!("chat::f<{}>", "é".repeat(10_000)));
    assert!(long.len() <= 4096 + '…'.len_utf8(), "{}", long.len());
    assert!(long.ends_with('…'));
}
