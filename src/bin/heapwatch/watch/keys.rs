//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::view::{Over, View};

/// Every key and what it does, for the help.
pub(super) const KEYS: [(&str, &str); 12] = [
    ("↑ ↓ j k PgUp PgDn Home End", "choose a row"),
    ("Enter", "its stack; of what is no single site, its sites"),
    ("s", "order by something else"),
    ("b", "by site, function, crate, type or task"),
    ("/", "show only rows with these words; Esc shows all again"),
    (
        "m",
        "mark this moment: what changed since is shown and ordered by",
    ),
    ("u", "remove the mark"),
    ("w", "write a snapshot into the current folder"),
    ("r", "ask the service now"),
    ("?", "this help"),
    ("Esc", "back"),
    ("q Ctrl-C", "end"),
];

/// Rows of a page.
const PAGE: isize = 10;

/// What is to be done that the view cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    None,
    Ask,
    Save,
    Quit,
}

pub(super) fn press(view: &mut View, key: KeyEvent) -> Deed {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Deed::Quit,
            _ => Deed::None,
        };
    }
    match view.over {
        Over::Filter => type_filter(view, key.code),
        Over::Stack(line) => read_stack(view, line, key.code),
        Over::Help => {
            view.over = Over::Nothing;
            if key.code == KeyCode::Char('q') {
                return Deed::Quit;
            }
        }
        Over::Nothing => return command(view, key.code),
    }
    Deed::None
}

fn command(view: &mut View, key: KeyCode) -> Deed {
    match key {
        KeyCode::Char('q') => return Deed::Quit,
        KeyCode::Char('r') => return Deed::Ask,
        KeyCode::Char('w') => return Deed::Save,
        KeyCode::Char('s') => view.next_order(),
        KeyCode::Char('b') => view.next_group(),
        KeyCode::Char('m') => view.mark(),
        KeyCode::Char('u') => view.unmark(),
        KeyCode::Char('/') => view.over = Over::Filter,
        KeyCode::Char('?') => view.over = Over::Help,
        KeyCode::Enter => view.open(),
        KeyCode::Esc => view.set_filter(String::new()),
        key => {
            if let Some(by) = distance(key) {
                view.go(by);
            }
        }
    }
    Deed::None
}

fn type_filter(view: &mut View, key: KeyCode) {
    let mut filter = view.filter().to_owned();
    match key {
        KeyCode::Enter => view.over = Over::Nothing,
        KeyCode::Esc => {
            view.over = Over::Nothing;
            filter.clear();
        }
        KeyCode::Backspace => drop(filter.pop()),
        KeyCode::Char(letter) => filter.push(letter),
        _ => {}
    }
    view.set_filter(filter);
}

fn read_stack(view: &mut View, line: u16, key: KeyCode) {
    view.over = match (key, distance(key)) {
        (KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q'), _) => Over::Nothing,
        (_, Some(by)) => {
            let last = view.chosen().map_or(0, |line| line.frames.len());
            let line = usize::from(line).saturating_add_signed(by).min(last);
            Over::Stack(u16::try_from(line).unwrap_or(u16::MAX))
        }
        _ => Over::Stack(line),
    };
}

/// How far a key goes down.
fn distance(key: KeyCode) -> Option<isize> {
    Some(match key {
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::PageUp => -PAGE,
        KeyCode::PageDown => PAGE,
        KeyCode::Home => isize::MIN,
        KeyCode::End => isize::MAX,
        _ => return None,
    })
}
