//! The live page in a real browser, of the example that leaks.
//!
//! `cargo test --test page -- --ignored` leaves screenshots under `target/page/`. With `HEAPWATCH_BLESS=1` it also makes
//! `docs/page.png`.
#![cfg(all(feature = "server", target_os = "linux"))]

#[path = "page/browser.rs"]
mod browser;
mod common;
#[path = "page/gap.rs"]
mod gap;
#[path = "page/rows.rs"]
mod rows;
#[path = "common/service.rs"]
mod service;
#[path = "page/trouble.rs"]
mod trouble;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use browser::Browser;
use service::Service;

#[global_allocator]
static ALLOC: heapwatch::Alloc = heapwatch::Alloc::new();

/// Bytes that the picture in the README may have.
const MAX_PICTURE: usize = 300_000;

/// The example with a tick of a quarter of a second.
fn chat(variables: &[(&str, &str)]) -> Service {
    chat_with(&[], variables)
}

fn chat_with(flags: &[&str], variables: &[(&str, &str)]) -> Service {
    let variables = [&[("HEAPWATCH_TICK", "0.25")], variables].concat();
    Service::with(flags, "127.0.0.1:0", &variables)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shots() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.pop();
    path.join("page")
}

/// Nothing is asked of anybody but the endpoint, and nothing is wrong.
fn check_manners(browser: &Browser, since: Instant, url: &str) {
    for (_, asked) in browser.requests(since) {
        assert!(
            asked.starts_with(url) || asked.starts_with("blob:"),
            "{asked}"
        );
    }
    // A browser also reports what was refused on purpose: a name that is taken, and pictures that
    // need a feature.
    let on_purpose = ["409 (Conflict)", "501 (Not Implemented)"];
    let mut complaints = browser.complaints();
    complaints.retain(|complaint| !on_purpose.iter().any(|one| complaint.contains(one)));
    assert_eq!(complaints, Vec::<String>::new());
}

const SENTENCE: &str = "document.getElementById('sentence').textContent";

/// From the first sight to a named call site, by mouse and by keyboard.
#[test]
#[ignore = "needs chromium"]
fn the_page_says_draws_and_compares() {
    let begun = Instant::now();
    let chat = chat(&[]);
    let mut browser = Browser::start();
    browser.size(1280, 1000);
    browser.scheme("light");
    browser.go(&chat.url);
    the_sentence(&mut browser);
    the_graph(&mut browser);
    sorting_and_searching(&mut browser);
    a_row(&mut browser);
    reading(&mut browser);
    spans(&mut browser);
    snapshots(&mut browser);
    flames(&mut browser);
    the_interval(&mut browser);
    screenshots(&mut browser);
    sampling_off(&mut browser);
    check_manners(&browser, begun, &chat.url);
}

/// Too early at first, and then the leak with its evidence.
fn the_sentence(browser: &mut Browser) {
    browser.until(&format!("{SENTENCE}.startsWith('Too early to tell')"));
    browser.until(&format!(
        "/call sites? (is|are) leaking: /.test({SENTENCE})"
    ));
    let sentence = browser.text(SENTENCE);
    assert!(sentence.contains("leaky_chat::"), "{sentence}");
    assert!(sentence.contains("iB/min ±"), "{sentence}");
    browser.click("#evidence > summary");
    let alarms = browser.text("document.getElementById('alarms').innerText");
    assert!(alarms.contains("Session::new"), "{alarms}");
    assert!(alarms.contains("still alive"), "{alarms}");
    assert!(alarms.contains("also look like this"), "{alarms}");
    browser.click("#evidence > summary");
}

/// Pixels of the canvas in the colour of a custom property.
fn pixels(browser: &mut Browser, property: &str) -> u64 {
    let counted = browser.eval(&format!(
        "{{ const canvas = document.getElementById('graph'); \
         const probe = document.createElement('canvas').getContext('2d'); \
         probe.fillStyle = getComputedStyle(canvas).getPropertyValue('--{property}').trim(); \
         probe.fillRect(0, 0, 1, 1); \
         const wanted = probe.getImageData(0, 0, 1, 1).data; \
         const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
         let count = 0; \
         for (let at = 0; at < data.length; at += 4) \
         if (data[at + 3] > 200 && [0, 1, 2].every((i) => Math.abs(data[at + i] - wanted[i]) < 12)) \
         count += 1; \
         count; }}"
    ));
    counted.as_u64().unwrap()
}

fn the_graph(browser: &mut Browser) {
    browser.eval("document.getElementById('graph').scrollIntoView({ block: 'center' })");
    // Only jemalloc tells what it has handed out and what its pages hold.
    let of_jemalloc = cfg!(feature = "jemalloc").then_some(["allocated", "active"]);
    for color in ["live", "rss"]
        .into_iter()
        .chain(of_jemalloc.into_iter().flatten())
    {
        let found = pixels(browser, color);
        // A line over a thousand pixels, less what others cover.
        assert!(found > 100, "{color}: {found} pixels");
    }
    let legend = browser.text("document.getElementById('legend').innerText");
    assert!(
        legend.contains("live heap") && legend.contains('±'),
        "{legend}"
    );
    browser.click("#tab-sites");
    browser.until("document.querySelectorAll('#legend .layer').length >= 3");
    browser.until("document.getElementById('legend').innerText.includes('Session::new')");
    assert!(pixels(browser, "c1") + pixels(browser, "c2") > 0 || pixels(browser, "live") == 0);
    browser.click("#tab-tasks");
    browser.until("document.getElementById('legend').innerText.includes('watch_presence')");
    let legend = browser.text("document.getElementById('legend').innerText");
    assert!(
        legend.contains("threads") && legend.contains('±'),
        "{legend}"
    );
    assert!(!legend.contains("NaN"), "{legend}");
    assert!(pixels(browser, "rss") > 100);
    browser.click("#tab-memory");
}

const NAMES: &str = "[...document.querySelectorAll('#rows tr:not(.detail) th')]";

fn sorting_and_searching(browser: &mut Browser) {
    browser.until("document.querySelectorAll('#rows tr').length >= 5");
    let first = |browser: &mut Browser| browser.text(&format!("{NAMES}[0].innerText"));
    assert!(first(browser).contains("Session::new"), "most live bytes");
    browser.click("[data-order=name]");
    browser.until("document.querySelector('th[aria-sort=ascending] [data-order=name][data-direction=ascending]')");
    let names = format!("JSON.stringify({NAMES}.map((row) => row.innerText.toLowerCase().trim()))");
    let names: Vec<String> = serde_json::from_str(&browser.text(&names)).unwrap();
    let code = |text: &String| {
        text.lines()
            .next()
            .unwrap()
            .trim_start_matches('▸')
            .to_owned()
    };
    let shown: Vec<String> = names.iter().map(code).collect();
    let mut ordered = shown.clone();
    ordered.sort();
    assert_eq!(shown, ordered);
    browser.click("[data-order=live]");
    browser.fill("#search", "previews render");
    browser.until(&format!(
        "{NAMES}.length > 0 && {NAMES}.every((row) => row.innerText.includes('previews'))"
    ));
    let status = browser.text("document.getElementById('table-status').textContent");
    assert!(
        status.contains("that hold memory") && !status.contains("nothing"),
        "{status}"
    );
    browser.fill("#search", "nothing is called so");
    browser.until(&format!("{NAMES}.length === 0"));
    let status = browser.text("document.getElementById('table-status').textContent");
    assert!(status.starts_with("0 matches among"), "{status}");
    browser.fill("#search", "");
    browser.fill("#by", "crate");
    browser.until(&format!(
        "{NAMES}.some((row) => row.innerText.includes('tokio'))"
    ));
    browser.fill("#by", "type");
    let vector = "row.innerText.trim().startsWith('VecDeque<u8>')";
    browser.until(&format!("{NAMES}.some((row) => {vector})"));
    browser.fill("#by", "site");
    browser.until(&format!("{NAMES}[0].innerText.includes('Session::new')"));
    ordering_on_a_telephone(browser);
}

/// Where the columns have no room, whatever they order by can be chosen, and is what is shown.
fn ordering_on_a_telephone(browser: &mut Browser) {
    browser.size(360, 780);
    for order in ["objects", "allocated", "growth", "live"] {
        browser.fill("#order", order);
        let cell = if order == "growth" { "live" } else { order };
        browser.until(&format!(
            "[...document.querySelectorAll('#rows tr:first-child td')] \
             .filter((cell) => cell.offsetParent).map((cell) => cell.classList) \
             .every((classes, at) => at === 0 && classes.contains('{cell}'))"
        ));
    }
    browser.size(1280, 1000);
}

/// A row opens its stack and pictures, and stays open when the table is made anew.
fn a_row(browser: &mut Browser) {
    browser.click("#rows .opener");
    browser.until("document.querySelector('#rows .detail .spark')");
    let detail = browser.text("document.querySelector('#rows .detail').innerText");
    for part in [
        "samples",
        "Age of what lives",
        "Lifetime",
        "Stack, innermost first",
        "leaky_chat.rs:",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    let status = browser.text("document.getElementById('table-status').textContent");
    browser.until(&format!(
        "document.getElementById('table-status').textContent !== {status:?}"
    ));
    browser.until("document.querySelector('#rows .detail .spark')");
    browser.click("#rows .opener");
}

/// What is being read keeps its place and the focus while figures change, and nobody is told
/// aloud that they do.
fn reading(browser: &mut Browser) {
    browser.eval(
        "{ window.heard = []; \
         const observer = new MutationObserver((changes) => \
         changes.forEach(({ target }) => heard.push(target.textContent))); \
         for (const element of document.querySelectorAll('[role=status], [aria-live]')) \
         observer.observe(element, { childList: true, characterData: true, subtree: true }); }",
    );
    browser.click("#rows .opener");
    browser.until("document.querySelector('#rows .detail .frames')");
    browser.eval(
        "{ window.stack = document.querySelector('#rows .detail .frames'); \
         stack.style.maxHeight = '40px'; stack.focus(); stack.scrollTop = 30; }",
    );
    let status = browser.text("document.getElementById('table-status').textContent");
    browser.until(&format!(
        "document.getElementById('table-status').textContent !== {status:?}"
    ));
    assert_eq!(
        browser.eval("document.activeElement === stack && stack.scrollTop === 30"),
        true
    );
    browser.click("#rows .opener");

    browser.click("#evidence > summary");
    browser.eval("document.querySelector('#alarms li > button').focus()");
    let numbers = "document.querySelector('#alarms .numbers').textContent";
    let before = browser.text(numbers);
    browser.until(&format!("{numbers} !== {before:?}"));
    assert_eq!(
        browser.text("document.activeElement.textContent"),
        "Show the call site"
    );
    browser.click("#evidence > summary");
    let heard = browser.text("heard.join('; ')");
    assert!(
        !heard.contains("updated") && !heard.contains("as of"),
        "{heard}"
    );
    // The alarms may have become more; the same with other figures is no news.
    let news = "new Set(heard.map((text) => text.replace(/[\\d.]+/g, ''))).size === heard.length";
    assert_eq!(browser.eval(news), true, "{heard}");
}

/// A dragged span, and one chosen with the keyboard, are compared.
fn spans(browser: &mut Browser) {
    browser.drag("#graph", 0.45, 0.95);
    browser.until("document.getElementById('diff-title').textContent.startsWith('Change from')");
    let rows = browser.text("document.getElementById('diff-rows').innerText");
    assert!(rows.contains("Session::new"), "{rows}");
    assert!(rows.contains("grew"), "{rows}");
    let total = browser.text("document.getElementById('diff-total').textContent");
    assert!(total.starts_with("Live bytes: +"), "{total}");
    browser.click("#diff-close");
    browser.until("document.getElementById('diff').hidden");
    browser.eval("document.getElementById('graph').focus()");
    browser.key("Home", 0);
    browser.key("PageDown", 0);
    browser.key("End", 8);
    let said = browser.text("document.getElementById('announcer').textContent");
    assert!(
        said.contains("chosen") && said.contains("live heap"),
        "{said}"
    );
    browser.key("Enter", 0);
    browser.until("!document.getElementById('diff').hidden");
    browser.until("document.getElementById('diff-rows').innerText.includes('grew')");
    browser.key("Escape", 0);
    browser.eval("document.getElementById('diff-close').focus()");
    browser.key("Enter", 0);
    browser.until("document.getElementById('diff').hidden");
    assert_eq!(browser.text("document.activeElement.id"), "graph");
}

fn snapshots(browser: &mut Browser) {
    browser.fill("#take-name", "start");
    browser.click("#take-button");
    browser.until("document.getElementById('kept').innerText.includes('start')");
    browser.fill("#take-name", "start");
    browser.click("#take-button");
    browser.until("document.getElementById('snapshot-status').textContent.includes('there is a snapshot named start')");
    browser.eval("document.querySelector('[aria-label=\"Download start\"]').focus()");
    browser.fill("#take-name", "later");
    browser.click("#take-button");
    browser.until("document.getElementById('kept').innerText.includes('later')");
    assert_eq!(
        browser.text("document.activeElement.getAttribute('aria-label')"),
        "Download start"
    );
    browser.fill("#compare-from", "start");
    browser.click("#compare-button");
    browser.until(
        "document.getElementById('diff-title').textContent.startsWith('Change from start (')",
    );
    browser.until("document.querySelectorAll('#diff-rows tr').length > 0");
    browser.click("#diff-close");
    // Who uses the keyboard stays in the list.
    for (deleted, next) in [("start", "Delete later"), ("later", "Name of the snapshot")] {
        browser.eval(&format!(
            "document.querySelector('[aria-label=\"Delete {deleted}\"]').focus()"
        ));
        browser.key("Enter", 0);
        browser.until(&format!(
            "!document.getElementById('kept').innerText.includes('{deleted}')"
        ));
        browser.until(&format!(
            "document.activeElement.getAttribute('aria-label') === '{next}'"
        ));
    }
    browser.fill("#take-name", "again");
    browser.click("#take-button");
    browser.until("document.getElementById('kept').innerText.includes('again')");
}

fn flames(browser: &mut Browser) {
    browser.click("#flame-show");
    if cfg!(feature = "flamegraph") {
        browser.until("document.querySelectorAll('#flame-picture .flame g').length > 20");
        let whole =
            browser.text("document.querySelector('#flame-picture .flame').getAttribute('height')");
        let place = "{ const scroll = document.querySelector('#flame-picture .flame-scroll'); \
             [scroll.scrollHeight - scroll.clientHeight, scroll.scrollTop]; }";
        let place: [f64; 2] = serde_json::from_value(browser.eval(place)).unwrap();
        assert!(
            (place[0] - place[1]).abs() < 2.0,
            "all is at the bottom: {place:?}"
        );
        browser.eval("document.querySelector('#flame-picture .flame').focus()");
        for _ in 0..60 {
            browser.key("ArrowUp", 0);
        }
        let seen = "{ const place = (selector) => \
             document.querySelector(`#flame-picture ${selector}`).getBoundingClientRect(); \
             const [frame, scroll] = [place('.focused rect'), place('.flame-scroll')]; \
             frame.top >= scroll.top - 2 && frame.bottom <= scroll.bottom + 2; }";
        assert_eq!(browser.eval(seen), true, "the frame that the keys are at");
        browser.key("Escape", 0);
        for key in ["ArrowUp", "ArrowUp", "Enter", "Escape"] {
            browser.key(key, 0);
        }
        assert!(whole.parse::<f64>().unwrap() > 100.0, "{whole}");
        browser.fill("#flame-what", "difference");
        browser.click("#flame-show");
        browser.until("document.querySelector('#flame-picture .readout').textContent.includes('difference') || document.querySelectorAll('#flame-picture .flame g').length > 20");
    } else {
        browser.until("document.getElementById('flame-status').textContent.includes('features = [\"flamegraph\"]')");
    }
}

fn the_interval(browser: &mut Browser) {
    // Half a byte must not come to mean every allocation.
    for wrong in ["many", "0.5", "0.0001 KiB"] {
        browser.eval("document.getElementById('interval-status').replaceChildren()");
        browser.fill("#interval-value", wrong);
        browser.click("#interval-button");
        browser.until(
            "document.getElementById('interval-status').textContent.includes('such as 64 KiB')",
        );
    }
    browser.fill("#interval-value", "64 KiB");
    browser.click("#interval-button");
    browser
        .until("document.getElementById('settings').textContent.includes('one sample in 64 KiB')");
}

fn screenshots(browser: &mut Browser) {
    // What the steps before left behind.
    browser.eval(
        "for (const id of ['flame-picture', 'snapshot-status', 'interval-status']) \
         document.getElementById(id).replaceChildren(); \
         document.getElementById('take-name').value = ''",
    );
    for scheme in ["light", "dark"] {
        browser.scheme(scheme);
        for (width, height) in [
            (1400, 1000),
            (1280, 1000),
            (1100, 900),
            (768, 900),
            (360, 780),
        ] {
            browser.size(width, height);
            browser.eval("scrollTo(0, 0)");
            browser.wait(Duration::from_millis(600));
            let over = browser.eval("document.documentElement.scrollWidth - innerWidth");
            assert!(
                over.as_i64().unwrap() <= 0,
                "{width}: {over} pixels too wide"
            );
            tails(browser, width);
            browser.shoot(&shots().join(format!("{scheme}-{width}.png")));
        }
    }
    if std::env::var_os("HEAPWATCH_BLESS").is_some() {
        browser.scheme("light");
        browser.size(1280, 960);
        browser.wait(Duration::from_millis(600));
        let bytes = browser.shoot(&root().join("docs/page.png"));
        assert!(bytes < MAX_PICTURE, "{bytes} bytes");
    }
}

/// Whatever has no room loses its start: the line is read, and the last part of the name.
fn tails(browser: &mut Browser, width: u32) {
    let lost = browser.eval(
        "[...document.querySelectorAll('#rows .tail')].filter((one) => \
         one.scrollHeight > one.clientHeight + 2 || one.scrollWidth > one.clientWidth + 1 || \
         (one.matches('.where') && !one.textContent.endsWith(/[:\\d]*\\)?$/.exec(one.title)[0]))) \
         .map((one) => one.textContent)",
    );
    assert_eq!(lost, serde_json::json!([]), "{width}");
    // A number that sticks out is right of the cell's padding.
    let numbers = "{ const text = document.createRange(); \
         [...document.querySelectorAll('#rows td.number')].filter((one) => { \
         text.selectNodeContents(one); \
         return one.offsetParent && text.getBoundingClientRect().width > one.clientWidth - 15; }) \
         .map((one) => one.textContent); }";
    assert_eq!(browser.eval(numbers), serde_json::json!([]), "{width}");
}

/// Rates that fall because nothing is counted are no alarm, and no calm either.
fn sampling_off(browser: &mut Browser) {
    assert_ne!(
        browser.eval("document.querySelector('#rows .chip.leaking')"),
        serde_json::Value::Null
    );
    browser.fill("#interval-value", "off");
    browser.click("#interval-button");
    browser.until(&format!(
        "{SENTENCE} === 'Sampling is off: nothing is watched.'"
    ));
    let verdict = "document.getElementById('verdict')";
    let read = browser.text(&format!("{verdict}.innerText"));
    assert!(!read.contains("iB/"), "{read}");
    assert_eq!(browser.text(&format!("{verdict}.className")), "waiting");
    browser.until("!document.querySelector('#rows :is(.chip, .growth)')");
}

/// The page must not be what makes a service slow.
#[test]
#[ignore = "needs chromium"]
fn it_asks_once_in_two_seconds_and_never_while_hidden() {
    let chat = chat(&[]);
    let mut browser = Browser::start();
    browser.go(&chat.url);
    browser.until(&format!("!{SENTENCE}.startsWith('Asking')"));
    browser.click("#tab-sites");
    browser.wait(Duration::from_secs(4));
    let visible = Instant::now();
    browser.wait(Duration::from_secs(20));
    let asked = browser.requests(visible);
    // One in two seconds, or fewer where answers take long.
    assert!((3..=11).contains(&asked.len()), "{asked:#?}");
    for pair in asked.windows(2) {
        // When events come in shakes by a little on a busy machine.
        let gap = pair[1].0 - pair[0].0;
        assert!(gap > Duration::from_millis(1_500), "{gap:?}: {asked:#?}");
    }
    browser.hide();
    browser.wait(Duration::from_secs(3));
    let hidden = Instant::now();
    browser.wait(Duration::from_secs(10));
    assert_eq!(browser.requests(hidden), []);
    let shown = Instant::now();
    browser.show();
    browser.wait(Duration::from_secs(4));
    assert!(!browser.requests(shown).is_empty());
}

#[test]
#[ignore = "needs chromium"]
fn the_token_is_asked_for_once() {
    let chat = chat(&[("HEAPWATCH_TOKEN", "s3cret")]);
    let mut browser = Browser::start();
    browser.go(&chat.url);
    browser.until("document.getElementById('token').open");
    // The second Escape closes a dialog whatever its page says. It must come back.
    browser.eval(
        "{ window.timesClosed = 0; \
         document.getElementById('token').addEventListener('close', () => (timesClosed += 1)); }",
    );
    let pressed = Instant::now();
    while browser.eval("timesClosed") == 0 {
        assert!(pressed.elapsed() < Duration::from_secs(30), "never closed");
        browser.key("Escape", 0);
        browser.wait(Duration::from_millis(100));
    }
    browser.until("document.getElementById('token').open");
    // What no header can carry, or none that the endpoint reads.
    for impossible in ["пароль", "naïve", "two words"] {
        browser.eval("document.getElementById('token-error').replaceChildren()");
        browser.fill("#token-value", impossible);
        browser.click("#token button");
        browser.until(
            "document.getElementById('token-error').textContent.includes('printable ASCII')",
        );
        assert_eq!(browser.eval("document.getElementById('token').open"), true);
        assert_eq!(browser.eval("sessionStorage.length"), 0);
    }
    for token in ["wrong", "s3cret"] {
        browser.fill("#token-value", token);
        browser.click("#token button");
        if token == "wrong" {
            browser.until(
                "document.getElementById('token-error').textContent === 'That token is wrong.'",
            );
            assert!(browser.text(SENTENCE).starts_with("Asking"));
        }
    }
    browser.until(&format!("!{SENTENCE}.startsWith('Asking')"));
    assert_eq!(browser.eval("document.getElementById('token').open"), false);
    browser.call("Page.reload", serde_json::json!({}));
    browser.wait(Duration::from_secs(1));
    browser.until(&format!("!{SENTENCE}.startsWith('Asking')"));
    assert_eq!(browser.eval("document.getElementById('token').open"), false);
    assert_eq!(
        browser.text("location.href"),
        chat.url,
        "no token in the address"
    );
    // The links lead to what no address alone does.
    browser.eval(
        "{ window.shown = {}; window.open = () => shown; \
         URL.createObjectURL = (blob) => (blob.text().then((text) => (shown.text = text)), 'blob:x'); }",
    );
    browser.click(".links a");
    browser.until("shown.location === 'blob:x' && shown.text.startsWith('heap by site')");
    // The refusals are all that the browser complains of.
    for complaint in browser.complaints() {
        assert!(complaint.contains("401"), "{complaint}");
    }
}
