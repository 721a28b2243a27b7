//! The memory of the machine that the process runs on.

use super::proc;

/// The machine's memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// All that the kernel manages.
    pub(crate) total_bytes: u64,
    /// What programs can have without swapping; unknown before Linux 3.14.
    pub(crate) available_bytes: Option<u64>,
}

impl Machine {
    pub(crate) fn read() -> Option<Machine> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let bytes = |key| Some(proc::value(&text, key)?.parse::<u64>().ok()? << 10);
        Some(Machine {
            total_bytes: bytes("MemTotal:")?,
            available_bytes: bytes("MemAvailable:"),
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Kibibytes taken for bytes would tell of an end within seconds.
    #[test]
    fn figures_are_in_bytes() {
        let machine = Machine::read().unwrap();
        assert!(machine.total_bytes > 128 << 20, "{machine:?}");
        let available = machine.available_bytes.unwrap();
        assert!(
            available > 1 << 20 && available <= machine.total_bytes,
            "{machine:?}"
        );
    }
}
