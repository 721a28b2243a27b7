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
const PLAIN: u16 = 9;

/// Terminals narrower than this show less of a row.
const NARROW: u16 = 90;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let marked = view.marked_seconds().is_some();
    let wide = area.width >= NARROW;
    let mut titles = vec![right("live")];
    let mut widths = vec![Constraint::Length(WITH_ERROR)];
    if marked {
        titles.push(right("change"));
        widths.push(Constraint::Length(WITH_ERROR));
    }
    if wide {
        titles.extend([right("objects"), right("allocated")]);
        widths.extend([Constraint::Length(PLAIN); 2]);
    }
    titles.push(Text::from(view.by.to_string()));
    widths.push(Constraint::Min(20));
    let rows: Vec<Row<'_>> = view.rows().map(|line| row(line, marked, wide)).collect();
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(QUIET.add_modifier(Modifier::BOLD)))
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::new().borders(Borders::TOP).title(title(view)));
    frame.render_stateful_widget(table, area, &mut view.table);
}

fn row(line: &lines::Line, marked: bool, wide: bool) -> Row<'static> {
    let mut cells = vec![right(&line.live.bytes_text())];
    if marked {
        let (text, style) = match line.change {
            Some(change) if change.significant && change.bytes.estimate > 0.0 => {
                (change.bytes.change_text(), GREW)
            }
            Some(change) if change.significant => (change.bytes.change_text(), SHRANK),
            Some(change) => (change.bytes.change_text(), QUIET),
            None => (String::new(), QUIET),
        };
        cells.push(right(&text).style(style));
    }
    if wide {
        cells.push(right(&line.objects.count_text()));
        cells.push(right(&without_error(&line.allocated)));
    }
    let mut name = Vec::new();
    if let Some(verdict) = &line.verdict {
        name.push(Span::styled(format!("{verdict} "), GREW.bold()));
    }
    name.push(Span::raw(line.name.clone()));
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

fn without_error(bytes: &heapwatch::report::Estimate) -> String {
    let text = bytes.bytes_text();
    match text.split_once(" ± ") {
        Some((value, _)) => value.to_owned(),
        None => text,
    }
}
