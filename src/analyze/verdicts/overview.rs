//! The verdicts in short, for those who ask often: most call sites are only counted.

use std::collections::HashMap;

use super::{Growth, Judged};
use crate::analyze::growth::{Group, Verdict};
use crate::analyze::{FrameBudget, MEMBERS, members};
use crate::snapshot::Snapshot;

/// How many have each verdict, and the most important ones.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    /// Every verdict once.
    pub(crate) counts: Vec<(Verdict, usize)>,
    /// All that alarm, worst first, then those that hold most; twenty at most. Of those that are calm
    /// who was shown before stays, until another holds clearly more.
    pub(crate) shown: Vec<Growth>,
}

impl Snapshot {
    /// What [`growth`](Snapshot::growth) says, in short, to one who was told `before`. Words are made for
    /// what is shown alone.
    pub(crate) fn growth_overview(&self, before: Option<&Overview>) -> Option<Overview> {
        let shown = before.iter().flat_map(|before| &before.shown);
        let shown: Vec<u64> = shown.map(|growth| growth.site).collect();
        Some(Overview::of(&Judged::of(self)?, &shown))
    }
}

impl Overview {
    fn of(judged: &Judged<'_>, before: &[u64]) -> Self {
        let groups = || judged.groups.iter();
        let count = |verdict| {
            let same = groups().filter(|group| group.judgement.verdict == verdict);
            same.count()
        };
        let (alarms, calm): (Vec<&Group>, Vec<&Group>) = groups()
            .filter(|group| group.judgement.verdict != Verdict::TooEarly)
            .partition(|group| group.judgement.alarms());
        let id = |group: &Group| judged.named(&judged.sites(group), before).site.id;
        let calm: HashMap<u64, &Group> = calm.into_iter().map(|one| (id(one), one)).collect();
        let bytes: Vec<(u64, f64)> = calm
            .iter()
            .map(|(id, group)| (*id, judged.live(group).bytes))
            .collect();
        let places = MEMBERS.saturating_sub(alarms.len());
        let calm = members(before, &bytes, places)
            .into_iter()
            .map(|id| calm[&id]);
        let mut frames = FrameBudget::default();
        Overview {
            counts: Verdict::ALL.map(|one| (one, count(one))).to_vec(),
            shown: alarms
                .into_iter()
                .take(MEMBERS)
                .chain(calm)
                .map(|group| judged.growth(group, before, &mut frames))
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
        let overview = snapshot.growth_overview(None).unwrap();
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
