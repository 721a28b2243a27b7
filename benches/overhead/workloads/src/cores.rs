//! Which core a worker runs on.

use anyhow::Context;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Worker by worker, two programs that run at the same time then share their cores alike; left to
/// the scheduler, now one and now the other has its workers crowded together.
pub fn keep_to_one_core(worker: usize) -> anyhow::Result<()> {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread).context("sched_getaffinity")?;
    let cores: Vec<usize> = (0..CpuSet::count())
        .filter(|&core| allowed.is_set(core) == Ok(true))
        .collect();
    let mut one = CpuSet::new();
    one.set(cores[worker % cores.len()])?;
    sched_setaffinity(this_thread, &one).context("sched_setaffinity")
}
