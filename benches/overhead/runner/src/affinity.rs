//! Which cores a program runs on.

use anyhow::Context;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const THIS_THREAD: Pid = Pid::from_raw(0);

/// A set of cores.
#[derive(Clone, Debug, PartialEq)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// The cores that this process may use.
    pub fn allowed() -> anyhow::Result<Cores> {
        let set = sched_getaffinity(THIS_THREAD).context("sched_getaffinity")?;
        let cores = (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false));
        Ok(Cores(cores.collect()))
    }

    /// The last one: other programs tend to crowd on the first.
    pub fn last(&self) -> anyhow::Result<usize> {
        self.0.last().copied().context("no core may be used")
    }

    /// Only `core`, which must be one of these.
    pub fn only(&self, core: usize) -> anyhow::Result<Cores> {
        anyhow::ensure!(
            self.0.contains(&core),
            "core {core} may not be used; allowed: {:?}",
            self.0
        );
        Ok(Cores(vec![core]))
    }

    /// All but `other`; all where nothing would remain.
    pub fn without(&self, other: &Cores) -> Cores {
        let rest: Vec<_> = self
            .0
            .iter()
            .copied()
            .filter(|core| !other.0.contains(core))
            .collect();
        if rest.is_empty() {
            self.clone()
        } else {
            Cores(rest)
        }
    }

    /// Confines the calling thread, and what it starts from now on.
    pub fn confine(&self) -> anyhow::Result<()> {
        let mut set = CpuSet::new();
        for &core in &self.0 {
            set.set(core)?;
        }
        sched_setaffinity(THIS_THREAD, &set).with_context(|| format!("pinning to {:?}", self.0))
    }
}
