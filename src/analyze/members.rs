//! Which sites have their own time series.

/// Sites that are shown one by one.
pub(crate) const MEMBERS: usize = 20;

/// How many times the bytes of the smallest member a newcomer must hold to take its place.
const MARGIN: f64 = 1.25;

/// The sites to show now, so many, most bytes first, equal ones by id.
///
/// A site that was shown stays unless one outside holds a quarter more: two sites of the same size
/// that took turns at the last rank would otherwise leave two series full of gaps, and with many such
/// sites each scrape would make new series. `bytes` has every site once; one that holds nothing is
/// not shown.
pub(crate) fn members(shown: &[u64], sites: &[(u64, f64)], places: usize) -> Vec<u64> {
    let mut ranked: Vec<(u64, f64)> = sites.to_vec();
    ranked.retain(|(_, bytes)| *bytes > 0.0);
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));

    let (mut members, mut others): (Vec<_>, Vec<_>) =
        ranked.into_iter().partition(|(id, _)| shown.contains(id));
    others.truncate(places);
    members.truncate(places);
    for newcomer in others {
        if members.len() == places {
            let smallest = members[places - 1].1;
            if newcomer.1 <= smallest * MARGIN {
                break;
            }
            members.pop();
        }
        let place = members.partition_point(|(id, bytes)| {
            bytes
                .total_cmp(&newcomer.1)
                .reverse()
                .then(id.cmp(&newcomer.0))
                .is_lt()
        });
        members.insert(place, newcomer);
    }
    members.into_iter().map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sites 1..=n holding n·100, …, 200, 100 bytes.
    fn sites(n: u64) -> Vec<(u64, f64)> {
        (1..=n)
            .map(|id| (id, ((n - id + 1) * 100) as f64))
            .collect()
    }

    #[test]
    fn first_come_the_largest_in_order() {
        let expected: Vec<u64> = (1..=20).collect();
        assert_eq!(members(&[], &sites(30), MEMBERS), expected);
        assert_eq!(members(&[], &sites(3), MEMBERS), [1, 2, 3]);
        assert!(members(&[], &[(7, 0.0)], MEMBERS).is_empty());
        assert!(members(&[1], &sites(3), 0).is_empty());
    }

    /// Without the margin, sampling noise at rank 20 would make and drop series at every scrape.
    #[test]
    fn a_member_stays_until_a_newcomer_is_clearly_larger() {
        let mut table = sites(21);
        let shown = members(&[], &table, MEMBERS);
        assert!(shown.contains(&20) && !shown.contains(&21));
        table[20].1 = 200.0 * 1.25;
        assert_eq!(members(&shown, &table, MEMBERS).len(), 20);
        assert!(members(&shown, &table, MEMBERS).contains(&20));
        table[20].1 = 200.0 * 1.26;
        let next = members(&shown, &table, MEMBERS);
        assert!(next.contains(&21) && !next.contains(&20));
        assert_eq!(next.len(), 20);
    }

    /// A new leak must be shown at once however stable the members are.
    #[test]
    fn a_large_newcomer_takes_the_smallest_member_s_place() {
        let shown: Vec<u64> = (1..=20).collect();
        let mut table = sites(20);
        table.push((99, 1e9));
        let next = members(&shown, &table, MEMBERS);
        assert_eq!(next[0], 99);
        assert!(!next.contains(&20) && next.contains(&19));
    }

    #[test]
    fn a_member_that_holds_nothing_any_more_leaves() {
        let mut table = sites(21);
        let shown = members(&[], &table, MEMBERS);
        table[4].1 = 0.0;
        let next = members(&shown, &table, MEMBERS);
        assert!(!next.contains(&5) && next.contains(&21));
    }

    /// After any history, no site outside is more than the margin above the smallest inside.
    #[test]
    fn members_are_the_largest_within_the_margin() {
        let mut shown = Vec::new();
        let mut state = 7u64;
        for _ in 0..500 {
            let table: Vec<(u64, f64)> = (0..60)
                .map(|id| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    (id, (state >> 40) as f64)
                })
                .collect();
            shown = members(&shown, &table, MEMBERS);
            assert_eq!(shown.len(), MEMBERS);
            let bytes = |id: &u64| table[*id as usize].1;
            let smallest = shown.iter().map(bytes).fold(f64::INFINITY, f64::min);
            for (id, bytes) in &table {
                assert!(shown.contains(id) || *bytes <= smallest * MARGIN);
            }
            assert!(shown.is_sorted_by(|a, b| bytes(a) >= bytes(b)));
        }
    }
}
