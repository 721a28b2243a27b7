//! The screen: who is watched, the graph, what leaks, the table.

mod graph;
mod popup;
mod table;

use heapwatch::report::Estimate;
use heapwatch::snapshot::Info;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::view::{Over, View};
use crate::fold::fold_words;

/// Screens lower than this have no graph.
const ROOM_FOR_GRAPH: u16 = 22;
const GRAPH: u16 = 9;

/// Verdicts that are shown, worst first.
const ALARMS: usize = 3;

const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
const GREW: Style = Style::new().fg(Color::Red);
const SHRANK: Style = Style::new().fg(Color::Green);

pub(super) fn view(frame: &mut Frame<'_>, view: &mut View) {
    let width = usize::from(frame.area().width);
    let (alarms, said_last) = (alarms(view, width), footer(view, width));
    let graph = if frame.area().height >= ROOM_FOR_GRAPH {
        GRAPH
    } else {
        0
    };
    let rows = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(graph),
        Constraint::Length(alarms.len() as u16),
        Constraint::Min(3),
        Constraint::Length(said_last.len() as u16),
    ]);
    let [head, past, said, rest, foot] = rows.areas(frame.area());
    frame.render_widget(Paragraph::new(header(view, width)), head);
    if graph > 0 {
        graph::draw(frame, past, view);
    }
    frame.render_widget(Paragraph::new(alarms), said);
    table::draw(frame, rest, view);
    frame.render_widget(Paragraph::new(said_last), foot);
    match view.over {
        Over::Stack(line) => popup::stack(frame, rest, view, line),
        Over::Help => popup::help(frame, frame.area()),
        Over::Nothing | Over::Filter => {}
    }
}

fn header(view: &View, width: usize) -> Vec<Line<'static>> {
    let snapshot = view.snapshot();
    let info = snapshot.info();
    let every = match info.interval_bytes {
        0 => "sampling is off".to_owned(),
        1 => "every allocation counted".to_owned(),
        bytes => format!(
            "a sample every {}",
            Estimate::exact(bytes as f64).bytes_text()
        ),
    };
    let who = vec![
        "heapwatch ".bold(),
        view.source.clone().into(),
        format!("  pid {}", info.pid).into(),
        format!(", watched {}", duration(info.watched_seconds)).into(),
        format!(", {every}").into(),
    ];
    let total = view.total();
    let mut what = vec![
        "live ".into(),
        total.live_bytes.bytes_text().bold(),
        format!(" in {} objects", total.live_objects.count_text()).into(),
    ];
    let process = &info.process;
    for (name, bytes) in [
        ("resident", process.resident_bytes),
        ("limit", process.limit_bytes),
    ] {
        if let Some(bytes) = bytes {
            let bytes = Estimate::exact(bytes as f64).bytes_text();
            what.push(format!(", {name} {bytes}").into());
        }
    }
    if let Some(threads) = process.threads {
        what.push(format!(", {threads} threads").into());
    }
    let lost: u64 = info.dropped.iter().map(|dropped| dropped.samples).sum();
    if lost > 0 {
        what.push(format!(", {lost} samples lost").fg(Color::Yellow));
    }
    [who, what].map(|parts| whole(parts, width)).into()
}

/// As many parts as there is room for: of a number that is cut, one would read another.
fn whole(parts: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let mut used = 0;
    let fits = |part: &Span<'_>| {
        used += part.width();
        used <= width
    };
    Line::from_iter(parts.into_iter().take_while(fits))
}

/// Words that are to be read to their end, on as many lines as they need.
fn over_lines(words: &str, width: usize, style: Style) -> Vec<Line<'static>> {
    let lines = fold_words(words, width, (0, 0));
    let styled = |line| Line::styled(line, style);
    lines.into_iter().map(styled).collect()
}

/// One line each, worst first; or one that says why there is none.
fn alarms(view: &View, width: usize) -> Vec<Line<'static>> {
    let alarms = view.alarms();
    let mut lines: Vec<Line<'static>> = alarms
        .iter()
        .take(ALARMS)
        .map(|growth| {
            let place = match &growth.location {
                Some(location) => format!("{} ({location})", growth.function),
                None => growth.function.clone(),
            };
            let rate = growth.rate_bytes_per_second.rate_text();
            Line::from(vec![
                Span::styled(format!("{} ", growth.verdict.name()), GREW.bold()),
                format!("{rate}: {place}; ").into(),
                Span::styled(growth.evidence.clone(), QUIET),
            ])
        })
        .collect();
    let more = alarms.len().saturating_sub(ALARMS);
    if more > 0 {
        lines.push(Line::styled(
            format!("and {more} more that leak or grow"),
            QUIET,
        ));
    }
    if lines.is_empty() {
        let words = view.too_early();
        let words = words.unwrap_or("nothing is known to leak or to grow");
        lines.extend(over_lines(words, width, QUIET));
    }
    let gap = gap(view.snapshot().info()).into_iter();
    lines.extend(gap.flat_map(|words| over_lines(words, width, QUIET)));
    lines
}

/// What verdicts cannot know.
fn gap(info: &Info) -> Option<&'static str> {
    match info.interval_bytes {
        0 => Some("sampling is off: a leak that begins now would not show"),
        _ => info
            .was_off
            .then_some("sampling was off for a while: what leaked then does not show"),
    }
}

fn footer(view: &View, width: usize) -> Vec<Line<'static>> {
    if view.over == Over::Filter {
        let filter = view.filter().to_owned();
        return vec![Line::from(vec!["/".bold(), filter.into(), "▏".into()])];
    }
    if let Some((words, seconds)) = view.trouble() {
        let words = format!("no answer for {}: {words}", duration(seconds as f64));
        let style = Style::new().fg(Color::Black).bg(Color::Yellow);
        return over_lines(&words, width, style);
    }
    if let Some(remark) = view.remark() {
        return over_lines(remark, width, Style::new().fg(Color::Cyan));
    }
    vec![Line::styled(
        "q end  s order  b group  / filter  m mark  Enter stack  w write  r now  ? help",
        QUIET,
    )]
}

/// `42 s`, `5 min 3 s`, `3 h 12 min`, `2 d 3 h`
fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600, whole / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// The middle of an area, as large as wanted and possible.
fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}
