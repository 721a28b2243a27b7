//! Cards shown for links, kept in a cache of fixed size: it grows until it is full, and never after.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Mutex;

use axum::body::Bytes;
use lru::LruCache;

use crate::lock;

const CARDS_KEPT: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// Holds every card without growing, for links of at most [`LINK_BYTES`].
const CARD_BYTES: usize = 10 * 1024;
/// The longest link that gets a card.
pub(crate) const LINK_BYTES: usize = 200;
const THUMBNAIL_SIDE: usize = 12;

pub(crate) struct Previews {
    cards: Mutex<LruCache<String, Bytes>>,
}

impl Previews {
    pub(crate) fn new() -> Previews {
        Previews {
            cards: Mutex::new(LruCache::new(CARDS_KEPT)),
        }
    }

    /// The card for a link, as HTML.
    pub(crate) fn card(&self, link: &str) -> Bytes {
        if let Some(card) = lock(&self.cards).get(link) {
            return card.clone();
        }
        let card = render(link);
        lock(&self.cards).put(link.to_owned(), card.clone());
        card
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.cards).len()
    }
}

/// Draws a card from the link alone: nothing is fetched.
fn render(link: &str) -> Bytes {
    let mut card = String::with_capacity(CARD_BYTES);
    let title = link
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;");
    write_card(&mut card, &title).expect("writing to a String cannot fail");
    Bytes::from(card)
}

fn write_card(card: &mut String, title: &str) -> std::fmt::Result {
    write!(card, r#"<article class="preview"><h1>{title}</h1>"#)?;
    write!(
        card,
        r#"<svg viewBox="0 0 {THUMBNAIL_SIDE} {THUMBNAIL_SIDE}">"#
    )?;
    for y in 0..THUMBNAIL_SIDE {
        for x in 0..THUMBNAIL_SIDE {
            let colour = colour(title, x, y);
            write!(
                card,
                r##"<rect x="{x}" y="{y}" width="1" height="1" fill="#{colour:06x}"/>"##
            )?;
        }
    }
    write!(card, "</svg></article>")
}

fn colour(title: &str, x: usize, y: usize) -> u64 {
    let mut hasher = DefaultHasher::new();
    (title, x, y).hash(&mut hasher);
    hasher.finish() & 0xff_ff_ff
}
