use std::io::Write as _;
use std::thread;

use super::super::test_client::*;
use super::*;
use crate::http::Server;
use crate::metrics::fixture;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A snapshot whose file has about so many bytes: its notes do not compress.
fn sized(bytes: usize) -> Snapshot {
    let mut snapshot = fixture::snapshot(&[100.0, 50.0]);
    let mut state = 1_u64;
    let noise = (0..bytes).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b' ' + 3 + (state >> 33) as u8 % 64)
    });
    snapshot.info.notes = vec![noise.collect()];
    snapshot
}

fn keep(store: &Store, name: Option<&Name>, snapshot: &Snapshot) -> u16 {
    match store.take(name, snapshot) {
        Ok(reply) | Err(reply) => reply.status.as_u16(),
    }
}

fn names(store: &Store) -> Vec<String> {
    store
        .shelf()
        .kept
        .iter()
        .map(|kept| kept.name.clone())
        .collect()
}

/// The oldest that nobody named makes room; what was named stays.
#[test]
fn the_number_of_snapshots_is_bounded() {
    let (store, snapshot) = (Store::default(), sized(10));
    assert_eq!(keep(&store, Some(&name("first")), &snapshot), 201);
    for _ in 0..40 {
        assert_eq!(keep(&store, None, &snapshot), 201);
    }
    let kept = names(&store);
    assert_eq!(kept.len(), MAX_KEPT);
    assert_eq!(
        (&*kept[0], &*kept[1], &*kept[31]),
        ("first", "unnamed-10", "unnamed-40")
    );
    for index in 1..MAX_KEPT {
        assert_eq!(
            keep(&store, Some(&name(&format!("n{index}"))), &snapshot),
            201
        );
    }
    assert_eq!(keep(&store, Some(&name("one-more")), &snapshot), 409);
    assert_eq!(keep(&store, None, &snapshot), 409);
    assert_eq!(keep(&store, Some(&name("first")), &snapshot), 409);
    assert_eq!(names(&store).len(), MAX_KEPT);
}

/// 64 MiB are the bound whatever the number is.
#[test]
fn the_bytes_of_snapshots_are_bounded() {
    let (store, large) = (Store::default(), sized(24 << 20));
    let held = || {
        store
            .shelf()
            .kept
            .iter()
            .map(|kept| kept.file.len())
            .sum::<usize>()
    };
    for _ in 0..5 {
        assert_eq!(keep(&store, None, &large), 201);
        assert!(held() <= MAX_BYTES, "{}", held());
    }
    assert!(names(&store).len() >= 2);
    for _ in 0..4 {
        let next = name(&format!("n{}", names(&store).len() + 10));
        keep(&store, Some(&next), &large);
        assert!(held() <= MAX_BYTES);
    }
    assert_eq!(keep(&store, None, &sized(100 << 20)), 409);
}

fn send(server: &Server, method: &str, target: &str) -> Response {
    let mut client = connect(server);
    client
        .write_all(request(method, target).as_bytes())
        .unwrap();
    let with_body = method != "DELETE";
    read(&mut client, with_body)
}

/// From the request to the file and back, over a socket.
#[test]
fn snapshots_are_kept_listed_fetched_compared_and_deleted() {
    let server = server();
    let made = send(&server, "POST", "/heap/snapshots?name=start");
    assert_eq!(made.status(), 201);
    assert_eq!(made.header("location"), Some("snapshots/start"));
    assert_eq!(
        send(&server, "POST", "/heap/snapshots").text(),
        "{\"name\":\"unnamed-1\"}\n"
    );
    let list: serde_json::Value =
        serde_json::from_str(get(&server, "/heap/snapshots").text()).unwrap();
    assert_eq!(list["snapshots"][0]["name"], "start");
    assert_eq!(list["snapshots"][0]["live_bytes"]["estimate"], 150);
    assert_eq!(list["snapshots"][1]["named"], false);
    let file = get(&server, "/heap/snapshots/start").body;
    assert_eq!(
        Snapshot::read(&file[..]).unwrap(),
        fixture::snapshot(&[100.0, 50.0])
    );

    let diff = get(&server, "/heap/diff?from=start");
    assert!(diff.text().contains("heap diff by site"), "{}", diff.text());
    let diff = get(
        &server,
        "/heap/diff?from=start&to=unnamed-1&format=json&by=function",
    );
    let diff: serde_json::Value = serde_json::from_str(diff.text()).unwrap();
    assert_eq!(diff["total"]["live_bytes_change"]["estimate"], 0);
    assert_eq!(
        get(&server, "/heap/diff?from=start&format=pprof").status(),
        200
    );
    assert!(
        get(&server, "/heap/diff?from=start&format=folded")
            .text()
            .contains("app::site_1 100 100\n")
    );
    assert!(
        get(&server, "/heap/flamegraph?format=folded")
            .text()
            .contains("app::site_1 100\n")
    );
    assert_eq!(
        get(&server, "/heap/flamegraph?format=folded&diff_from=start").status(),
        200
    );
    assert_eq!(get(&server, "/heap/diff?from=nobody").status(), 404);

    assert_eq!(
        send(&server, "DELETE", "/heap/snapshots/start").status(),
        204
    );
    assert_eq!(get(&server, "/heap/snapshots/start").status(), 404);
    assert_eq!(
        send(&server, "DELETE", "/heap/snapshots/start").status(),
        404
    );
}

#[test]
fn pictures_are_drawn_or_it_is_said_what_is_missing() {
    let server = server();
    send(&server, "POST", "/heap/snapshots?name=a");
    for target in [
        "/heap/flamegraph",
        "/heap/flamegraph?sample=allocated",
        "/heap/flamegraph?diff_from=a",
        "/heap/diff?from=a&format=svg",
    ] {
        let picture = get(&server, target);
        if cfg!(feature = "flamegraph") {
            assert_eq!(
                picture.header("content-type"),
                Some("image/svg+xml"),
                "{target}"
            );
            let policy = picture.header("content-security-policy").unwrap();
            assert!(policy.contains("sandbox"), "{policy}");
            assert!(picture.text().contains("app::site_1"));
        } else {
            assert_eq!(picture.status(), 501, "{target}");
            assert!(picture.text().contains("feature \"flamegraph\""));
        }
    }
}

/// Clients that take, compare and delete all at once: each gets an answer, and the bounds hold.
#[test]
fn many_clients_at_once_do_no_harm() {
    let server = server();
    thread::scope(|scope| {
        for client in 0..8 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..12 {
                    let name = format!("/heap/snapshots?name=n{}", (client + round) % 4);
                    let status = send(server, "POST", &name).status();
                    assert!(matches!(status, 201 | 409), "{status}");
                    assert_eq!(send(server, "POST", "/heap/snapshots").status(), 201);
                    let diff = get(server, &format!("/heap/diff?from=n{}", round % 4)).status();
                    assert!(matches!(diff, 200 | 404), "{diff}");
                    let target = format!("/heap/snapshots/n{}", round % 4);
                    let status = send(server, "DELETE", &target).status();
                    assert!(matches!(status, 204 | 404), "{status}");
                }
            });
        }
    });
    let list: serde_json::Value =
        serde_json::from_str(get(&server, "/heap/snapshots").text()).unwrap();
    let kept = list["snapshots"].as_array().unwrap().len();
    assert!((1..=MAX_KEPT).contains(&kept), "{kept}");
}
