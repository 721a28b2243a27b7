//! Which columns of numbers a table has beside its names, by how wide it may be.
//!
//! Numbers are whole or not there; names are folded into what is left, and cut if they must be.

/// What a column of numbers shows.
pub(super) trait Column: Copy + 'static {
    /// What a table may have, fullest first.
    const LAYOUTS: &'static [&'static [Self]];

    /// Columns of the names that numbers are left out for.
    const NAMES: usize;

    /// Between numbers and names.
    const GAP: usize;

    fn width(self) -> usize;
}

/// The numbers of a table of some width.
pub(super) struct Numbers<C: Column>(&'static [C]);

impl<C: Column> Numbers<C> {
    /// As many as leave enough for names; else the fewest.
    pub(super) fn within(width: usize) -> Numbers<C> {
        let all = C::LAYOUTS.iter().copied().map(Numbers);
        let enough = |numbers: &Numbers<C>| numbers.width() + C::NAMES <= width;
        let fewest = Numbers(C::LAYOUTS.last().copied().unwrap_or_default());
        all.into_iter().find(enough).unwrap_or(fewest)
    }

    /// Columns before the names.
    pub(super) fn width(&self) -> usize {
        let between = self.0.len().saturating_sub(1);
        self.0.iter().map(|column| column.width()).sum::<usize>() + between + C::GAP
    }

    /// What stands before a name: the text of each column, to the right.
    pub(super) fn line(&self, text: impl Fn(C) -> String) -> String {
        let cells = self.0.iter();
        let cells = cells.map(|&column| format!("{:>1$}", text(column), column.width()));
        cells.collect::<Vec<_>>().join(" ") + &" ".repeat(C::GAP)
    }
}

/// Words on as many lines as they need.
pub(super) fn fold(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            *line += word;
        }
    }
    lines
}
