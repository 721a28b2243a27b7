//! The screen drawn into memory, from snapshots of this test itself.

use std::sync::OnceLock;

use heapwatch::Snapshot;
use heapwatch::report::By;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::{Deed, press};
use super::poll::Poll;
use super::view::View;
use super::{draw, keys};

const MIB: usize = 1 << 20;

/// The call site that the tests look for.
#[inline(never)]
fn hold_on_to(bytes: usize) -> Vec<u8> {
    let held = vec![1; bytes];
    // Or its frame would be gone before the allocation: a call at the end is a jump.
    std::hint::black_box(&held);
    held
}

/// Moments of this process: at the first it holds 64 MiB, at the second 1 and 2 MiB more, which are
/// two sites; before the third, sampling was off, and at the fourth it is. Made once, because finding the names of a test program takes long.
fn moments() -> &'static [Snapshot; 4] {
    static MOMENTS: OnceLock<[Snapshot; 4]> = OnceLock::new();
    MOMENTS.get_or_init(|| {
        // Blocks of a MiB are then as good as never missed.
        heapwatch::set_interval(64 << 10).unwrap();
        let before = hold_on_to(64 * MIB);
        let first = named(heapwatch::snapshot().unwrap());
        let one = hold_on_to(MIB);
        let two = hold_on_to(2 * MIB);
        let second = named(heapwatch::snapshot().unwrap());
        drop((before, one, two));
        heapwatch::set_interval(0).unwrap();
        let off = named(heapwatch::snapshot().unwrap());
        heapwatch::set_interval(64 << 10).unwrap();
        let on_again = named(heapwatch::snapshot().unwrap());
        [first, second, on_again, off]
    })
}

/// With its names found.
fn named(snapshot: Snapshot) -> Snapshot {
    snapshot.top(By::Site).rows();
    snapshot
}

fn poll(moment: usize) -> Poll {
    Poll {
        snapshot: moments()[moment].clone(),
        alarms: Vec::new(),
        too_early: None,
    }
}

fn view() -> View {
    View::new("http://127.0.0.1:6790/".to_owned(), poll(0))
}

fn type_in(view: &mut View, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        assert_eq!(press(view, KeyEvent::from(code)), Deed::None, "{key:?}");
    }
}

/// What a terminal of this size shows, line by line.
fn drawn(view: &mut View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::view(frame, view)).unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(width));
    lines
        .map(|cells| cells.iter().map(|cell| cell.symbol()).collect())
        .collect()
}

fn line_with<'l>(lines: &'l [String], words: &str) -> &'l str {
    let found = lines.iter().find(|line| line.contains(words));
    found.unwrap_or_else(|| panic!("{words:?} is not in\n{}", lines.join("\n")))
}

/// What the view is for: after a mark, what grew since is first, with its change.
#[test]
fn what_grew_since_the_mark_comes_first() {
    let mut view = view();
    type_in(&mut view, "m");
    view.take(poll(1));
    let screen = drawn(&mut view, 140, 40);
    line_with(&screen, "change since the mark");
    let grown: Vec<&String> = screen.iter().filter(|line| line.contains(" +")).collect();
    assert!(
        grown[0].contains(" +2") && grown[0].contains("hold_on_to"),
        "{grown:?}"
    );
    assert!(
        grown[1].contains(" +1") && grown[1].contains("hold_on_to"),
        "{grown:?}"
    );
    type_in(&mut view, "u");
    let screen = drawn(&mut view, 140, 40);
    assert!(!screen.iter().any(|line| line.contains(" +")), "{screen:?}");
    assert!(line_with(&screen, "hold_on_to").contains(" 64"));
}

/// Types are told apart though one function allocates for several, and each finds its sites.
#[test]
fn rows_by_type_bear_their_types() {
    let mut view = view();
    type_in(&mut view, "m");
    view.take(poll(1));
    type_in(&mut view, "bbb");
    let screen = drawn(&mut view, 140, 40);
    line_with(&screen, " type");
    let grown = line_with(&screen, "Vec<u8>");
    assert!(grown.contains(" 67") && grown.contains(" +3"), "{grown}");
    let mut keys: Vec<&String> = view.rows().map(|line| &line.key).collect();
    let rows = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), rows);
    // What grew is first; the choice may be on another that the harness holds.
    type_in(&mut view, "/vec<u8>\nkkkk\n");
    line_with(&drawn(&mut view, 140, 40), "hold_on_to");
}

/// A filter that hides all must not lose the way back, and a chosen row shows its own stack.
#[test]
fn rows_are_found_opened_and_left() {
    let mut view = view();
    type_in(&mut view, "/no such words\n");
    line_with(&drawn(&mut view, 120, 30), " 0 rows");
    type_in(&mut view, "\n\x1b/HOLD_ON_TO moments\n\n");
    let screen = drawn(&mut view, 120, 30);
    line_with(&screen, " site ");
    line_with(&screen, "watch::tests::moments");
    type_in(&mut view, "\x1bb");
    line_with(&drawn(&mut view, 120, 30), " function");
}

/// Rows move between two answers of the service; the choice goes with its row.
#[test]
fn the_chosen_row_stays_chosen() {
    let mut view = view();
    view.take(poll(1));
    type_in(&mut view, "/hold_on_to\nj");
    let chosen = view.chosen().unwrap().key.clone();
    view.take(poll(1));
    for key in ["s", "s", "s"] {
        type_in(&mut view, key);
        assert_eq!(view.chosen().unwrap().key, chosen);
    }
}

/// Nothing is calm where nobody looked.
#[test]
fn what_was_not_sampled_is_told_beside_the_verdicts() {
    for (moment, gap) in [
        (0, None),
        (2, Some("sampling was off for a while: what leaked then")),
        (
            3,
            Some("sampling is off: a leak that begins now would not show"),
        ),
    ] {
        let mut view = View::new("http://127.0.0.1:6790/".to_owned(), poll(moment));
        let lines = drawn(&mut view, 80, 24);
        line_with(&lines, "nothing is known to leak or to grow");
        match gap {
            Some(words) => {
                line_with(&lines, words);
            }
            None => assert!(!lines.join("\n").contains("off")),
        }
    }
}

/// A number that lost its first digits is another number.
#[test]
fn numbers_are_whole_however_narrow_the_terminal_is() {
    let mut view = view();
    let of = |screen: &[String]| {
        let rows = screen.iter().skip_while(|line| !line.contains("rows by"));
        let cells = |row: &String| {
            let numbers = row.split("  ").map(str::trim);
            let numbers = numbers.filter(|cell| cell.contains("iB")).take(2);
            let plain = numbers.map(|cell| cell.split(" ±").next().unwrap_or(cell).to_owned());
            plain.collect::<Vec<_>>()
        };
        rows.skip(2).flat_map(cells).collect::<Vec<_>>()
    };
    for marked in [false, true] {
        if marked {
            type_in(&mut view, "m");
            view.take(poll(1));
        }
        let whole = of(&drawn(&mut view, 300, 40));
        assert!(
            whole.iter().any(|number| number.starts_with("64")),
            "{whole:?}"
        );
        for width in 24..160 {
            let screen = drawn(&mut view, width, 40);
            let shown = of(&screen);
            assert!(!shown.is_empty(), "{width}");
            for number in &shown {
                assert!(
                    whole.contains(number),
                    "{width}: {number}\n{}",
                    screen.join("\n")
                );
            }
        }
    }
}

/// No alarm is good news only where verdicts could be made.
#[test]
fn what_is_too_early_to_tell_is_not_calm() {
    let mut early = poll(0);
    early.too_early = Some("too early to tell: watched for 21 s of 30 s".to_owned());
    let mut view = View::new("http://127.0.0.1:6790/".to_owned(), early);
    let screen = drawn(&mut view, 80, 24).join("\n");
    assert!(screen.contains("21 s of 30 s"), "{screen}");
    assert!(!screen.contains("nothing is known"), "{screen}");
}

/// Terminals are resized to nothing now and then.
#[test]
fn any_size_can_be_drawn() {
    let mut view = view();
    type_in(&mut view, "m");
    for keys in ["", "/a", "\n", "\x1b?", "q"] {
        if keys == "q" {
            let end = press(&mut view, KeyEvent::from(KeyCode::Esc));
            assert_eq!(end, Deed::None);
        } else {
            type_in(&mut view, keys);
        }
        for (width, height) in [(1, 1), (5, 2), (20, 5), (60, 22), (300, 100)] {
            drawn(&mut view, width, height);
        }
    }
}

#[test]
fn the_way_out_is_open_everywhere() {
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    for keys in ["", "/", "?", "\n"] {
        let mut view = view();
        type_in(&mut view, keys);
        assert_eq!(press(&mut view, control_c), Deed::Quit, "{keys:?}");
    }
    let mut view = view();
    for (key, deed) in [('q', Deed::Quit), ('w', Deed::Save), ('r', Deed::Ask)] {
        assert_eq!(press(&mut view, KeyEvent::from(KeyCode::Char(key))), deed);
        let named = keys::KEYS.iter().any(|(keys, _)| keys.contains(key));
        assert!(named, "{key} is not in the help");
    }
}

/// What another process held is nothing to compare with.
#[test]
fn a_restart_takes_the_mark_away() {
    let mut view = view();
    type_in(&mut view, "m");
    let profile = poll(1).snapshot.pprof().encode();
    let other = Poll {
        // Of no process that is known, so of another.
        snapshot: Snapshot::read(&*profile).unwrap(),
        ..poll(1)
    };
    view.take(other);
    let screen = drawn(&mut view, 120, 30);
    line_with(&screen, "the service restarted");
    line_with(&screen, "the mark went");
    line_with(&screen, "rows by live bytes");
    assert!(!screen.join("\n").contains("since the mark"), "{screen:?}");
}

/// A service that does not answer is told of, and what was known stays on the screen.
#[test]
fn silence_is_told() {
    let mut view = view();
    let words =
        "connection refused: is the service running, with heapwatch::serve on this address?";
    view.lose(words.to_owned());
    line_with(&drawn(&mut view, 120, 30), "connection refused");
    for width in [80, 60, 40] {
        let screen = drawn(&mut view, width, 30);
        let all: Vec<&str> = screen
            .iter()
            .flat_map(|line| line.split_whitespace())
            .collect();
        assert!(all.join(" ").contains(words), "{screen:?}");
    }
    view.take(poll(1));
    line_with(&drawn(&mut view, 120, 30), "answers again");
}
