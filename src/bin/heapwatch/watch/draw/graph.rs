//! Live bytes and physical memory since the watching began.

use heapwatch::report::Estimate;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType};

use super::{QUIET, duration};
use crate::watch::view::View;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let points = view.past.points();
    let live: Vec<(f64, f64)> = points
        .iter()
        .map(|point| (point.seconds, point.live))
        .collect();
    let resident: Vec<(f64, f64)> = points
        .iter()
        .filter_map(|point| Some((point.seconds, point.resident?)))
        .collect();
    let begin = points.first().map_or(0.0, |point| point.seconds);
    let end = points
        .last()
        .map_or(0.0, |point| point.seconds)
        .max(begin + 10.0);
    let all = live.iter().chain(&resident);
    // At least a byte, so that an empty heap has an axis too.
    let highest = all.map(|(_, bytes)| *bytes).fold(1.0, f64::max) * 1.05;
    let line = |name, data, color| {
        Dataset::default()
            .name(name)
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(color))
            .data(data)
    };
    let mut sets = vec![line("live", &live, Color::Cyan)];
    if !resident.is_empty() {
        sets.push(line("resident", &resident, Color::Magenta));
    }
    let time = Axis::default().style(QUIET).bounds([begin, end]).labels([
        Line::from(format!("{} ago", duration(end - begin))),
        "now".into(),
    ]);
    let memory = Axis::default()
        .style(QUIET)
        .bounds([0.0, highest])
        .labels([Line::from("0"), Line::from(about(highest))]);
    let chart = Chart::new(sets)
        .block(Block::new())
        .x_axis(time)
        .y_axis(memory);
    frame.render_widget(chart, area);
}

/// Two digits are enough on an axis.
fn about(bytes: f64) -> String {
    let unit = 1024f64.powf(bytes.max(1.0).log(1024.0).floor());
    let tens = if bytes / unit < 10.0 { 0.1 } else { 1.0 };
    Estimate::exact((bytes / unit / tens).round() * tens * unit).bytes_text()
}
