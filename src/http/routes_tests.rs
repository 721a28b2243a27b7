use std::net::Ipv4Addr;

use super::*;
use crate::config::Config;

/// A request that a test changes where it wants to.
struct Case<'c> {
    method: &'c str,
    target: &'c str,
    headers: Vec<(&'c str, &'c str)>,
    body_bytes: usize,
    config: Config,
    local: IpAddr,
}

fn get(target: &str) -> Case<'_> {
    Case {
        method: "GET",
        target,
        headers: vec![("host", "127.0.0.1:6790")],
        body_bytes: 0,
        config: Config::new(),
        local: Ipv4Addr::LOCALHOST.into(),
    }
}

fn hosted(host: &str) -> Case<'_> {
    let mut case = get("/metrics");
    case.headers = vec![("host", host)];
    case
}

impl<'c> Case<'c> {
    fn header(mut self, name: &'c str, value: &'c str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn method(mut self, method: &'c str) -> Self {
        self.method = method;
        self
    }

    fn token(mut self, token: &str) -> Self {
        self.config = self.config.token(token);
        self
    }

    fn answer(&self) -> Answer {
        let mut request = hyper::Request::builder()
            .method(self.method)
            .uri(self.target);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let request = Request {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            body_bytes: self.body_bytes,
            local: self.local,
        };
        route(&request, &Policy::new(&self.config))
    }

    /// The status and the text of an error; 200 and nothing for work to be done.
    fn outcome(&self) -> (u16, String) {
        match self.answer() {
            Answer::Reply(reply) => {
                let text = String::from_utf8(reply.body.to_vec()).unwrap();
                (reply.status.as_u16(), text)
            }
            _ => (200, String::new()),
        }
    }

    fn status(&self) -> u16 {
        self.outcome().0
    }

    fn reply(&self) -> Reply {
        match self.answer() {
            Answer::Reply(reply) => reply,
            work => panic!("{work:?}"),
        }
    }
}

/// Every way to ask wrongly, with what the answer must say.
#[test]
fn what_is_asked_wrongly_is_refused_and_told_what_is_right() {
    for (target, status, said) in [
        ("/nowhere", 404, "/ lists what there is"),
        ("/metrics/", 404, ""),
        ("/debug/pprof", 404, ""),
        ("/heap/../metrics", 404, ""),
        (
            "/debug/pprof/heap?seconds=0",
            400,
            "seconds is \"0\": it must be a whole number from 1 to 300",
        ),
        ("/debug/pprof/heap?seconds=-1", 400, "from 1 to 300"),
        ("/debug/pprof/heap?seconds=abc", 400, "from 1 to 300"),
        ("/debug/pprof/heap?seconds=301", 400, "from 1 to 300"),
        ("/debug/pprof/heap?seconds=", 400, "from 1 to 300"),
        ("/debug/pprof/heap?seconds=1.5", 400, "from 1 to 300"),
        ("/debug/pprof/heap?seconds=%2B5", 400, "from 1 to 300"),
        (
            "/debug/pprof/heap?seconds=99999999999",
            400,
            "from 1 to 300",
        ),
        ("/debug/pprof/allocs?seconds=0", 400, "from 1 to 300"),
        (
            "/debug/pprof/heap?debug=1&seconds=5",
            400,
            "exclude each other",
        ),
        (
            "/debug/pprof/heap?seconds=5&debug=1",
            400,
            "exclude each other",
        ),
        (
            "/debug/pprof/heap?debug=2",
            400,
            "debug is \"2\": it must be 0 or 1",
        ),
        (
            "/debug/pprof/heap?symbolize=no",
            400,
            "symbolize is \"no\": it must be 0 or 1",
        ),
        (
            "/debug/pprof/heap?gc=1",
            400,
            "\"gc\": there are seconds, debug, symbolize",
        ),
        (
            "/debug/pprof/heap?seconds=5&seconds=6",
            400,
            "seconds is given more than once",
        ),
        ("/debug/pprof/?debug=1", 400, "there are none here"),
        ("/metrics?name[]=x", 400, "there are none here"),
        ("/?x", 400, "there are none here"),
        ("/heap/top?by=module", 400, "site, function or crate"),
        ("/heap/top?by=Site", 400, "site, function or crate"),
        ("/heap/top?by=", 400, "site, function or crate"),
        ("/heap/top?sort=bytes", 400, "live or allocated"),
        ("/heap/top?format=xml", 400, "text or json"),
        ("/heap/top?n=0", 400, "from 1 to 10000"),
        ("/heap/top?n=10001", 400, "from 1 to 10000"),
        ("/heap/top?n=many", 400, "from 1 to 10000"),
        (
            "/heap/top?limit=5",
            400,
            "\"limit\": there are by, sort, n, format",
        ),
        (
            "/heap/top?by=site&by=crate",
            400,
            "by is given more than once",
        ),
        ("/heap/top?%ff=1", 400, "unknown parameter"),
    ] {
        let (found, text) = get(target).outcome();
        assert_eq!(found, status, "{target}: {text}");
        assert!(text.contains(said), "{target}: {text}");
        assert_eq!(text.matches('\n').count(), 1, "{target}: {text:?}");
        assert!(text.ends_with('\n'), "{target}: {text:?}");
    }
}

#[test]
fn profiles_are_what_was_asked_for() {
    let plain = ProfileQuery {
        options: ProfileOptions {
            allocs: false,
            symbolize: true,
        },
        seconds: None,
        debug: false,
    };
    let allocs = ProfileOptions {
        allocs: true,
        symbolize: true,
    };
    let bare = ProfileOptions {
        allocs: false,
        symbolize: false,
    };
    for (target, expected) in [
        ("/debug/pprof/heap", plain),
        ("/debug/pprof/heap?", plain),
        ("/debug/pprof/heap?debug=0&symbolize=1", plain),
        (
            "/debug/pprof/allocs",
            ProfileQuery {
                options: allocs,
                ..plain
            },
        ),
        (
            "/debug/pprof/heap?debug=1",
            ProfileQuery {
                debug: true,
                ..plain
            },
        ),
        (
            "/debug/pprof/heap?symbolize=0",
            ProfileQuery {
                options: bare,
                ..plain
            },
        ),
        (
            "/debug/pprof/heap?seconds=1",
            ProfileQuery {
                seconds: Some(1),
                ..plain
            },
        ),
        (
            "/debug/pprof/heap?seconds=300&debug=0",
            ProfileQuery {
                seconds: Some(300),
                ..plain
            },
        ),
    ] {
        match get(target).answer() {
            Answer::Profile(query) => assert_eq!(query, expected, "{target}"),
            other => panic!("{target}: {other:?}"),
        }
    }
}

#[test]
fn tables_are_what_was_asked_for() {
    let plain = TopQuery {
        by: By::Site,
        sort: Sort::Live,
        rows: 20,
        format: Format::Text,
    };
    for (target, expected) in [
        ("/heap/top", plain),
        (
            "/heap/top?by=function&n=1",
            TopQuery {
                by: By::Function,
                rows: 1,
                ..plain
            },
        ),
        (
            "/heap/top?by=crate&n=10000",
            TopQuery {
                by: By::Crate,
                rows: 10_000,
                ..plain
            },
        ),
        (
            "/heap/top?sort=allocated",
            TopQuery {
                sort: Sort::Allocated,
                ..plain
            },
        ),
        (
            "/heap/top?format=json",
            TopQuery {
                format: Format::Json,
                ..plain
            },
        ),
    ] {
        match get(target).answer() {
            Answer::Top(query) => assert_eq!(query, expected, "{target}"),
            other => panic!("{target}: {other:?}"),
        }
    }
}

#[test]
fn metrics_come_in_the_form_that_all_accept_headers_ask_for() {
    let form = |case: Case<'_>| match case.answer() {
        Answer::Metrics(form) => form,
        other => panic!("{other:?}"),
    };
    assert_eq!(form(get("/metrics")), Exposition::Classic);
    let open = get("/metrics").header("accept", "application/openmetrics-text");
    assert_eq!(form(open), Exposition::OpenMetrics);
    let both = get("/metrics")
        .header("accept", "application/openmetrics-text;q=0.2")
        .header("accept", "text/plain;q=0.9");
    assert_eq!(form(both), Exposition::Classic);
}

#[test]
fn pages_are_read_with_get_and_head_only() {
    for target in [
        "/",
        "/metrics",
        "/debug/pprof/",
        "/debug/pprof/heap",
        "/heap/top",
    ] {
        assert_eq!(get(target).method("HEAD").status(), 200, "{target}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
            let reply = get(target).method(method).reply();
            assert_eq!(reply.status, 405, "{method} {target}");
            assert!(
                reply
                    .headers
                    .contains(&(header::ALLOW, "GET, HEAD".parse().unwrap()))
            );
        }
    }
    assert_eq!(get("/nowhere").method("POST").status(), 404);
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
        "/",
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
    for (origin, status) in [
        ("http://localhost:6790", 405),
        ("https://127.0.0.1", 405),
        ("http://[::1]:6790", 405),
        ("http://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("file://localhost", 403),
        ("localhost", 403),
        ("", 403),
    ] {
        for method in ["POST", "DELETE"] {
            let case = get("/heap/top").method(method).header("origin", origin);
            assert_eq!(case.status(), status, "{method} {origin}");
        }
    }
    assert_eq!(
        get("/heap/top")
            .header("origin", "http://evil.example")
            .status(),
        200
    );
    assert_eq!(get("/heap/top").method("POST").status(), 405);
}

#[test]
fn heads_and_bodies_are_bounded() {
    let long = "x".repeat(MAX_HEAD);
    let (status, text) = get("/metrics").header("x-long", &long).outcome();
    assert_eq!(status, 431);
    assert!(text.contains("8192"), "{text}");
    assert_eq!(
        get("/metrics").header("x-long", &long[..8000]).status(),
        200
    );
    assert_eq!(get(&format!("/{long}")).status(), 431);
    let mut case = get("/metrics");
    case.body_bytes = MAX_BODY;
    assert_eq!(case.status(), 200);
    case.body_bytes = MAX_BODY + 1;
    assert_eq!(case.status(), 413);
}

/// The index would be a list of dead links.
#[test]
fn every_link_of_the_plain_pages_leads_somewhere() {
    for (page, base) in [("/", "/"), ("/debug/pprof/", "/debug/pprof/")] {
        let (status, html) = get(page).outcome();
        assert_eq!(status, 200);
        let links: Vec<&str> = html
            .split("href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(links.len() >= 4, "{html}");
        for link in links {
            assert_eq!(get(&format!("{base}{link}")).status(), 200, "{link}");
        }
    }
}
