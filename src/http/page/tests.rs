use super::super::test_case::*;
use super::*;

fn text(target: &str) -> String {
    let (status, text) = get(target).outcome();
    assert_eq!(status, 200, "{target}: {text}");
    text
}

/// The paths that a text refers to, below `base`.
fn links(text: &str, attribute: &str) -> Vec<String> {
    let rest = text.split(attribute).skip(1);
    rest.map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// A file that the page names and nobody serves would leave it blank; one that nobody names is
/// dead.
#[test]
fn the_page_and_its_files_find_each_other() {
    let base = format!("/page/{HASH:016x}/");
    let shell = text("/");
    let mut named = links(&shell, &format!("\"{}", &base[1..]));
    for (name, content_type, _) in FILES {
        let target = format!("{base}{name}");
        let reply = get(&target).reply();
        let has = |name, value: &str| reply.headers.contains(&(name, value.parse().unwrap()));
        assert!(has(header::CONTENT_TYPE, content_type), "{name}");
        assert!(has(
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable"
        ));
        for module in links(&text(&target), " from \"./") {
            assert!(FILES.iter().any(|(known, ..)| *known == module), "{module}");
            named.push(module);
        }
    }
    for (name, ..) in FILES {
        assert!(
            named.iter().any(|known| known == name),
            "{name} is not used"
        );
    }
}

/// Without the token the page says nothing of the process, and everything else says nothing at all.
#[test]
fn the_shell_needs_no_token_and_has_nothing_to_hide() {
    assert_eq!(get("/").token("secret").outcome(), get("/").outcome());
    let app = format!("/page/{HASH:016x}/app.js");
    assert_eq!(get(&app).token("secret").status(), 200);
    for target in [
        "/heap/history",
        "/heap/history/by",
        "/heap/site?id=0123456789abcdef",
        "/heap/top",
        "/heap/growth",
        "/page/",
        "/page/x",
        "/debug/pprof/",
    ] {
        assert_eq!(get(target).token("secret").status(), 401, "{target}");
    }
    // The same in every process: whatever is in it was known when it was compiled.
    let pid = std::process::id().to_string();
    assert!(!text("/").contains(&pid) || SHELL.contains(&pid));
}

/// A name that an attacker lets resolve to this machine must not get the page either.
#[test]
fn the_page_is_for_this_host_only_and_only_read() {
    let mut case = get("/");
    case.headers = vec![("host", "evil.example")];
    assert_eq!(case.status(), 403);
    for target in ["/", &format!("/page/{HASH:016x}/app.js")] {
        assert_eq!(get(target).method("HEAD").status(), 200);
    }
    assert_eq!(get("/?x=1").status(), 400);
}

/// The policy that every reply carries forbids scripts and styles in the page itself, and whatever
/// comes from elsewhere.
#[test]
fn nothing_is_inline_or_from_elsewhere() {
    let shell = text("/");
    for part in shell.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        let name = tag.split_whitespace().next().unwrap();
        assert!(name != "style" && !tag.contains(" style="), "{tag}");
        assert!(name != "script" || tag.contains("src="), "{tag}");
        let handler = tag
            .split(' ')
            .any(|word| word.starts_with("on") && word.contains('='));
        assert!(!handler, "{tag}");
    }
    for text in FILES.iter().map(|(.., text)| *text).chain([SHELL]) {
        // The name of SVG's elements is no address that anything is loaded from.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://"), "an address elsewhere");
        for word in [
            "eval(",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "new Function",
        ] {
            assert!(!text.contains(word), "{word}: names are shown as text only");
        }
    }
}

/// The choices stand in one place.
#[test]
fn whatever_the_endpoint_groups_by_can_be_chosen() {
    let shell = text("/");
    for name in By::names() {
        assert!(
            shell.contains(&format!("<option>{name}</option>")),
            "{name}"
        );
        assert_eq!(get(&format!("/heap/top?by={name}")).status(), 200);
    }
}
