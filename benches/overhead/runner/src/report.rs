//! The figures as tables.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::duel::Cost;
use crate::statistics::Summary;

const MIB: f64 = (1 << 20) as f64;

/// One variant on one workload, over all rounds.
#[derive(Serialize)]
pub struct Cell {
    /// The column.
    pub workload: &'static str,
    /// The row.
    pub variant: &'static str,
    /// Pairs of runs.
    pub rounds: usize,
    /// CPU time of the variant over that of its base, pair by pair.
    pub cpu_ratio: Summary,
    /// Median.
    pub base_cpu_seconds: f64,
    /// Peak RSS of the variant less that of its base, pair by pair.
    pub rss_difference_bytes: Summary,
    /// Median.
    pub base_rss_bytes: f64,
}

impl Cell {
    /// From the costs of base and variant, in this order, one pair a round.
    pub fn new(workload: &'static str, variant: &'static str, pairs: &[[Cost; 2]]) -> Cell {
        let over = |figure: fn(&[Cost; 2]) -> f64| Summary::of(pairs.iter().map(figure));
        Cell {
            workload,
            variant,
            rounds: pairs.len(),
            cpu_ratio: over(|[base, variant]| variant.cpu_seconds / base.cpu_seconds),
            base_cpu_seconds: over(|[base, _]| base.cpu_seconds).median,
            rss_difference_bytes: over(|[base, variant]| {
                variant.peak_rss_bytes as f64 - base.peak_rss_bytes as f64
            }),
            base_rss_bytes: over(|[base, _]| base.peak_rss_bytes as f64).median,
        }
    }

    fn cpu(&self) -> String {
        let Summary {
            median,
            lower_quartile,
            upper_quartile,
        } = self.cpu_ratio;
        format!("{median:.3} ({lower_quartile:.3}–{upper_quartile:.3})")
    }

    fn memory(&self) -> String {
        let more = self.rss_difference_bytes.median;
        format!(
            "{:+.1} MiB ({:+.1} %)",
            more / MIB,
            100.0 * more / self.base_rss_bytes
        )
    }
}

/// All cells, as two Markdown tables.
pub struct Tables<'a>(pub &'a [Cell]);

impl Display for Tables<'_> {
    fn fmt(&self, out: &mut Formatter) -> fmt::Result {
        writeln!(
            out,
            "CPU time over that of bare jemalloc: median (quartiles) over pairs\n"
        )?;
        self.table(out, Cell::cpu)?;
        writeln!(
            out,
            "\nPeak RSS beyond that of bare jemalloc: median over pairs\n"
        )?;
        self.table(out, Cell::memory)
    }
}

impl Tables<'_> {
    fn table(&self, out: &mut Formatter, show: fn(&Cell) -> String) -> fmt::Result {
        let workloads = distinct(self.0.iter().map(|cell| cell.workload));
        writeln!(out, "| | {} |", workloads.join(" | "))?;
        writeln!(out, "| --- |{}", " --- |".repeat(workloads.len()))?;
        for variant in distinct(self.0.iter().map(|cell| cell.variant)) {
            write!(out, "| {variant} |")?;
            for workload in &workloads {
                let mut cells = self.0.iter();
                let cell = cells.find(|c| c.variant == variant && c.workload == *workload);
                write!(out, " {} |", cell.map(show).unwrap_or_default())?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// Without repetitions, in the order of first appearance.
fn distinct(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}
