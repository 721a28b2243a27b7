use super::super::test_case::*;
use super::*;

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
        ("/heap/top?by=module", 400, "site, function, crate"),
        ("/heap/top?by=Site", 400, "site, function, crate"),
        ("/heap/top?by=", 400, "site, function, crate"),
        ("/heap/top?sort=bytes", 400, "live, growth, allocated"),
        ("/heap/top?format=xml", 400, "text, json"),
        ("/heap/growth?format=xml", 400, "text, json"),
        ("/heap/growth?n=5", 400, "there are format"),
        ("/heap/history?since=soon", 400, "since is \"soon\""),
        ("/heap/history?since=NaN", 400, "a number of seconds"),
        ("/heap/history?n=5", 400, "there are since"),
        ("/heap/history/by?n=0", 400, "from 1 to 50"),
        ("/heap/history/by?n=51", 400, "from 1 to 50"),
        ("/heap/history/", 404, "no such page"),
        ("/heap/site", 400, "16 hex digits"),
        ("/heap/site?id=12", 400, "16 hex digits"),
        ("/heap/site?id=%2B123456789abcdef", 400, "16 hex digits"),
        ("/heap/interval", 405, "POST /heap/interval?bytes=N"),
        ("/page/", 404, "no such page"),
        ("/page/0123456789abcdef/app.js", 404, "no such page"),
        ("/page/../metrics", 404, "no such page"),
        ("/heap/top?frames=no", 400, "must be 0 or 1"),
        ("/heap/top?n=0", 400, "from 1 to 10000"),
        ("/heap/top?n=10001", 400, "from 1 to 10000"),
        ("/heap/top?n=many", 400, "from 1 to 10000"),
        (
            "/heap/top?limit=5",
            400,
            "\"limit\": there are by, sort, n, frames, format",
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
        frames: true,
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
            "/heap/top?format=json&frames=0",
            TopQuery {
                format: Format::Json,
                frames: false,
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
fn the_history_is_what_was_asked_for() {
    for (target, expected) in [
        ("/heap/history", HistoryQuery::Figures { since: None }),
        (
            "/heap/history?since=90.5",
            HistoryQuery::Figures { since: Some(90.5) },
        ),
        ("/heap/history/by", HistoryQuery::Layers(8)),
        ("/heap/history/by?n=50", HistoryQuery::Layers(50)),
        ("/heap/site?id=00000000000000Ff", HistoryQuery::Site(0xff)),
    ] {
        match get(target).answer() {
            Answer::History(query) => assert_eq!(query, expected, "{target}"),
            other => panic!("{target}: {other:?}"),
        }
    }
}

/// The interval is changed by POST, by nobody elsewhere and by nobody without the token.
#[test]
fn the_interval_is_changed_by_who_may() {
    for (target, status, said) in [
        ("/heap/interval?bytes=0", 200, ""),
        ("/heap/interval?bytes=4294967295", 200, ""),
        (
            "/heap/interval?bytes=4294967296",
            400,
            "from 0 to 4294967295",
        ),
        ("/heap/interval?bytes=-1", 400, "from 0 to"),
        ("/heap/interval?bytes=64k", 400, "from 0 to"),
        ("/heap/interval", 400, "bytes must say"),
        ("/heap/interval?n=1", 400, "there are bytes"),
    ] {
        let (found, text) = get(target).method("POST").outcome();
        assert_eq!(found, status, "{target}: {text}");
        assert!(text.contains(said), "{target}: {text}");
    }
    let post = || get("/heap/interval?bytes=1").method("POST");
    assert_eq!(post().header("origin", "http://evil.example").status(), 403);
    assert_eq!(post().token("secret").status(), 401);
    let reply = get("/heap/interval").method("DELETE").reply();
    assert_eq!(reply.status, 405);
    assert!(
        reply
            .headers
            .contains(&(header::ALLOW, "POST".parse().unwrap()))
    );
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
