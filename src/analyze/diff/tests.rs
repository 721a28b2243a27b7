use super::*;
use crate::snapshot::Origin;
use crate::snapshot::testing::{
    Builder, INTERVAL, Object, Simulated, dependency, frame, grown, own,
};

/// Sizes, and how many objects of each.
type Mix = Vec<(usize, usize)>;

fn of(size: usize, samples: f64) -> (usize, usize) {
    (
        size,
        (samples * INTERVAL as f64 / size as f64).round() as usize,
    )
}

fn mixes(samples: f64) -> Vec<Mix> {
    vec![
        vec![of(1 << 10, samples)],
        vec![of(20_000, samples)],
        vec![
            of(1 << 10, samples / 2.0),
            of(8_000, samples / 4.0),
            of(30_000, samples / 4.0),
        ],
    ]
}

fn bytes(mix: &Mix) -> f64 {
    mix.iter().map(|(size, n)| (size * n) as f64).sum()
}

/// Allocates all of a mix; only what was sampled is kept.
fn allocate(site: &mut Simulated, mix: &Mix) -> Vec<Object> {
    let mut sampled = Vec::new();
    for &(size, count) in mix {
        sampled.extend(
            (0..count)
                .map(|_| site.allocate(size))
                .filter(Option::is_some),
        );
    }
    sampled
}

/// The share of trials whose interval holds the truth.
fn coverage(trials: u64, seed: usize, trial: impl Fn(u64) -> (Estimate, f64)) -> f64 {
    let covered = (0..trials).filter(|index| {
        let (estimate, truth) = trial(*index + seed as u64 * 1_000_003);
        (estimate.low..=estimate.high).contains(&truth)
    });
    covered.count() as f64 / trials as f64
}

/// With 2,000 trials the standard error of a coverage of 95 % is 0.5 %; the bounds are the contract's.
#[test]
fn live_bytes_are_covered_by_the_real_sampler_and_counters() {
    for (index, samples) in [0.5, 1.0, 4.0, 16.0, 64.0].into_iter().enumerate() {
        for mix in mixes(samples) {
            let coverage = coverage(2_000, index, |seed| {
                let mut site = Simulated::new(seed);
                allocate(&mut site, &mix);
                let live = site.snapshot().live();
                (Estimate::bytes(&live, INTERVAL), bytes(&mix))
            });
            println!("live, {samples} samples: {coverage:.4} {mix:?}");
            assert!((0.93..=0.995).contains(&coverage), "{coverage} {mix:?}");
        }
    }
}

/// What happens in the window: births alone, deaths alone, both, and churn beside either; next to
/// what survives.
#[test]
fn changes_within_a_process_are_covered() {
    let expected = [0.5, 1.0, 4.0, 16.0, 64.0];
    let mut windows: Vec<(f64, f64, f64, f64)> = Vec::new();
    for n in expected {
        windows.extend([(n, 0.0, 0.0, 8.0), (0.0, n, 0.0, 0.0), (n, 16.0, 0.0, 30.0)]);
        windows.push((n, 0.0, 30.0, 0.0));
    }
    windows.extend([
        (0.5, 0.5, 0.0, 40.0),
        (1.0, 1.0, 0.0, 4.0),
        (4.0, 4.0, 0.0, 0.0),
    ]);
    for (index, (births, deaths, churn, stable)) in windows.into_iter().enumerate() {
        for kind in 0..3 {
            let [births, deaths, churn, stable] =
                [births, deaths, churn, stable].map(|n| mixes(n)[kind].clone());
            let coverage = coverage(2_000, index, |seed| {
                let mut site = Simulated::new(seed);
                allocate(&mut site, &stable);
                let doomed = allocate(&mut site, &deaths);
                let before = site.snapshot();
                allocate(&mut site, &births);
                for object in allocate(&mut site, &churn).iter().chain(&doomed) {
                    site.free(object);
                }
                let change = before.diff(&site.snapshot()).total().live_bytes;
                (change, bytes(&births) - bytes(&deaths))
            });
            println!("{coverage:.4}: +{births:?} -{deaths:?} ±{churn:?} ={stable:?}");
            assert!(
                (0.93..=0.995).contains(&coverage),
                "{coverage}: +{births:?} -{deaths:?} ±{churn:?} ={stable:?}"
            );
        }
    }
}

/// All pairs of expected births and deaths of all kinds of sizes, which takes minutes:
/// `cargo test --release --lib every_pair -- --ignored --nocapture`.
#[test]
#[ignore = "a study: docs/diff.md"]
fn every_pair_of_births_and_deaths_is_covered() {
    let expected = [0.0, 0.5, 1.0, 4.0, 16.0, 64.0];
    let pairs = expected.map(|births| expected.map(|deaths| (births, deaths)));
    let pairs = pairs
        .into_iter()
        .flatten()
        .filter(|pair| *pair != (0.0, 0.0));
    let mut worst = Vec::new();
    for (index, (births, deaths)) in pairs.enumerate() {
        for kind in 0..3 {
            let [births, deaths] = [births, deaths].map(|n| mixes(n)[kind].clone());
            let coverage = coverage(4_000, index, |seed| {
                let mut site = Simulated::new(seed);
                let doomed = allocate(&mut site, &deaths);
                let before = site.snapshot();
                allocate(&mut site, &births);
                doomed.iter().for_each(|object| site.free(object));
                let change = before.diff(&site.snapshot()).total().live_bytes;
                (change, bytes(&births) - bytes(&deaths))
            });
            println!("{coverage:.4}: +{births:?} -{deaths:?}");
            if !(0.93..=0.995).contains(&coverage) {
                worst.push((coverage, births, deaths));
            }
        }
    }
    assert!(worst.is_empty(), "{worst:?}");
}

/// Two snapshots of `rows` sites, in whose window as much is born as dies but for the first
/// `growing`, which grow by `samples`.
fn churned(seed: u64, rows: usize, growing: usize, samples: f64) -> (Snapshot, Snapshot) {
    let (mut before, mut after) = (Builder::new().build(), Builder::new().build());
    for row in 0..rows {
        let mut site = Simulated::new(seed * 1_000 + row as u64);
        let churn = &mixes([1.0, 2.0, 4.0, 8.0, 16.0][row % 5])[1 + row % 2];
        let doomed = allocate(&mut site, churn);
        let earlier = site.snapshot();
        allocate(&mut site, churn);
        if row < growing {
            allocate(&mut site, &mixes(samples)[1]);
        }
        doomed.iter().for_each(|object| site.free(object));
        for (all, one) in [(&mut before, earlier), (&mut after, site.snapshot())] {
            let mut site = one.sites[0].clone();
            site.id = row as u64;
            all.sites.push(site);
        }
    }
    (before, after)
}

/// The way back from what leaked must not say that nothing happened: it is the way there with the
/// other sign.
#[test]
fn back_in_time_all_changes_are_the_other_way() {
    let (before, mut after) = churned(1, 20, 5, 40.0);
    after.info.watched_seconds += 60.0;
    let (there, back) = (before.diff(&after), after.diff(&before));
    let same = |there: &Change<'_>, back: &Change<'_>| {
        for (there, back) in [
            (there.live_bytes, back.live_bytes),
            (there.live_objects, back.live_objects),
        ] {
            let ends = (-there.estimate, -there.high, -there.low);
            assert_eq!((back.estimate, back.low, back.high), ends);
        }
        assert_eq!(there.significant, back.significant);
        assert_eq!(there.allocated_bytes, back.allocated_bytes);
        assert_eq!(there.freed_objects, back.freed_objects);
    };
    same(there.total(), back.total());
    for row in there.all_rows() {
        let found = back.all_rows().iter().find(|back| back.id == row.id);
        same(row, found.unwrap());
    }
    let significant = |row: &&Change<'_>| row.significant == Some(true);
    assert!(back.all_rows().iter().filter(significant).count() >= 5);
    assert!(
        back.to_string()
            .contains("one process, 1 min 0 s apart, back in time")
    );
}

/// Where nothing changed, p-values must not be smaller than chance makes them: of 8,000 rows, those
/// of a probability α are known to √(α/8,000), here three times that.
#[test]
fn p_values_of_rows_that_did_not_change_are_conservative() {
    let mut p_values = Vec::new();
    for seed in 0..400 {
        let (before, after) = churned(seed, 20, 0, 0.0);
        let context = Context::of(&before, &after);
        for found in matches(&before, &after) {
            p_values.push(Sums::of(&found, &context).p_value(&context));
        }
    }
    let rows = p_values.len() as f64;
    assert_eq!(rows, 8_000.0);
    for level in [0.002, 0.01, 0.05, 0.2] {
        let share = p_values.iter().filter(|p| **p <= level).count() as f64 / rows;
        println!("p ≤ {level}: {share:.4}");
        assert!(
            share <= level + 3.0 * (level / rows).sqrt(),
            "{level}: {share}"
        );
    }
}

/// Of what is called significant, at most 5 % may be wrong: of 400 diffs in which nothing changed, at
/// most 5 % have such a row, and of those in which five sites of 20 grew, at most 5 % of such rows are
/// others, while nearly all that grew by 40 samples are found. Three standard errors are allowed.
#[test]
fn false_discoveries_are_as_rare_as_stated() {
    let diffs = 400;
    let significant = |seed, growing| {
        let (before, after) = churned(seed, 20, growing, 40.0);
        let diff = before.diff(&after);
        let rows = diff.all_rows().iter();
        let rows = rows.filter(|row| row.significant == Some(true));
        let ids: Vec<u64> = rows.filter_map(|row| row.id).collect();
        ids
    };
    let bound = 0.05 + 3.0 * f64::sqrt(0.05 * 0.95 / diffs as f64);
    let any = (0..diffs).filter(|seed| !significant(*seed, 0).is_empty());
    let any = any.count() as f64 / diffs as f64;
    let (mut wrong_shares, mut found) = (0.0, 0);
    for seed in diffs..2 * diffs {
        let ids = significant(seed, 5);
        let right = ids.iter().filter(|id| **id < 5).count();
        wrong_shares += (ids.len() - right) as f64 / ids.len().max(1) as f64;
        found += right;
    }
    let (wrong, power) = (
        wrong_shares / diffs as f64,
        found as f64 / (5 * diffs) as f64,
    );
    println!("any {any:.4}, wrong {wrong:.4}, found {power:.4}");
    assert!(any <= bound && wrong <= bound, "{any} {wrong}");
    assert!(power > 0.95, "{power}");
}

/// Across processes, both snapshots' errors count.
#[test]
fn changes_across_processes_are_covered() {
    for (index, (before, after)) in [(16.0, 4.0), (64.0, 64.0), (4.0, 64.0)]
        .into_iter()
        .enumerate()
    {
        let (before, after) = (mixes(before)[2].clone(), mixes(after)[2].clone());
        let coverage = coverage(2_000, index, |seed| {
            let run = |seed, mix| {
                let mut site = Simulated::new(seed);
                allocate(&mut site, mix);
                let mut snapshot = site.snapshot();
                snapshot.info.profile_id = seed;
                snapshot
            };
            let (earlier, later) = (run(2 * seed + 1, &before), run(2 * seed + 2, &after));
            let diff = earlier.diff(&later);
            assert!(!diff.same_process());
            (diff.total().live_bytes, bytes(&after) - bytes(&before))
        });
        println!("{coverage:.4}: {before:?} → {after:?}");
        assert!((0.93..=0.995).contains(&coverage), "{coverage}");
    }
}

/// The change's own error must not be that of all that is there: √(10 MB · 512 KiB) is 2.3 MB,
/// where the difference of two such sites of two processes has 34 MB. The standard deviation of
/// 500 trials is known to 3 %.
#[test]
fn growth_beside_a_large_stable_site_is_told_sharply() {
    let growth = vec![(1_000, 10_000)];
    let trials = 500;
    let (mut sum, mut squares, mut widths) = (0.0, 0.0, 0.0);
    for seed in 0..trials {
        let mut site = Simulated::new(seed);
        allocate(&mut site, &vec![(64 << 10, 16_384)]);
        let before = site.snapshot();
        allocate(&mut site, &growth);
        let change = before.diff(&site.snapshot()).total().live_bytes;
        sum += change.estimate;
        squares += change.estimate * change.estimate;
        widths += change.half_width();
    }
    let mean = sum / trials as f64;
    let deviation = (squares / trials as f64 - mean * mean).sqrt();
    println!(
        "mean {mean:.0}, σ {deviation:.0}, ± {:.0}",
        widths / trials as f64
    );
    assert!(deviation <= 2.6e6, "{deviation}");
    assert!(
        (mean - 1e7).abs() < 4.0 * 2.3e6 / (trials as f64).sqrt(),
        "{mean}"
    );
    assert!(widths / (trials as f64) < 6e6, "{widths}");
}

#[test]
fn significant_growth_comes_first_then_shrinking_then_the_rest() {
    let (before, after) = grown();
    let diff = before.diff(&after);
    let rows = diff.rows();
    assert_eq!(rows[0].id, Some(0x1111));
    assert_eq!(rows[0].significant, Some(true));
    assert_eq!(rows[0].median_age_seconds, Some(2f64.powi(39) / 1e9));
    assert_eq!(rows[1].id, Some(0x2222));
    assert_eq!(rows[1].significant, Some(true));
    assert!(rows[1].live_bytes.high < 0.0);
    assert_eq!(
        (rows[2].id, rows[2].significant),
        (Some(0x6666), Some(false))
    );
    assert!(rows[2].live_bytes.low < 0.0);
    let sum: f64 = diff
        .all_rows()
        .iter()
        .map(|row| row.live_bytes.estimate)
        .sum();
    assert_eq!(sum, diff.total().live_bytes.estimate);
    assert!(diff.same_process() && diff.error_bars());
    assert_eq!(diff.matched_share(), 1.0);
}

/// Exact counts need no test: any change is one.
#[test]
fn exact_snapshots_have_exact_changes() {
    let (mut before, mut after) = grown();
    for snapshot in [&mut before, &mut after] {
        snapshot.info.interval_bytes = 1;
        snapshot.info.largest_interval_bytes = 1;
        for site in &mut snapshot.sites {
            for totals in [&mut site.live, &mut site.allocated, &mut site.freed] {
                totals.bytes_variance = 0.0;
                totals.objects_variance = 0.0;
            }
        }
    }
    let diff = before.diff(&after);
    let significant = |row: &&Change<'_>| row.significant == Some(true);
    assert_eq!(diff.rows().iter().filter(significant).count(), 3);
    assert!(
        diff.rows()
            .iter()
            .all(|row| row.live_bytes.half_width() == 0.0)
    );
}

/// No error bars on one side are none at all.
#[test]
fn without_error_bars_nothing_is_called_significant() {
    let (before, mut after) = grown();
    after.info.error_bars = false;
    let diff = before.diff(&after);
    assert!(!diff.error_bars());
    assert!(diff.rows().iter().all(|row| row.significant.is_none()));
    assert!(diff.rows()[0].live_bytes.estimate > 0.0);
    assert_eq!(diff.rows()[0].live_bytes.half_width(), 0.0);
}

/// Another build has other ids, lines and closure numbers.
#[test]
fn sites_of_another_build_are_matched_by_name() {
    let build = |seed: u64, line: u32| {
        let mut builder = Builder::new();
        let frame = |name: &str, line| frame(name, "src/chat.rs", line, own("chat"));
        let closure = format!("chat::run::{{closure#{seed}}}");
        let a = builder.location(0x5000_0010 + seed, &[frame(&closure, line)]);
        let b = builder.location(0x5000_0020 + seed, &[frame(&closure, line + 5)]);
        let main = builder.location(0x5000_0030 + seed, &[frame("chat::main", line + 90)]);
        let mut shim = frame("__rust_alloc", 1);
        shim.origin = Origin::Allocator;
        let shim = builder.location(0x5000_0040 + seed, &[shim]);
        builder.site(10 * seed, &[a, main], &[500.0; 9], 0);
        builder.site(10 * seed + 1, &[b, main], &[500.0; 30], 0);
        builder.site(10 * seed + 2, &[shim, main], &[500.0; 5], 0);
        builder.site(10 * seed + 3, &[main], &vec![500.0; seed as usize], 0);
        let mut snapshot = builder.info(|info| info.profile_id = seed).build();
        snapshot.modules[0].build_id = Some(format!("{seed:x}"));
        snapshot
    };
    let (before, after) = (build(1, 10), build(2, 17));
    let diff = before.diff(&after);
    assert!(diff.matched_share() > 0.999);
    assert!(diff.rows().iter().all(|row| !row.new && !row.vanished));
    assert!(diff.rows().iter().all(|row| row.allocated_bytes.is_none()));
    // Of two stacks with the same names, the one with 9 objects is still that with 9 objects.
    let changed = diff
        .rows()
        .iter()
        .filter(|row| row.live_bytes.estimate != 0.0);
    assert!(changed.count() <= 2, "{:?}", diff.rows());
}

#[test]
fn groups_join_sites_and_empty_snapshots_do_no_harm() {
    let (before, after) = grown();
    let functions = before.diff(&after).by(By::Function);
    assert!(
        functions
            .rows()
            .iter()
            .any(|row| row.function.as_deref() == Some("chat::register"))
    );
    let crates = before.diff(&after).by(By::Crate);
    assert_eq!(crates.rows()[0].krate, "chat");
    assert_eq!(crates.total().live_bytes, functions.total().live_bytes);
    let empty = Builder::new().build();
    assert_eq!(empty.diff(&empty).rows().len(), 0);
    assert_eq!(empty.diff(&empty).matched_share(), 1.0);
    let new = empty.diff(&after);
    assert!(new.rows().iter().all(|row| row.new), "{:?}", new.rows()[0]);
    assert!(after.diff(&empty).rows().iter().all(|row| row.vanished));
}

/// A function's line is where its bytes changed, or who reads the row looks in the wrong place: not
/// where they come first, nor where most are, nor where the larger change of another sign is not.
#[test]
fn a_group_is_named_by_the_site_that_changed_most() {
    let call = |line| [own_at("chat::Session::new", line), own_at("chat::main", 90)];
    let (name, seen, cache) = (call(77), call(79), call(81));
    let stacks = |name_objects, seen_objects| {
        build(
            1,
            &[(&name, name_objects), (&seen, seen_objects), (&cache, 500)],
        )
    };
    for (before, after, line) in [
        (stacks(9, 9), stacks(10, 90), 79),
        (stacks(9, 9), stacks(90, 10), 77),
        (stacks(9, 90), stacks(20, 9), 79),
        (stacks(9, 9), stacks(9, 9), 81),
    ] {
        for by in [By::Function, By::Type, By::Task] {
            let diff = before.diff(&after).by(by);
            let rows = diff.all_rows().iter();
            let places: Vec<_> = rows.map(|row| row.location.clone()).collect();
            assert_eq!(places, [Some(format!("src/chat.rs:{line}"))], "{by:?}");
            let place = format!("src/chat.rs:{line}");
            assert!(diff.to_json().contains(&place));
            let named = by == By::Function;
            assert_eq!(diff.to_string().contains(&place), named, "{diff}");
        }
    }
}

/// Rows that hold nothing before and after bury those that do, in profiles of long-lived services most
/// of all; but what was born and died in between is told.
#[test]
fn rows_of_nothing_are_left_out() {
    let stacks = |seed, freed: &[usize]| {
        let mut builder = Builder::new();
        let at = builder.location(
            0x5000_0010,
            &[frame("chat::f", "src/chat.rs", 1, own("chat"))],
        );
        for (id, freed) in (0..).zip(freed) {
            builder.site(id, &[at], &[500.0; 9], *freed);
        }
        builder.info(|info| info.profile_id = seed).build()
    };
    let ids = |before: &Snapshot, after: &Snapshot| {
        let diff = before.diff(after);
        let rows = diff.all_rows().iter();
        rows.map(|row| row.id).collect::<Vec<_>>()
    };
    let (one, other) = (stacks(1, &[9, 0, 9]), stacks(2, &[9, 0, 9, 9]));
    assert_eq!(ids(&one, &other), [Some(1)]);
    let later = stacks(1, &[9, 0, 9, 9]);
    assert_eq!(ids(&one, &later), [Some(1), Some(3)]);
}

/// One frame of a test's stack: function, file, line, whose code.
type Step<'a> = (&'a str, &'a str, u32, Origin);

/// A snapshot of one build: a stack and how many objects of 500 bytes live there, in turn.
fn build(seed: u64, stacks: &[(&[Step<'_>], usize)]) -> Snapshot {
    let mut builder = Builder::new();
    for (number, (steps, objects)) in stacks.iter().enumerate() {
        let stack: Vec<u32> = steps
            .iter()
            .enumerate()
            .map(|(depth, (function, file, line, origin))| {
                let address = 0x5000_0000 + seed * 0x1000 + (number * 16 + depth) as u64;
                builder.location(address, &[frame(function, file, *line, origin.clone())])
            })
            .collect();
        builder.site(
            100 * seed + number as u64,
            &stack,
            &vec![500.0; *objects],
            0,
        );
    }
    let mut snapshot = builder.info(|info| info.profile_id = seed).build();
    snapshot.modules[0].build_id = Some(format!("{seed:x}"));
    snapshot
}

fn std(function: &str) -> Step<'_> {
    (function, "library/alloc/src/vec/mod.rs", 900, Origin::Std)
}

fn own_at(function: &str, line: u32) -> Step<'_> {
    (function, "src/chat.rs", line, own("chat"))
}

/// How the rows were matched: by what, how many stacks before and after, and what changed.
fn matched(before: &Snapshot, after: &Snapshot) -> Vec<(Option<MatchedBy>, usize, usize, bool)> {
    let diff = before.diff(after);
    let row = |row: &Change<'_>| {
        let changed = row.live_bytes.estimate != 0.0;
        (row.matched_by, row.before_stacks, row.after_stacks, changed)
    };
    let change = after.live().bytes - before.live().bytes;
    assert!((diff.total().live_bytes.estimate - change).abs() <= 1.0);
    let mut rows: Vec<_> = diff.all_rows().iter().map(row).collect();
    rows.sort();
    rows
}

/// Frames of std that another build inlines differently or loses must not part a site from itself.
#[test]
fn sites_are_matched_by_what_they_call_where_std_is_inlined_otherwise() {
    let put = own_at("chat::Store::put", 10);
    let main = own_at("chat::main", 90);
    let (grow, push) = (
        std("alloc::raw_vec::RawVec::grow_one"),
        std("alloc::vec::Vec::push"),
    );
    let before = build(1, &[(&[grow.clone(), push.clone(), put, main.clone()], 9)]);
    let after = build(2, &[(&[push, own_at("chat::put", 12), main], 9)]);
    let by = |by| vec![(Some(by), 1, 1, false)];
    assert_eq!(matched(&before, &after), by(MatchedBy::Calls));
    // Generic instances and dependencies that are seen through from one side alone.
    let depot = |function| {
        (
            function,
            "depot-1.0.0/src/lib.rs",
            5,
            dependency("depot", "1.0.0"),
        )
    };
    let stack = [
        grow.clone(),
        depot("depot::put"),
        depot("depot::fill"),
        own_at("chat::main", 90),
    ];
    let before = build(1, &[(&stack, 9)]);
    let stack = [
        grow.clone(),
        depot("depot::put<u8>"),
        own_at("chat::main", 91),
    ];
    let after = build(2, &[(&stack, 9)]);
    assert_eq!(matched(&before, &after), by(MatchedBy::OwnFrames));
    // An outer function was renamed.
    let stack = [
        grow.clone(),
        own_at("chat::put", 7),
        own_at("chat::old", 90),
    ];
    let before = build(1, &[(&stack, 9)]);
    let stack = [grow, own_at("chat::put", 7), own_at("chat::new", 90)];
    let after = build(2, &[(&stack, 9)]);
    assert_eq!(matched(&before, &after), by(MatchedBy::CallSite));
}

/// Stacks that only lines tell apart are paired if all lines shifted alike. If not, which is which
/// is a guess, and they are told as one.
#[test]
fn what_cannot_be_told_apart_is_one_row() {
    let call = |line| [own_at("chat::page", 5), own_at("chat::main", line)];
    let (a, b, c) = (call(10), call(20), call(35));
    let before = build(1, &[(&a, 9), (&b, 20)]);
    let (moved_a, moved_b) = (call(20), call(30));
    let shifted = build(2, &[(&moved_a, 9), (&moved_b, 20)]);
    let pairs = vec![(Some(MatchedBy::Names), 1, 1, false); 2];
    assert_eq!(matched(&before, &shifted), pairs);
    let other = build(2, &[(&b, 9), (&c, 20)]);
    assert_eq!(
        matched(&before, &other),
        [(Some(MatchedBy::Names), 2, 2, false)]
    );
    let fewer = build(2, &[(&b, 20)]);
    assert_eq!(
        matched(&before, &fewer),
        [(Some(MatchedBy::Names), 2, 1, true)]
    );
    let row = &before.diff(&fewer).all_rows()[0].clone();
    assert!(row.live_bytes.low < -9.0 * INTERVAL as f64, "{row:?}");
}

/// In one build, a stack that is not there was not there: nothing stands in for it.
#[test]
fn within_one_build_other_lines_are_other_sites() {
    let call = |line| [own_at("chat::page", 5), own_at("chat::main", line)];
    let before = build(1, &[(&call(10), 9)]);
    let mut after = build(2, &[(&call(20), 9)]);
    after.modules[0].build_id = before.modules[0].build_id.clone();
    let alone = [(None, 0, 1, true), (None, 1, 0, true)];
    assert_eq!(matched(&before, &after), alone);
    let mut again = build(2, &[(&call(10), 9)]);
    again.modules[0].build_id = before.modules[0].build_id.clone();
    let by_names = [(Some(MatchedBy::Names), 1, 1, false)];
    assert_eq!(matched(&before, &again), by_names);
}

/// A profile of the same moment holds the same: it must not look like another program, whoever is
/// compared with whom and however rows are grouped. Its counts are whole numbers.
#[test]
fn a_snapshot_is_found_again_in_its_profile() {
    let snapshot = crate::snapshot::testing::sample();
    let read = |snapshot: &Snapshot| Snapshot::read(&snapshot.pprof().encode()[..]).unwrap();
    let profile = read(&snapshot);
    let mut rebuilt = snapshot.clone();
    rebuilt.info.profile_id = 7;
    rebuilt.modules[0].build_id = Some("beef".to_owned());
    let rebuilt = read(&rebuilt);
    for (before, after) in [
        (&snapshot, &profile),
        (&profile, &snapshot),
        (&profile, &profile),
        (&snapshot, &rebuilt),
        (&rebuilt, &profile),
    ] {
        for by in [By::Site, By::Function, By::Crate] {
            let diff = before.diff(after).by(by);
            assert_eq!(diff.matched_share(), 1.0, "{diff}");
            let said =
                "100 % of live bytes are at sites found in both, 100 % by their functions' names";
            assert!(diff.to_string().contains(said), "{diff}");
            for row in diff.all_rows() {
                assert!(!row.new && !row.vanished, "{diff}");
                assert!(
                    row.live_bytes.estimate.abs() <= row.after_stacks as f64,
                    "{diff}"
                );
                assert_eq!(row.significant, None);
            }
        }
    }
}

/// Two places in std that one line calls are one in a profile, and their sum is compared; the lines
/// beside it are still told apart, also when they have moved.
#[test]
fn what_a_profile_does_not_tell_apart_is_one_row() {
    let call = |line| own_at("chat::page", line);
    let (grow, insert) = (std("alloc::vec::grow"), std("alloc::vec::insert"));
    let stacks = |seed, moved: u32| {
        let (here, there) = (call(10 + moved), call(20 + moved));
        build(
            seed,
            &[
                (&[grow.clone(), here.clone()], 9),
                (&[insert.clone(), here], 20),
                (&[grow.clone(), there], 40),
            ],
        )
    };
    let read = |snapshot: &Snapshot| Snapshot::read(&snapshot.pprof().encode()[..]).unwrap();
    for moved in [0, 7] {
        let diff_rows = matched(&stacks(1, 0), &read(&stacks(2, moved)));
        let rows: Vec<_> = diff_rows.iter().map(|row| (row.0, row.1, row.2)).collect();
        let by = Some(MatchedBy::Names);
        assert_eq!(rows, [(by, 1, 1), (by, 2, 1)]);
    }
}

/// Renamed functions and other things that a function calls are other sites.
#[test]
fn what_differs_is_not_matched() {
    let main = own_at("chat::main", 90);
    let (push, insert) = (std("alloc::vec::Vec::push"), std("alloc::vec::Vec::insert"));
    let (old, new) = (own_at("chat::old", 5), own_at("chat::new", 5));
    let before = build(1, &[(&[push.clone(), old.clone(), main.clone()], 9)]);
    for stack in [[push, new, main.clone()], [insert, old, main]] {
        let after = build(2, &[(&stack, 9)]);
        let alone = [(None, 0, 1, true), (None, 1, 0, true)];
        assert_eq!(matched(&before, &after), alone);
    }
}
