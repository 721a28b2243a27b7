use super::*;
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
    for by in [By::Site, By::Function, By::Crate] {
        for sort in [Sort::Live, Sort::Allocated] {
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
