//! What lies over the table for a while.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Stylize;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::{QUIET, middle};
use crate::watch::keys::KEYS;
use crate::watch::view::View;

pub(super) fn stack(frame: &mut Frame<'_>, area: Rect, view: &View, from: u16) {
    let Some(line) = view.chosen() else { return };
    let mut text: Vec<Line<'_>> = line
        .frames
        .iter()
        .enumerate()
        .map(|(depth, frame)| Line::from(format!("{depth:>3}  {frame}")))
        .collect();
    if text.is_empty() {
        text.push(Line::styled("no stack could be captured here", QUIET));
    }
    let title = format!(
        " site {}: {} live in {} objects, {} allocated ",
        line.key,
        line.live.bytes_text(),
        line.objects.count_text(),
        line.allocated.bytes_text(),
    );
    let block = Block::bordered()
        .title(title.bold())
        .title_bottom(" innermost first; ↑ ↓ to read on, Esc back ");
    let stack = Paragraph::new(text).scroll((from, 0)).block(block);
    frame.render_widget(Clear, area);
    frame.render_widget(stack, area);
}

pub(super) fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(keys, meaning)| Line::from(vec![format!("{keys:<30}").bold(), (*meaning).into()]))
        .collect();
    let area = middle(area, 100, lines.len() as u16 + 2);
    let help = Paragraph::new(lines).wrap(Wrap { trim: false }).block(
        Block::bordered()
            .title(" keys ")
            .title_bottom(" any key goes back "),
    );
    frame.render_widget(Clear, area);
    frame.render_widget(help, area);
}
