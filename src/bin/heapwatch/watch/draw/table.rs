//! The table of those who hold memory.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Row, Table};

use super::{GREW, QUIET, SHRANK, duration};
use crate::watch::lines;
use crate::watch::view::View;

/// Columns of an estimate with its error, and of one without.
const WITH_ERROR: u16 = 17;
const PLAIN: u16 = 10;

const GAP: u16 = 2;

/// Room for names that numbers are left out for, and that objects and allocated bytes are.
const NAME: u16 = 16;
const LONG_NAME: u16 = 28;

/// What there is room for. A number is shown whole or not at all: one that lost its first digits
/// would be another.
#[derive(Clone, Copy)]
struct Columns {
    live: bool,
    change: bool,
    errors: bool,
    rest: bool,
}

impl Columns {
    fn fit(width: u16, marked: bool) -> Columns {
        let of = |live, errors, rest| Columns {
            live,
            change: marked,
            errors,
            rest,
        };
        let fits = |columns: &Columns| {
            let least = if columns.rest { LONG_NAME } else { NAME };
            columns.room(width) >= least
        };
        [
            of(true, true, true),
            of(true, true, false),
            of(true, false, false),
        ]
        .into_iter()
        .find(fits)
        .unwrap_or(of(!marked, false, false))
    }

    /// The widths of the numbers.
    fn numbers(self) -> Vec<u16> {
        let estimate = if self.errors { WITH_ERROR } else { PLAIN };
        let estimates = usize::from(self.live) + usize::from(self.change);
        let mut widths = vec![estimate; estimates];
        if self.rest {
            widths.extend([PLAIN; 2]);
        }
        widths
    }

    /// What they leave for names.
    fn room(self, width: u16) -> u16 {
        let numbers = self.numbers();
        width.saturating_sub(numbers.iter().map(|one| one + GAP).sum())
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let columns = Columns::fit(area.width, view.marked_seconds().is_some());
    let room = usize::from(columns.room(area.width));
    let mut titles = Vec::new();
    if columns.live {
        titles.push(right("live"));
    }
    if columns.change {
        titles.push(right("change"));
    }
    if columns.rest {
        titles.extend([right("objects"), right("allocated")]);
    }
    titles.push(Text::from(view.by.to_string()));
    let widths = columns.numbers().into_iter().map(Constraint::Length);
    // Names get what the numbers leave.
    let widths = widths.chain([Constraint::Fill(1)]);
    let rows: Vec<Row<'_>> = view.rows().map(|line| row(line, columns, room)).collect();
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(QUIET.add_modifier(Modifier::BOLD)))
        .column_spacing(GAP)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::new().borders(Borders::TOP).title(title(view)));
    frame.render_stateful_widget(table, area, &mut view.table);
}

fn row(line: &lines::Line, columns: Columns, room: usize) -> Row<'static> {
    let text = |text: String| match columns.errors {
        true => text,
        false => without_error(text),
    };
    let mut cells = Vec::new();
    if columns.live {
        cells.push(right(&text(line.live.bytes_text())));
    }
    if columns.change {
        let (words, style) = match line.change {
            Some(change) if change.significant && change.bytes.estimate > 0.0 => {
                (change.bytes.change_text(), GREW)
            }
            Some(change) if change.significant => (change.bytes.change_text(), SHRANK),
            Some(change) => (change.bytes.change_text(), QUIET),
            None => (String::new(), QUIET),
        };
        cells.push(right(&text(words)).style(style));
    }
    if columns.rest {
        cells.push(right(&line.objects.count_text()));
        cells.push(right(&without_error(line.allocated.bytes_text())));
    }
    let mut name = Vec::new();
    if let Some(verdict) = &line.verdict {
        name.push(Span::styled(format!("{verdict} "), GREW.bold()));
    }
    let used: usize = name.iter().map(Span::width).sum();
    name.push(Span::raw(end(&line.name, room.saturating_sub(used))));
    if let Some(location) = &line.location {
        name.push(Span::styled(format!(" ({location})"), QUIET));
    }
    if let Some(own) = &line.own {
        name.push(Span::styled(format!(" ← {own}"), QUIET));
    }
    cells.push(Text::from(Line::from(name)));
    Row::new(cells.into_iter().map(Cell::from))
}

fn title(view: &View) -> Line<'static> {
    let mut title = format!(" {} rows by {}", view.rows().len(), view.order.name());
    if !view.filter().is_empty() {
        title += &format!(", of {}, with “{}”", view.all_rows(), view.filter());
    }
    if let Some(seconds) = view.marked_seconds() {
        title += &format!(", change since the mark {} ago", duration(seconds as f64));
    }
    Line::from(title + " ").bold()
}

fn right(text: &str) -> Text<'static> {
    Text::from(text.to_owned()).alignment(Alignment::Right)
}

/// The end of a name that is too long: what it is tells more than in which crate.
fn end(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let kept = name.chars().skip(length + 1 - width.clamp(1, length));
    ['…'].into_iter().chain(kept).collect()
}

fn without_error(text: String) -> String {
    match text.split_once(" ± ") {
        Some((value, _)) => value.to_owned(),
        None => text,
    }
}
