//! What must hold.

use crate::plan::{Role, Workload};
use crate::report::Cell;

const MIB: f64 = (1 << 20) as f64;

/// How far a program may be from itself before the harness is too noisy to judge anything: less
/// than the tightest of the limits.
const NOISE: f64 = 0.01;

/// Peak RSS below which a program is small: there 1 MiB more is allowed.
const SMALL: f64 = 50.0 * MIB;

/// The sentences that say what `cell` breaks; none where all holds.
pub fn broken(cell: &Cell, role: Role, workload: &Workload) -> Vec<String> {
    let at = format!("{} on {}", cell.variant, cell.workload);
    match role {
        Role::Comparison => Vec::new(),
        Role::Noise => noise(cell, &at).into_iter().collect(),
        Role::Coarse | Role::Fine => {
            let cpu = cpu(cell, &at, most(role, workload));
            cpu.into_iter().chain(memory(cell, &at)).collect()
        }
    }
}

/// The largest CPU ratio allowed.
fn most(role: Role, workload: &Workload) -> f64 {
    match (role, workload.churn) {
        (Role::Fine, true) => 1.10,
        (Role::Fine, false) => 1.03,
        _ => 1.015,
    }
}

fn noise(cell: &Cell, at: &str) -> Option<String> {
    let off = (cell.cpu_ratio.median - 1.0).abs();
    (off > NOISE).then(|| format!("{at}: off by {off:.3}: the machine is too noisy to judge"))
}

fn cpu(cell: &Cell, at: &str, most: f64) -> Option<String> {
    let ratio = cell.cpu_ratio.median;
    (ratio > most).then(|| format!("{at}: CPU ratio {ratio:.3}, at most {most:.3} allowed"))
}

/// 1 MiB for a small program, 1 % for any other.
fn memory(cell: &Cell, at: &str) -> Option<String> {
    let more = cell.rss_difference_bytes.median;
    let most = if cell.base_rss_bytes < SMALL {
        MIB
    } else {
        cell.base_rss_bytes * 0.01
    };
    (more > most).then(|| {
        let (more, most) = (more / MIB, most / MIB);
        format!("{at}: peak RSS {more:.2} MiB more, at most {most:.2} MiB allowed")
    })
}

#[cfg(test)]
mod tests {
    use super::{MIB, broken};
    use crate::plan::{Role, WORKLOADS, Workload};
    use crate::report::Cell;
    use crate::statistics::Summary;

    fn cell(ratio: f64, base_mib: f64, more_mib: f64) -> Cell {
        Cell {
            workload: "w",
            variant: "v",
            rounds: 1,
            cpu_ratio: Summary::of([ratio]),
            base_cpu_seconds: 1.0,
            rss_difference_bytes: Summary::of([more_mib * MIB]),
            base_rss_bytes: base_mib * MIB,
        }
    }

    fn workload(name: &str) -> &'static Workload {
        WORKLOADS.iter().find(|w| w.name == name).unwrap()
    }

    /// A wrong limit would let a regression through, or break a run that is as it should be.
    #[test]
    fn each_limit_holds_up_to_its_value_and_not_beyond() {
        for (role, name, most) in [
            (Role::Coarse, "churn", 1.015),
            (Role::Coarse, "json", 1.015),
            (Role::Fine, "churn", 1.10),
            (Role::Fine, "handoff", 1.10),
            (Role::Fine, "replace", 1.10),
            (Role::Fine, "json", 1.03),
            (Role::Fine, "maps", 1.03),
            (Role::Fine, "buffers", 1.03),
        ] {
            let broken = |ratio| broken(&cell(ratio, 10.0, 0.0), role, workload(name)).len();
            assert_eq!(
                (broken(most - 0.001), broken(most + 0.001)),
                (0, 1),
                "{name}"
            );
        }
    }

    /// Judged by a noisy harness, a figure beyond its limit could pass.
    #[test]
    fn a_program_that_differs_from_itself_is_noise_both_ways() {
        let broken = |ratio| broken(&cell(ratio, 10.0, 0.0), Role::Noise, workload("json")).len();
        assert_eq!([0.98, 0.995, 1.005, 1.02].map(broken), [1, 0, 0, 1]);
    }

    /// A wrong limit would let a program grow without a word.
    #[test]
    fn memory_may_grow_by_one_mebibyte_or_one_percent() {
        for (base, most) in [(10.0, 1.0), (49.0, 1.0), (51.0, 0.51), (200.0, 2.0)] {
            let broken =
                |more| broken(&cell(1.0, base, more), Role::Coarse, workload("json")).len();
            assert_eq!((broken(most - 0.01), broken(most + 0.01)), (0, 1), "{base}");
        }
    }
}
