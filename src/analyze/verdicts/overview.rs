//! The verdicts in short, for those who ask often: most call sites are only counted.

use super::{Growth, Judged};
use crate::analyze::FrameBudget;
use crate::analyze::growth::{Group, Verdict};
use crate::snapshot::Snapshot;

/// Groups of call sites that are told in words.
const SHOWN: usize = 20;

/// How many have each verdict, and the most important ones.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    /// Every verdict once.
    pub(crate) counts: Vec<(Verdict, usize)>,
    /// All that alarm, worst first, then those that hold most; twenty at most.
    pub(crate) shown: Vec<Growth>,
}

impl Snapshot {
    /// What [`growth`](Snapshot::growth) says, in short. Words are made for what is shown alone.
    pub(crate) fn growth_overview(&self) -> Option<Overview> {
        Some(Overview::of(&Judged::of(self)?))
    }
}

impl Overview {
    fn of(judged: &Judged<'_>) -> Self {
        let groups = || judged.groups.iter();
        let count = |verdict| {
            let same = groups().filter(|group| group.judgement.verdict == verdict);
            same.count()
        };
        let (alarms, mut calm): (Vec<&Group>, Vec<&Group>) = groups()
            .filter(|group| group.judgement.verdict != Verdict::TooEarly)
            .partition(|group| group.judgement.alarms());
        let live_bytes = |group: &Group| judged.live(group).bytes;
        calm.sort_by(|a, b| live_bytes(b).total_cmp(&live_bytes(a)));
        let mut frames = FrameBudget::default();
        let shown = alarms.into_iter().chain(calm).take(SHOWN);
        Overview {
            counts: Verdict::ALL.map(|one| (one, count(one))).to_vec(),
            shown: shown
                .map(|group| judged.growth(group, &mut frames))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    /// What is counted and shown must be what the whole report says.
    #[test]
    fn an_overview_is_the_report_in_short() {
        let snapshot = crate::analyze::watched_sample();
        let report = snapshot.growth().unwrap();
        let overview = snapshot.growth_overview().unwrap();
        for (verdict, count) in &overview.counts {
            assert_eq!(*count, report.count(*verdict), "{verdict:?}");
        }
        assert!(report.verdicts.len() > 1 && !overview.shown.is_empty());
        assert_eq!(overview.shown[0], report.verdicts[0]);
        for growth in &overview.shown {
            assert!(report.verdicts.contains(growth));
        }
    }
}
