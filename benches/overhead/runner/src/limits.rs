//! What must hold.

use crate::plan::{Role, Workload};
use crate::report::Cell;

const MIB: f64 = (1 << 20) as f64;

/// How far a program may be from itself before the harness is too noisy to judge anything.
const NOISE: f64 = 0.02;

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
        (Role::Fine, true) => 1.15,
        (Role::Fine, false) => 1.08,
        _ => 1.03,
    }
}

fn noise(cell: &Cell, at: &str) -> Option<String> {
    let off = (cell.cpu_ratio.median - 1.0).abs();
    (off > NOISE).then(|| format!("{at}: off by {off:.3}: the machine is too noisy to judge"))
}

fn cpu(cell: &Cell, at: &str, most: f64) -> Option<String> {
    let ratio = cell.cpu_ratio.median;
    (ratio > most).then(|| format!("{at}: CPU ratio {ratio:.3}, at most {most:.2} allowed"))
}

/// 5 % or 4 MiB, whichever is more.
fn memory(cell: &Cell, at: &str) -> Option<String> {
    let more = cell.rss_difference_bytes.median;
    let most = (cell.base_rss_bytes * 0.05).max(4.0 * MIB);
    (more > most).then(|| {
        let (more, most) = (more / MIB, most / MIB);
        format!("{at}: peak RSS {more:.1} MiB more, at most {most:.1} MiB allowed")
    })
}

#[cfg(test)]
mod tests {
    use super::{MIB, broken};
    use crate::plan::{Role, WORKLOADS};
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

    #[test]
    fn each_limit_holds_up_to_its_value_and_not_beyond() {
        let [churn, _, json, ..] = &WORKLOADS;
        for (role, workload, most) in [
            (Role::Coarse, churn, 1.03),
            (Role::Coarse, json, 1.03),
            (Role::Fine, churn, 1.15),
            (Role::Fine, json, 1.08),
        ] {
            assert!(broken(&cell(most - 0.001, 10.0, 0.0), role, workload).is_empty());
            assert_eq!(
                broken(&cell(most + 0.001, 10.0, 0.0), role, workload).len(),
                1
            );
        }
        assert_eq!(broken(&cell(0.97, 10.0, 0.0), Role::Noise, json).len(), 1);
    }

    #[test]
    fn memory_may_grow_by_four_mebibytes_or_five_percent() {
        let json = &WORKLOADS[2];
        for (base, most) in [(10.0, 4.0), (200.0, 10.0)] {
            assert!(broken(&cell(1.0, base, most - 0.1), Role::Coarse, json).is_empty());
            assert_eq!(
                broken(&cell(1.0, base, most + 0.1), Role::Coarse, json).len(),
                1
            );
        }
    }
}
