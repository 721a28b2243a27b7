use super::super::test_case::*;
use super::*;

fn hosted(host: &str) -> Case<'_> {
    let mut case = get("/metrics");
    case.headers = vec![("host", host)];
    case
}

/// A name that an attacker lets resolve to this machine must not be answered.
#[test]
fn only_hosts_that_mean_this_endpoint_are_answered() {
    for host in [
        "localhost",
        "LOCALHOST:1",
        "localhost.:6790",
        "127.0.0.1",
        "127.9.9.9:80",
        "[::1]:6790",
        "[::ffff:127.0.0.1]",
    ] {
        assert_eq!(hosted(host).status(), 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:6790",
        "10.0.0.7",
        "[fd00::7]",
        "0.0.0.0",
        "",
        ":6790",
        "localhost:port",
        "localhost:1:2",
        "localhost@evil.example",
        "[::1",
        "[::1]x",
    ] {
        let (status, text) = hosted(host).outcome();
        assert_eq!(status, 403, "{host}");
        assert!(text.contains("Config::allow_host"), "{text}");
    }
}

#[test]
fn configured_hosts_and_the_address_connected_to_are_answered() {
    let with = |host, allowed: &str, local: &str| {
        let mut case = hosted(host);
        case.config = Config::new().allow_host(allowed);
        case.local = local.parse().unwrap();
        case.status()
    };
    assert_eq!(with("chat.internal:6790", "chat.internal", "10.0.0.7"), 200);
    assert_eq!(with("Chat.Internal", "chat.internal", "10.0.0.7"), 200);
    assert_eq!(with("[fd00:0::7]", "fd00::7", "10.0.0.7"), 200);
    assert_eq!(with("10.0.0.7:6790", "chat.internal", "10.0.0.7"), 200);
    assert_eq!(
        with("10.0.0.7:6790", "chat.internal", "::ffff:10.0.0.7"),
        200
    );
    assert_eq!(with("10.0.0.8:6790", "chat.internal", "10.0.0.7"), 403);
    assert_eq!(with("x.chat.internal", "chat.internal", "10.0.0.7"), 403);
}

#[test]
fn a_host_that_is_missing_doubled_or_contradicted_is_refused() {
    let mut none = get("/metrics");
    none.headers.clear();
    assert_eq!(none.status(), 400);
    assert_eq!(get("/metrics").header("host", "localhost").status(), 400);
    assert_eq!(get("http://evil.example/metrics").status(), 403);
    assert_eq!(get("http://localhost/metrics").status(), 200);
}

#[test]
fn with_a_token_every_page_asks_for_it() {
    for target in [
        "/heap/history",
        "/metrics",
        "/debug/pprof/heap",
        "/heap/top",
        "/nowhere",
    ] {
        let reply = get(target).token("s3cret").reply();
        assert_eq!(reply.status, 401, "{target}");
        let (_, challenge) = reply
            .headers
            .iter()
            .find(|(name, _)| name == header::WWW_AUTHENTICATE)
            .unwrap();
        assert!(challenge.to_str().unwrap().starts_with("Bearer"));
    }
    for (given, status) in [
        ("Bearer s3cret", 200),
        ("bearer s3cret", 200),
        ("Bearer s3cres", 401),
        ("Bearer s3cre", 401),
        ("Bearer s3cret2", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
    ] {
        let case = get("/metrics")
            .token("s3cret")
            .header("authorization", given);
        assert_eq!(case.status(), status, "{given}");
    }
    let twice = get("/metrics")
        .token("s3cret")
        .header("authorization", "Bearer wrong")
        .header("authorization", "Bearer s3cret");
    assert_eq!(twice.status(), 400);
}

/// A foreign host is refused before it can learn whether a token is right.
#[test]
fn the_host_is_checked_before_the_token() {
    let mut case = hosted("evil.example").token("s3cret");
    assert_eq!(case.status(), 403);
    case = case.header("authorization", "Bearer s3cret");
    assert_eq!(case.status(), 403);
}

/// What changes something is not taken from another site's page; 405 means the check passed.
#[test]
fn requests_that_change_something_come_from_our_own_pages() {
    for (host, origin, status) in [
        ("127.0.0.1:6790", "http://127.0.0.1:6790", 405),
        ("[::1]:6790", "http://[::1]:6790", 405),
        ("localhost", "https://localhost", 405),
        // Through `ssh -L 8001:localhost:6790`, and typed so.
        ("localhost:8001", "http://localhost:8001", 405),
        ("LocalHost:8001", "http://localhost:8001", 405),
        // Other services of this machine.
        ("localhost:6790", "http://localhost:8001", 403),
        ("localhost:6790", "http://localhost", 403),
        ("127.0.0.1:6790", "http://localhost:6790", 403),
        ("127.0.0.1:6790", "http://203.0.113.7", 403),
        ("127.0.0.1:6790", "http://evil.example", 403),
        ("127.0.0.1:6790", "http://127.0.0.1:6790@evil.example", 403),
        ("localhost", "http://localhost.evil.example", 403),
        ("localhost", "null", 403),
        ("localhost", "file://localhost", 403),
        ("localhost", "localhost", 403),
        ("localhost", "", 403),
    ] {
        for method in ["POST", "DELETE"] {
            let mut case = get("/heap/top").method(method).header("origin", origin);
            case.headers[0] = ("host", host);
            assert_eq!(case.status(), status, "{method} {host} {origin}");
        }
    }
    // Behind a proxy that asks for the address that it knows.
    for (origin, status) in [
        ("https://chat.internal", 405),
        ("http://chat.internal:8080", 405),
        ("http://10.0.0.7", 405),
        ("https://x.chat.internal", 403),
        ("http://10.0.0.8", 403),
    ] {
        let mut case = get("/heap/top").method("POST").header("origin", origin);
        case.config = Config::new()
            .allow_host("chat.internal")
            .allow_host("10.0.0.7");
        assert_eq!(case.status(), status, "{origin}");
    }
    assert_eq!(
        get("/heap/top")
            .header("origin", "http://evil.example")
            .status(),
        200
    );
    assert_eq!(get("/heap/top").method("POST").status(), 405);
}
