//! What is known and what was chosen. Knows neither the terminal nor the network.

use std::time::{Duration, Instant};

use heapwatch::Snapshot;
use heapwatch::growth::Growth;
use heapwatch::report::{Amounts, By};
use ratatui::widgets::TableState;

use super::lines::{Line, Order, arrange, lines};
use super::past::Past;
use super::poll::Poll;

/// How long a remark stays.
const REMARK: Duration = Duration::from_secs(10);

/// What lies over the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    /// The filter is being typed.
    Filter,
    /// The stack of the chosen row, from this line on.
    Stack(u16),
    Help,
}

/// A moment to compare with.
pub(super) struct Mark {
    snapshot: Snapshot,
    at: Instant,
}

pub(super) struct View {
    pub(super) source: String,
    poll: Poll,
    total: Amounts,
    mark: Option<Mark>,
    pub(super) by: By,
    pub(super) order: Order,
    filter: String,
    pub(super) over: Over,
    lines: Vec<Line>,
    /// Places in `lines` of those that the filter lets through.
    shown: Vec<usize>,
    /// Which row is chosen, by its key: rows move.
    chosen: Option<String>,
    /// Which row that is now, and the first one on the screen.
    pub(super) table: TableState,
    pub(super) past: Past,
    begun: Instant,
    polled: Instant,
    trouble: Option<String>,
    remark: Option<(String, Instant)>,
}

impl View {
    pub(super) fn new(source: String, first: Poll) -> View {
        let now = Instant::now();
        let mut view = View {
            source,
            poll: first,
            total: Amounts::default(),
            mark: None,
            by: By::Site,
            order: Order::Live,
            filter: String::new(),
            over: Over::Nothing,
            lines: Vec::new(),
            shown: Vec::new(),
            chosen: None,
            table: TableState::default(),
            past: Past::default(),
            begun: now,
            polled: now,
            trouble: None,
            remark: None,
        };
        view.note();
        view.refresh();
        view
    }

    /// Takes a new answer in.
    pub(super) fn take(&mut self, poll: Poll) {
        let (old, new) = (self.poll.snapshot.info(), poll.snapshot.info());
        let remark = if (old.pid, old.profile_id) != (new.pid, new.profile_id) {
            let restarted = format!(
                "the service restarted: pid {} is now pid {}",
                old.pid, new.pid
            );
            Some(match self.drop_mark() {
                true => restarted + "; the mark went with the old one, m sets another",
                false => restarted,
            })
        } else {
            let again = "the service answers again".to_owned();
            self.trouble.is_some().then_some(again)
        };
        self.trouble = None;
        self.polled = Instant::now();
        self.poll = poll;
        self.note();
        self.refresh();
        if let Some(remark) = remark {
            self.say(remark);
        }
    }

    /// The service did not answer. What is shown stays.
    pub(super) fn lose(&mut self, words: String) {
        self.trouble = Some(words);
    }

    /// Shows a remark for a while.
    pub(super) fn say(&mut self, remark: String) {
        self.remark = Some((remark, Instant::now()));
    }

    pub(super) fn remark(&self) -> Option<&str> {
        let (words, at) = self.remark.as_ref()?;
        (at.elapsed() < REMARK).then_some(words)
    }

    /// Why the service does not answer, and for how many seconds it has not.
    pub(super) fn trouble(&self) -> Option<(&str, u64)> {
        let words = self.trouble.as_deref()?;
        Some((words, self.polled.elapsed().as_secs()))
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.poll.snapshot
    }

    /// What the heap holds as a whole.
    pub(super) fn total(&self) -> &Amounts {
        &self.total
    }

    /// Those that leak or grow, worst first.
    pub(super) fn alarms(&self) -> &[Growth] {
        &self.poll.alarms
    }

    /// Why nothing can be said of growth yet, where that is so.
    pub(super) fn too_early(&self) -> Option<&str> {
        self.poll.too_early.as_deref()
    }

    /// The rows that the filter lets through, in order.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &Line> {
        self.shown.iter().map(|&place| &self.lines[place])
    }

    pub(super) fn all_rows(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    /// Seconds since the mark was set.
    pub(super) fn marked_seconds(&self) -> Option<u64> {
        Some(self.mark.as_ref()?.at.elapsed().as_secs())
    }

    pub(super) fn chosen(&self) -> Option<&Line> {
        let row = self.table.selected()?;
        self.lines.get(*self.shown.get(row)?)
    }

    /// Compares with this moment from now on.
    pub(super) fn mark(&mut self) {
        self.mark = Some(Mark {
            snapshot: self.poll.snapshot.clone(),
            at: self.polled,
        });
        self.order = Order::Change;
        self.refresh();
    }

    pub(super) fn unmark(&mut self) {
        self.drop_mark();
        self.refresh();
    }

    /// Whether there was one.
    fn drop_mark(&mut self) -> bool {
        if self.order == Order::Change {
            self.order = Order::Live;
        }
        self.mark.take().is_some()
    }

    pub(super) fn next_order(&mut self) {
        self.order = self.order.next();
        if self.order == Order::Change && self.mark.is_none() {
            self.order = self.order.next();
        }
        self.rearrange();
    }

    pub(super) fn next_group(&mut self) {
        self.by = By::all()
            .chain(By::all())
            .skip_while(|by| *by != self.by)
            .nth(1)
            .unwrap_or(By::Site);
        self.chosen = None;
        self.refresh();
    }

    /// The stack of a site, or the sites of what is several.
    pub(super) fn open(&mut self) {
        let Some(line) = self.chosen() else { return };
        if self.by == By::Site {
            self.over = Over::Stack(0);
        } else {
            // A crate's version is in no stack.
            let words = if self.by == By::Crate { 1 } else { usize::MAX };
            let words: Vec<&str> = line.name.split_whitespace().take(words).collect();
            self.filter = words.join(" ");
            self.by = By::Site;
            self.chosen = None;
            self.refresh();
        }
    }

    pub(super) fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.rearrange();
    }

    /// Chooses a row that lies so many further down.
    pub(super) fn go(&mut self, by: isize) {
        let last = self.shown.len().saturating_sub(1);
        let row = self
            .table
            .selected()
            .map_or(0, |row| row.saturating_add_signed(by).min(last));
        self.choose(row);
    }

    fn choose(&mut self, row: usize) {
        let line = self.shown.get(row).and_then(|&place| self.lines.get(place));
        self.chosen = line.map(|line| line.key.clone());
        self.table.select(line.map(|_| row));
    }

    fn note(&mut self) {
        let snapshot = &self.poll.snapshot;
        // Once for each snapshot: it goes through all sites.
        self.total = snapshot.top(By::Crate).total();
        let resident = snapshot.info().process.resident_bytes;
        self.past.push(
            self.begun.elapsed(),
            snapshot.live().bytes,
            resident.map(|bytes| bytes as f64),
        );
    }

    fn refresh(&mut self) {
        let mark = self.mark.as_ref().map(|mark| &mark.snapshot);
        self.lines = lines(&self.poll.snapshot, mark, self.by, &self.poll.alarms);
        self.rearrange();
    }

    fn rearrange(&mut self) {
        self.shown = arrange(&mut self.lines, self.order, &self.filter);
        let is_chosen = |line: &Line| Some(&line.key) == self.chosen.as_ref();
        let row = self.rows().position(is_chosen);
        // A row that is gone leaves the choice where it was on the screen.
        let row = row.or(self.table.selected()).unwrap_or(0);
        self.choose(row.min(self.shown.len().saturating_sub(1)));
    }
}
