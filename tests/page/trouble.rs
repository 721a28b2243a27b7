//! What goes wrong under the page: restarts, processes that stand still, answers that come too late.

use std::process::Command;

use super::browser::Browser;
use super::{SENTENCE, chat};

/// Of the header.
const STATUS: &str = "document.getElementById('status')";

/// In a container the process id is the same after a restart, and the new process may be older than
/// the last answer of the old one.
#[test]
#[ignore = "needs chromium"]
fn a_restart_is_seen_though_the_pid_is_the_same() {
    let chat = chat(&[]);
    let mut browser = Browser::start();
    browser.go(&chat.url);
    browser.until("document.querySelectorAll('#rows .opener').length >= 5");
    browser.click("#rows .opener");
    browser.until("document.querySelector('#rows .detail .frames')");
    browser.eval(
        "{ window.asked = []; const real = fetch; window.fetch = async (path, options) => { \
         const response = await real(path, options); \
         if (!path.startsWith('heap/history?')) return response; \
         asked.push(path); \
         const answer = await response.json(); \
         answer.profile_id = '0000000000000007'; \
         answer.watched_seconds += 1e6; \
         return new Response(JSON.stringify(answer)); } }",
    );
    browser.until(&format!("{STATUS}.textContent.startsWith('restarted; ')"));
    assert_eq!(
        browser.eval("document.querySelector('#rows .detail')"),
        serde_json::Value::Null,
        "a call site of the process before"
    );
    browser.until("asked.length > 1");
    // All points of the new process are asked for, and stand alone.
    assert_eq!(
        browser.eval("asked.map((path) => path.includes('since='))"),
        serde_json::json!([true, false])
    );
    browser.until("document.querySelectorAll('#rows .opener').length >= 5");
}

/// A drawing that comes late must not stand under the title of another span.
#[test]
#[ignore = "needs chromium"]
fn a_flame_graph_is_of_the_span_above_it() {
    let chat = chat(&[]);
    let mut browser = Browser::start();
    browser.size(1280, 1000);
    browser.go(&chat.url);
    browser.until(&format!("!{SENTENCE}.startsWith('Asking')"));
    browser.until("document.getElementById('graph-empty').hidden");
    browser.wait(std::time::Duration::from_secs(6));
    browser.eval(
        "{ const real = fetch; window.fetch = async (path, options) => { \
         if (!path.includes('format=svg')) return real(path, options); \
         await new Promise((resolve) => (window.release = resolve)); \
         return new Response('<svg xmlns=\"http://www.w3.org/2000/svg\"><g><title>main</title>' + \
         '<rect x=\"0%\" y=\"9\" width=\"100%\" fill=\"rgb(1,2,3)\"/></g></svg>'); } }",
    );
    let title = "document.getElementById('diff-title').textContent";
    browser.drag("#graph", 0.4, 0.95);
    browser.until(&format!("{title}.startsWith('Change from')"));
    let first = browser.text(title);
    browser.click("#diff-flame");
    browser.until("window.release");
    browser.drag("#graph", 0.4, 0.7);
    browser.until(&format!(
        "{title}.startsWith('Change from') && {title} !== {first:?}"
    ));
    browser.eval("{ release(); release = undefined; }");
    browser.until("!document.getElementById('diff-flame').disabled");
    let drawn = "document.querySelectorAll('#diff-picture .flame').length";
    assert_eq!(browser.eval(drawn), 0);
    browser.click("#diff-flame");
    browser.until("window.release");
    browser.eval("release()");
    browser.until(&format!("{drawn} === 1"));
}

/// A process that is stopped takes requests and answers none.
#[test]
#[ignore = "needs chromium"]
fn a_process_that_stands_still_is_not_shown_as_well() {
    let chat = chat(&[]);
    let signal = |name: &str| {
        let sent = Command::new("kill")
            .args([name, &chat.pid().to_string()])
            .status();
        assert!(sent.unwrap().success(), "{name}");
    };
    let mut browser = Browser::start();
    browser.go(&chat.url);
    browser.until(&format!("{STATUS}.className === 'good'"));
    // Twenty times as impatient as for its users.
    browser.eval(
        "{ const real = AbortSignal.timeout.bind(AbortSignal); \
         AbortSignal.timeout = (time) => real(time / 20); }",
    );
    signal("-STOP");
    browser.until(&format!("{STATUS}.className === 'bad'"));
    let said = browser.text(&format!("{STATUS}.textContent"));
    assert!(
        said.starts_with("The endpoint has not answered for 30 s"),
        "{said}"
    );
    signal("-CONT");
    browser.until(&format!("{STATUS}.className === 'good'"));
    assert_eq!(
        browser.text("document.getElementById('announcer').textContent"),
        "The endpoint answers again."
    );
}
