//! A table of ten thousand rows: what is loaded of it, and when.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::NAMES;
use super::browser::Browser;
use super::common;
use super::common::branches::branch;
use super::common::program::{Program, obey};

/// With those of the program itself not quite the ten thousand rows that a table may have.
const SITES: u32 = 9_900;

#[inline(never)]
fn the_needle() -> Vec<u8> {
    black_box(vec![2; 1])
}

/// Rows that could not be loaded must not be told to hold nothing, and can be asked for again.
fn a_search_that_fails(browser: &mut Browser) {
    browser.eval(
        "{ window.real = fetch; window.fetch = async (path, options) => { \
         if (!path.includes('n=10000')) return real(path, options); \
         await new Promise((resolve) => (window.refuse = resolve)); \
         return new Response('too busy', { status: 503 }); } }",
    );
    let status = "document.getElementById('table-status').textContent";
    let more = "document.getElementById('more-rows').hidden";
    browser.fill("#search", "the_needle");
    browser.until("window.refuse");
    let text = browser.text(status);
    assert!(
        text.starts_with("0 matches among the first 200 of "),
        "{text}"
    );
    browser.eval("refuse()");
    browser.until(&format!("{status} === 'too busy'"));
    assert_eq!(browser.eval(more), false);
    // The next answer is of the few again.
    browser.until(&format!("{status} !== 'too busy'"));
    let text = browser.text(status);
    assert!(
        text.starts_with("0 matches among the first 200 of "),
        "{text}"
    );
    assert_eq!(browser.eval(more), false);
    browser.eval("{ window.fetch = real; }");
}

/// A search that ends takes away what it looked through, and not what a person asked to see.
fn what_was_loaded_by_hand_stays(browser: &mut Browser) {
    let all = "Number(document.getElementById('page-number').textContent.split(' of ')[1]) > 400";
    browser.click("#more-rows");
    browser.until(all);
    browser.eval(
        "{ window.asked = []; const real = fetch; window.fetch = (path, options) => { \
         if (path.startsWith('heap/top')) asked.push(path); \
         return real(path, options); } }",
    );
    browser.fill("#search", "the_needle");
    browser.until(&format!("{NAMES}.length === 1"));
    browser.fill("#search", "");
    browser.until(&format!("{NAMES}.length === 20"));
    browser.wait(Duration::from_secs(3));
    let few = "asked.filter((path) => !path.includes('n=10000'))";
    assert_eq!(browser.eval(few), serde_json::json!([]));
    assert_eq!(browser.eval(all), true);
}

/// The new process may be in trouble: it must not be asked for ten thousand rows because the one
/// before was.
fn a_restart_forgets_that_all_were_wanted(browser: &mut Browser) {
    browser.eval(
        "{ window.asked = []; const real = fetch; window.fetch = async (path, options) => { \
         if (path.startsWith('heap/top')) { \
         asked.push(path); \
         if (asked.length === 1) return new Response('too busy', { status: 503 }); } \
         const response = await real(path, options); \
         if (!path.startsWith('heap/history?')) return response; \
         const answer = await response.json(); \
         answer.profile_id = '0000000000000007'; \
         answer.watched_seconds += 1e6; \
         return new Response(JSON.stringify(answer)); } }",
    );
    browser.until("document.getElementById('status').textContent.includes('too busy')");
    browser.until(&format!("asked.length > 1 && {NAMES}.length === 20"));
    assert_eq!(
        browser.eval("asked.filter((path) => !path.includes('n=200&'))"),
        serde_json::json!([])
    );
    browser.until("!document.getElementById('more-rows').hidden");
}

#[test]
#[ignore = "needs chromium"]
fn ten_thousand_sites_do_not_freeze_it() {
    if common::child::is_child() {
        heapwatch::set_interval(1).unwrap();
        let (mut kept, mut needle) = (Vec::new(), Vec::new());
        obey(|order| {
            assert_eq!(order, "fill");
            for path in 0..SITES {
                branch(path, 14, 100, &mut kept);
            }
            needle = the_needle();
        });
        return;
    }
    let mut program = Program::start("rows::ten_thousand_sites_do_not_freeze_it");
    program.order("fill");
    let mut browser = Browser::start();
    browser.go(&format!("http://{}/", program.addr));
    browser.until("document.querySelectorAll('#rows tr').length > 5");
    browser.eval(
        "window.longest = 0; new PerformanceObserver((list) => { for (const task of \
         list.getEntries()) longest = Math.max(longest, task.duration); }) \
         .observe({ type: 'longtask', buffered: true })",
    );
    a_search_that_fails(&mut browser);
    let begun = Instant::now();
    // It holds least of all, so it is not among those that are asked for at first.
    browser.fill("#search", "the_needle");
    browser.until(&format!(
        "{NAMES}.length === 1 && {NAMES}[0].innerText.includes('the_needle')"
    ));
    let found = begun.elapsed();
    browser.click("[data-order=objects]");
    browser.fill("#search", "");
    browser.until(&format!("{NAMES}.length === 20"));
    browser.wait(Duration::from_secs(1));
    let longest = browser.eval("longest").as_f64().unwrap();
    // Nothing is looked for any more: the rows that hold most are enough, and are kept up to date.
    browser.until("!document.getElementById('more-rows').hidden");
    let status = browser.text("document.getElementById('table-status').textContent");
    println!("{status}; found in {found:?}; the longest task took {longest} ms");
    let sites = status.split(' ').next().unwrap().replace(',', "");
    assert!(sites.parse::<u32>().unwrap() > SITES, "{status}");
    assert!(longest < 1_000.0, "{longest} ms");
    what_was_loaded_by_hand_stays(&mut browser);
    a_restart_forgets_that_all_were_wanted(&mut browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
