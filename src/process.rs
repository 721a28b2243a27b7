//! What the operating system says of this process. Every figure is absent where it cannot be had:
//! on another system than Linux, or without access to `/proc`.

mod calls;
mod cgroup;
mod machine;
#[cfg(feature = "server")]
pub(crate) mod own_cpu;
mod pin;
mod proc;
mod room;

pub(crate) use calls::name_thread;
pub(crate) use cgroup::MemoryLimit;
pub(crate) use machine::Machine;
pub(crate) use pin::keep_loaded;
pub(crate) use room::{WORK_BYTES, check_room, save_room};

/// The figures that Prometheus clients report as `process_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(
    not(any(feature = "server", test)),
    allow(dead_code, reason = "metrics show more than snapshots")
)]
pub(crate) struct Process {
    /// Physical memory, shared pages included.
    pub(crate) resident_bytes: Option<u64>,
    /// Address space. heapwatch's reserved region is part of it and costs nothing.
    pub(crate) virtual_bytes: Option<u64>,
    /// Threads that exist.
    pub(crate) threads: Option<u64>,
    /// CPU time in user and kernel mode since the process began.
    pub(crate) cpu_seconds: Option<f64>,
    /// When the process began, in seconds since the Unix epoch.
    pub(crate) start_seconds: Option<f64>,
    /// Open file descriptors.
    pub(crate) open_fds: Option<u64>,
    /// File descriptors that may be open at once; absent where there is no limit.
    pub(crate) max_fds: Option<u64>,
}

impl Process {
    /// The figures of this moment.
    pub(crate) fn read() -> Process {
        let mut figures = Process::default();
        if let Some(stat) = stat() {
            let seconds = |ticks: u64| ticks as f64 / calls::ticks_per_second() as f64;
            figures.resident_bytes = Some(stat.resident_pages * calls::page_bytes());
            figures.virtual_bytes = Some(stat.virtual_bytes);
            figures.threads = Some(stat.threads);
            figures.cpu_seconds = Some(seconds(stat.cpu_ticks));
            figures.start_seconds = boot_seconds().map(|boot| boot + seconds(stat.start_ticks));
        }
        let limits = proc::of_self("limits");
        figures.max_fds = limits.and_then(|limits| proc::limit(&limits, "Max open files"));
        let open = std::fs::read_dir("/proc/self/fd").ok();
        figures.open_fds = open.map(|open| open.count() as u64);
        figures
    }

    /// Physical memory and threads: what one small file tells.
    #[cfg(feature = "server")]
    pub(crate) fn resident_and_threads() -> (Option<u64>, Option<u64>) {
        let Some(stat) = stat() else {
            return (None, None);
        };
        let resident = stat.resident_pages * calls::page_bytes();
        (Some(resident), Some(stat.threads))
    }
}

fn stat() -> Option<proc::Stat> {
    proc::Stat::parse(&proc::of_self("stat")?)
}

/// When the machine started, in seconds since the Unix epoch.
fn boot_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    proc::value(&text, "btime")?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn own_figures_are_there_and_plausible() {
        let figures = Process::read();
        assert!(figures.resident_bytes.unwrap() > 100 * 1024);
        assert!(figures.virtual_bytes > figures.resident_bytes);
        assert!(figures.threads.unwrap() >= 1);
        assert!(figures.open_fds.unwrap() >= 3);
        assert!((0.0..1e6).contains(&figures.cpu_seconds.unwrap()));
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let age = now.as_secs_f64() - figures.start_seconds.unwrap();
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
