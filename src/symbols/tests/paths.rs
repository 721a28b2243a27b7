use super::super::paths::{Source, Sources, split_package};
use crate::snapshot::Origin;

fn dependency(name: &str, version: &str) -> Origin {
    Origin::Dependency {
        name: name.into(),
        version: version.into(),
    }
}

fn own(krate: &str) -> Origin {
    Origin::Own {
        krate: krate.into(),
    }
}

/// What the units of a workspace with two members, a dependency and std look like.
fn sources() -> Sources {
    let mut sources = Sources::default();
    for (unit, directory) in [
        (
            "crates/server/src/main.rs/@/server.dda1e53cdedd2d73-cgu.00",
            "/home/a/chat",
        ),
        ("crates/wire/src/lib.rs/@/wire.1-cgu.0", "/home/a/chat"),
        ("examples/load-gen.rs/@/load_gen.5-cgu.0", "/home/a/chat"),
        (
            "/home/a/.cargo/registry/src/index-1/tokio-1.54.1/src/lib.rs/@/tokio.2-cgu.0",
            "/home/a/.cargo/registry/src/index-1/tokio-1.54.1",
        ),
        (
            "/home/a/.cargo/registry/src/index-1/grpc-types-0.3.0/src/lib.rs/@/grpc_types.3-cgu.0",
            "/",
        ),
        (
            "/rustc/5980/library/std/src/lib.rs/@/std.4-cgu.0",
            "/rustc/5980",
        ),
        ("../jemalloc/src/jemalloc.c", "/home/a/build"),
    ] {
        sources.add_unit(unit, directory, Vec::new);
    }
    sources
}

/// Units of incremental builds name no crate: the functions in them do, or else the root file.
#[test]
fn crates_of_incremental_builds_are_told_by_their_functions() {
    let mut sources = Sources::default();
    let tokio = "/home/a/.cargo/registry/src/index-1/tokio-1.54.1";
    let root = format!("{tokio}/src/lib.rs/@/tokio.2-cgu.0");
    sources.add_unit(&root, tokio, Vec::new);
    for (root, crates) in [
        // Own functions beside generic ones of dependencies and std.
        (
            "src/lib.rs",
            &["core", "core", "chat", "tokio", "tokio"][..],
        ),
        ("src/lib.rs", &["chat"]),
        // Generic functions of another own crate are more, but the file tells.
        ("tests/load.rs", &["chat", "chat", "chat", "load"]),
        ("wire-format/src/main.rs", &[]),
        ("examples/tour/main.rs", &["core"]),
    ] {
        let crates = || crates.iter().map(|krate| (*krate).to_owned()).collect();
        sources.add_unit(
            &format!("{root}/@/162ehsg7luk8y27uw9low39od"),
            "/w/my-app",
            crates,
        );
    }
    sources.settle(|_| false);
    for (path, krate, module) in [
        ("src/rooms.rs", "chat", "chat::rooms"),
        ("tests/load.rs", "load", "load"),
        ("tests/load/client.rs", "load", "load::client"),
        (
            "wire-format/src/frame.rs",
            "wire_format",
            "wire_format::frame",
        ),
        ("examples/tour/main.rs", "tour", "tour"),
    ] {
        let source = sources.source(&format!("/w/my-app/{path}"));
        assert_eq!(source.origin, own(krate), "{path}");
        assert_eq!(source.module.as_deref(), Some(module), "{path}");
    }
}

/// `chat/rooms.rs` beside `chat.rs` is `chat::rooms` by a `#[path]`, or `chat::chat::rooms` where the
/// root says `mod chat`: the symbols tell which.
#[test]
fn a_folder_of_the_crate_s_name_is_a_module_if_the_crate_has_one() {
    for (has_namesake, module) in [(false, "chat::rooms"), (true, "chat::chat::rooms")] {
        let mut sources = Sources::default();
        sources.add_unit("tests/chat.rs/@/chat.1-cgu.0", "/w", Vec::new);
        sources.settle(|text| has_namesake && "_ZN4chat4chat5rooms4join17h0E".contains(text));
        let source = sources.source("/w/tests/chat/rooms.rs");
        assert_eq!(source.module.as_deref(), Some(module));
    }
}

#[test]
fn a_path_tells_whose_code_it_is() {
    let table = [
        (
            "/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/library/alloc/src/vec/mod.rs",
            Origin::Std,
            "library/alloc/src/vec/mod.rs",
            Some("alloc::vec"),
        ),
        (
            "/home/a/.rustup/toolchains/stable/lib/rustlib/src/rust/library/core/src/option.rs",
            Origin::Std,
            "library/core/src/option.rs",
            Some("core::option"),
        ),
        (
            "/rust/deps/hashbrown-0.16.1/src/raw/mod.rs",
            Origin::Std,
            "hashbrown-0.16.1/src/raw/mod.rs",
            Some("hashbrown::raw"),
        ),
        // What the user's crate depends on itself is collection code all the same.
        (
            "/home/a/.cargo/registry/src/index-1/hashbrown-0.17.1/src/map.rs",
            Origin::Std,
            "hashbrown-0.17.1/src/map.rs",
            Some("hashbrown::map"),
        ),
        (
            "/home/a/.cargo/registry/src/index-1/tokio-1.54.1/src/runtime/task/core.rs",
            dependency("tokio", "1.54.1"),
            "tokio-1.54.1/src/runtime/task/core.rs",
            Some("tokio::runtime::task::core"),
        ),
        // No unit of its own: everything in it was inlined.
        (
            "/home/a/.cargo/registry/src/index-1/pin-project-lite-0.2.16-rc.1/src/lib.rs",
            dependency("pin-project-lite", "0.2.16-rc.1"),
            "pin-project-lite-0.2.16-rc.1/src/lib.rs",
            Some("pin_project_lite"),
        ),
        (
            "/home/a/.cargo/git/checkouts/axum-3f0c8a1b2c3d4e5f/9a8b7c6/axum/src/serve.rs",
            dependency("axum", "9a8b7c6"),
            "axum-9a8b7c6/axum/src/serve.rs",
            Some("axum::serve"),
        ),
        (
            "/src/vendor/bytes-1.10.0/src/bytes.rs",
            dependency("bytes", "1.10.0"),
            "bytes-1.10.0/src/bytes.rs",
            Some("bytes::bytes"),
        ),
        (
            "/usr/src/app/vendor/bytes/src/bytes.rs",
            dependency("bytes", ""),
            "bytes/src/bytes.rs",
            Some("bytes::bytes"),
        ),
        // C code that a dependency brings.
        (
            "/home/a/.cargo/registry/src/index-1/libsqlite3-sys-0.30.1/sqlite3/sqlite3.c",
            dependency("libsqlite3-sys", "0.30.1"),
            "libsqlite3-sys-0.30.1/sqlite3/sqlite3.c",
            None,
        ),
        // Own code, from the workspace's root.
        (
            "/home/a/chat/crates/server/src/main.rs",
            own("server"),
            "crates/server/src/main.rs",
            Some("server"),
        ),
        (
            "/home/a/chat/crates/wire/src/frame/header.rs",
            own("wire"),
            "crates/wire/src/frame/header.rs",
            Some("wire::frame::header"),
        ),
        // A root's parts in a folder of its name: the crate is not named twice.
        (
            "/home/a/chat/examples/load-gen/clients/ws.rs",
            own("load_gen"),
            "examples/load-gen/clients/ws.rs",
            Some("load_gen::clients::ws"),
        ),
        (
            "/home/a/chat/examples/other/ws.rs",
            own("load_gen"),
            "examples/other/ws.rs",
            Some("load_gen::other::ws"),
        ),
        // Own code of which nothing is known but the path.
        (
            "/elsewhere/tool/src/vendor/mod.rs",
            own("tool"),
            "src/vendor/mod.rs",
            Some("tool::vendor"),
        ),
        (
            "/elsewhere/ws/crates/a-b/src/x.rs",
            own("a_b"),
            "crates/a-b/src/x.rs",
            Some("a_b::x"),
        ),
        (
            "/elsewhere/ws/examples/demo.rs",
            own(""),
            "examples/demo.rs",
            None,
        ),
        ("./src/chat.rs", own(""), "src/chat.rs", None),
        // Written by a build script, and included by the package's own crate.
        (
            "/home/a/chat/target/release/build/grpc-types-0123456789abcdef/out/api.rs",
            dependency("grpc-types", "0.3.0"),
            "/home/a/chat/target/release/build/grpc-types-0123456789abcdef/out/api.rs",
            None,
        ),
        (
            "/build/glibc-AbCdEf/malloc/malloc.c",
            Origin::Foreign,
            "/build/glibc-AbCdEf/malloc/malloc.c",
            None,
        ),
    ];
    let sources = sources();
    for (path, origin, short, module) in table {
        let expected = Source {
            origin,
            path: short.into(),
            module: module.map(String::from),
        };
        assert_eq!(sources.source(path), expected, "{path}");
    }
}

#[test]
fn package_folders_split_before_the_version() {
    assert_eq!(split_package("foo-2-1.0.0"), Some(("foo-2", "1.0.0")));
    assert_eq!(
        split_package("foo-1.0.0-beta.1"),
        Some(("foo", "1.0.0-beta.1"))
    );
    assert_eq!(split_package("foo-1.0.0+b.2"), Some(("foo", "1.0.0+b.2")));
    assert_eq!(split_package("foo-1.0"), None);
    assert_eq!(split_package("foo"), None);
}

/// Odd paths come from damaged line tables.
#[test]
fn odd_paths_are_own_or_foreign_and_do_not_panic() {
    let sources = sources();
    for path in [
        "",
        "/",
        "//",
        "a",
        ".rs",
        "/src/",
        "/rustc/",
        "/registry/src/",
        "é/-1.0.0/x.rs",
    ] {
        sources.source(path);
    }
}
