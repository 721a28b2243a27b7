use super::*;
use crate::snapshot::Origin;
use crate::snapshot::testing::{self, Builder, frame, own, sample};

fn functions(top: &Top<'_>) -> Vec<String> {
    let rows = top.rows().into_iter();
    rows.map(|row| row.function.unwrap_or(row.krate)).collect()
}

/// Reports are compared line by line: the numbers of a table must add up to its total, at any
/// grouping, order and length, and to the snapshot's within one byte.
#[test]
fn rows_and_the_rest_add_up_to_the_total() {
    let snapshot = sample();
    for by in [By::Site, By::Function, By::Crate, By::Type, By::Task] {
        for sort in [Sort::Live, Sort::Growth, Sort::Allocated] {
            for limit in 0..10 {
                let top = snapshot.top(by).sort(sort).limit(limit);
                let of = |field: fn(&Amounts) -> f64| {
                    let rows: f64 = top.rows().iter().map(|row| field(&row.amounts)).sum();
                    assert_eq!(rows + field(&top.other()), field(&top.total()));
                    assert_eq!(field(&top.total()).fract(), 0.0);
                    field(&top.total())
                };
                let live = of(|a| a.live_bytes.estimate);
                assert!((live - snapshot.live().bytes).abs() <= 1.0);
                let allocated = of(|a| a.allocated_bytes.estimate);
                assert!((allocated - snapshot.allocated().bytes).abs() <= 2.0);
                let freed = of(|a| a.freed_objects.estimate);
                assert!((freed - snapshot.freed().objects).abs() <= 1.0);
                of(|a| a.live_objects.estimate);
                of(|a| a.allocated_objects.estimate);
                of(|a| a.freed_bytes.estimate);
                assert_eq!(of(|a| a.samples as f64), 107.0);
                assert_eq!(of(|a| a.sites as f64), 8.0);
                assert!(top.rows().len() <= limit);
                let shown_and_hidden = top.rows().len() + top.hidden();
                let all = top.limit(99);
                assert_eq!(shown_and_hidden, all.rows().len() + all.hidden());
            }
        }
    }
}

/// A site's bytes belong to the code that asked for them, not to the collection or the allocator.
#[test]
fn sites_show_call_site_and_own_frame() {
    let snapshot = sample();
    let top = snapshot.top(By::Site);
    let rows = top.rows();
    let reserve = &rows[1];
    assert_eq!(reserve.id, Some(0x2222));
    assert_eq!(
        reserve.function.as_deref(),
        Some("bytes::BytesMut::reserve")
    );
    assert_eq!(reserve.location.as_deref(), Some("src/bytes_mut.rs:600"));
    assert_eq!(
        (&*reserve.krate, reserve.version),
        ("bytes", Some("1.10.1"))
    );
    assert_eq!(reserve.own_function, Some("chat::decode"));
    assert_eq!(reserve.own_location.as_deref(), Some("src/chat.rs:88"));
    assert!(reserve.truncated);
    assert_eq!(&*reserve.frames[0].function, "alloc::raw_vec::finish_grow");
    assert_eq!(reserve.frames.len(), 4);

    let register = &rows[0];
    assert_eq!(register.function.as_deref(), Some("chat::register"));
    assert_eq!(register.own_function, None);
    assert_eq!(
        functions(&top),
        [
            "chat::register",
            "bytes::BytesMut::reserve",
            "libsqlite3.so.0+0x1005",
            "bytes::BytesMut::reserve",
            "[sites beyond the table]",
            "std::thread::current::init",
            "[stack not captured]",
        ]
    );
}

/// Two callers of one dependency are one row by function, which then names no single own frame.
#[test]
fn functions_and_crates_join_sites() {
    let snapshot = sample();
    let rows = snapshot.top(By::Function).rows();
    let reserve = rows.iter().find(|row| row.krate == "bytes").unwrap();
    assert_eq!(reserve.amounts.sites, 2);
    assert_eq!((reserve.id, reserve.own_function), (None, None));

    let rows = snapshot.top(By::Crate).rows();
    let names: Vec<(&str, Option<&str>)> =
        rows.iter().map(|row| (&*row.krate, row.version)).collect();
    assert!(names.contains(&("bytes", Some("1.10.1"))), "{names:?}");
    assert!(names.contains(&("chat", None)), "{names:?}");
    assert!(names.contains(&("std", None)), "{names:?}");
    assert!(names.contains(&("libsqlite3.so.0", None)), "{names:?}");
    assert!(rows.iter().all(|row| row.function.is_none()));
}

/// Sorting by what was allocated puts churn on top that holds nothing, and that is no row of a
/// table of who does.
#[test]
fn order_follows_the_sort_and_ties_the_id() {
    let snapshot = sample();
    let churn = |sort| {
        let top = snapshot.top(By::Site).sort(sort);
        top.rows().iter().position(|row| row.id == Some(0x4444))
    };
    assert_eq!(churn(Sort::Live), None);
    assert_eq!(churn(Sort::Allocated), Some(2));

    let mut builder = Builder::new();
    let at = builder.location(1, &[frame("f", "f.rs", 1, own("a"))]);
    for id in [9, 3, 7, 1] {
        builder.site(id, &[at], &[100.0], 0);
    }
    let ids: Vec<_> = builder
        .build()
        .top(By::Site)
        .rows()
        .iter()
        .map(|row| row.id)
        .collect();
    assert_eq!(ids, [Some(1), Some(3), Some(7), Some(9)]);
}

/// At interval 1 nothing is estimated, so nothing may be blurred.
#[test]
fn interval_one_gives_exact_numbers() {
    let mut builder = Builder::new().info(|info| {
        info.interval_bytes = 1;
        info.largest_interval_bytes = 1;
    });
    let at = builder.location(1, &[frame("f", "f.rs", 1, own("a"))]);
    builder.site(1, &[at], &[100.0, 20.0, 3.0], 1);
    let snapshot = builder.build();
    let amounts = snapshot.top(By::Site).rows()[0].amounts;
    assert_eq!(amounts.live_bytes, Estimate::exact(23.0));
    assert_eq!(amounts.live_objects, Estimate::exact(2.0));
    assert_eq!(amounts.allocated_bytes, Estimate::exact(123.0));
    assert_eq!(amounts.freed_objects, Estimate::exact(1.0));
    assert_eq!((amounts.live_share, amounts.allocated_share), (1.0, 1.0));
}

/// A program without any names is still told where its bytes are.
#[test]
fn stacks_without_names_show_module_and_offset() {
    let mut builder = Builder::new();
    let inside = builder.location(0x5000_0abc, &[]);
    let outside = builder.location(0x10, &[]);
    builder.site(1, &[inside], &[testing::INTERVAL as f64], 0);
    builder.site(2, &[outside], &[100.0], 0);
    let snapshot = builder.build();
    assert_eq!(functions(&snapshot.top(By::Site)), ["chat+0xabc", "0x10"]);
}

/// An empty snapshot is a table without rows, not a division by zero.
#[test]
fn nothing_counted_is_an_empty_table() {
    let snapshot = Builder::new().build();
    let top = snapshot.top(By::Function);
    assert!(top.rows().is_empty());
    assert_eq!(top.total().live_share, 0.0);
    assert_eq!(top.total().live_bytes.estimate, 0.0);
}

/// Two stacks that fill one map, one task in two places, and bytes that are neither.
fn typed() -> Snapshot {
    let mut b = Builder::new();
    let tokio = || testing::dependency("tokio", "1.54.1");
    let rehash = "hashbrown::raw::RawTable<(u64, chat::Session)>::reserve_rehash";
    let map = b.location(1, &[frame(rehash, "raw.rs", 1, Origin::Std)]);
    let cell = "tokio::runtime::task::core::Cell<chat::client::{async_fn_env#0}, S>::new";
    let cell = b.location(2, &[frame(cell, "core.rs", 1, tokio())]);
    let mut at = |address, name: &str| b.location(address, &[frame(name, "a.rs", 1, own("chat"))]);
    let [join, resume, accept, read] = [
        (3, "chat::join"),
        (4, "chat::resume"),
        (5, "chat::accept"),
        (6, "chat::read"),
    ]
    .map(|(address, name)| at(address, name));
    b.site(1, &[map, join], &[3e6], 0);
    b.site(2, &[map, resume], &[4e6], 0);
    b.site(3, &[cell, accept], &[2e6; 2], 0);
    b.site(4, &[cell, resume], &[1e6], 0);
    b.site(5, &[read], &[9e6], 0);
    b.build()
}

/// By type, all stacks of a map are one row; what has no type is one row that says so. By task, what
/// is no task must not look like one.
#[test]
fn types_and_tasks_are_rows() {
    let snapshot = typed();
    let rows = snapshot.top(By::Type).rows();
    let types: Vec<_> = rows
        .iter()
        .map(|row| row.allocated_type.as_deref())
        .collect();
    assert!(
        types.contains(&Some("HashMap<u64, chat::Session>")),
        "{types:?}"
    );
    assert!(types.contains(&None), "{types:?}");
    let map = rows
        .iter()
        .find(|row| row.allocated_type.is_some())
        .unwrap();
    assert_eq!(map.amounts.sites, 2);
    // Of the stack that holds more.
    assert_eq!(map.function.as_deref(), Some("chat::resume"));

    let tasks = snapshot.top(By::Task);
    assert_eq!(tasks.rows().len(), 1);
    assert_eq!(tasks.rows()[0].task.as_deref(), Some("chat::client"));
    assert_eq!(tasks.rows()[0].amounts.samples, 3);
    assert_eq!((tasks.hidden(), tasks.other().sites), (1, 3));
    let text = tasks.to_string();
    assert!(text.contains("chat::client"), "{text}");
    assert!(text.contains("all that is no task among them"), "{text}");

    let empty = Builder::new().build();
    let diff = empty.diff(&snapshot).by(By::Task);
    let changed: Vec<_> = diff.rows().iter().map(|row| row.task.as_deref()).collect();
    assert_eq!(changed.len(), 2);
    assert!(changed.contains(&Some("chat::client")) && changed.contains(&None));
    assert!(diff.to_string().contains("[no task]"), "{diff}");
}

/// The leak grows by its rate; what churns does not grow; nothing is told of what nobody watched.
#[test]
fn growth_orders_by_rate_and_only_where_it_is_known() {
    let snapshot = crate::analyze::watched_sample();
    let top = snapshot.top(By::Site).sort(Sort::Growth);
    let rows = top.rows();
    assert_eq!(rows[0].function.as_deref(), Some("chat::register"));
    let rate = rows[0].growth_bytes_per_second.unwrap();
    let expected = testing::INTERVAL as f64 / 30.0;
    assert!(rate.low < expected && expected < rate.high, "{rate:?}");
    assert!(
        rows[1..]
            .iter()
            .all(|row| row.growth_bytes_per_second.unwrap().estimate < rate.estimate)
    );
    let text = top.to_string();
    assert!(
        text.contains("fastest growth first") && text.contains("a minute"),
        "{text}"
    );
    // A row has its rate whatever the order.
    assert_eq!(
        snapshot.top(By::Site).rows()[0].growth_bytes_per_second,
        Some(rate)
    );

    let unwatched = sample();
    let top = unwatched.top(By::Site).sort(Sort::Growth);
    assert!(top.rows().is_empty());
    assert!(top.to_string().contains("growth is not known"), "{top}");
}
