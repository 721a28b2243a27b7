//! Sampling that was off for a while.

use std::time::Duration;

use super::browser::Browser;
use super::{SENTENCE, chat_with, check_manners, shots};

/// Text of an element.
fn text_of(id: &str) -> String {
    format!("document.getElementById('{id}').textContent")
}

fn set_interval(browser: &mut Browser, interval: &str) {
    browser.fill("#interval-value", interval);
    browser.click("#interval-button");
}

/// Calm that rests on nothing must not look like any other: where no bound can be told for what was
/// not seen, the page says why.
#[test]
#[ignore = "needs chromium"]
fn what_was_not_sampled_is_told_wherever_it_matters() {
    let begun = std::time::Instant::now();
    let chat = chat_with(&["--fixed"], &[]);
    let mut browser = Browser::start();
    browser.size(1280, 1000);
    browser.scheme("light");
    browser.go(&chat.url);
    let (outlook, unseen) = (text_of("outlook"), text_of("unseen"));
    browser.until(&format!("{SENTENCE}.startsWith('Nothing leaks or grows')"));
    browser.until(&format!("{unseen}.includes('holds less than')"));
    let calm = browser.text(&outlook);
    assert!(calm.contains("would not show yet"), "{calm}");
    assert!(!calm.contains("off"), "{calm}");

    set_interval(&mut browser, "off");
    browser.until(&format!("{SENTENCE}.startsWith('Sampling is off')"));
    set_interval(&mut browser, "64 KiB");
    browser.until(&format!("{SENTENCE}.startsWith('Nothing leaks or grows')"));
    browser.until(&format!("{unseen}.includes('in no number')"));
    let gap = browser.text(&outlook);
    assert!(
        gap.ends_with("Sampling was off for a while: what leaked then does not show."),
        "{gap}"
    );
    assert!(!gap.contains("would not show yet"), "{gap}");
    let unseen = browser.text(&unseen);
    assert_eq!(
        unseen,
        "Sampling was off for a while: what was allocated then is in no number. "
    );
    browser.drag("#graph", 0.6, 0.95);
    browser.until(&format!(
        "{}.endsWith('what was allocated then is in no number.')",
        text_of("diff-total")
    ));
    for (name, place) in [
        ("verdict", "verdict"),
        ("change", "diff"),
        ("table", "unseen"),
    ] {
        browser.eval(&format!(
            "document.getElementById('{place}').scrollIntoView({{ block: 'center' }})"
        ));
        browser.wait(Duration::from_millis(400));
        browser.shoot(&shots().join(format!("sampling-was-off-{name}.png")));
    }
    check_manners(&browser, begun, &chat.url);
}
