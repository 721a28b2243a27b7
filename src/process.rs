//! What the operating system says of this process. Every figure is absent where it cannot be had:
//! on another system than Linux, or without access to `/proc`.

mod cgroup;
mod glibc;
mod machine;
#[cfg(feature = "server")]
pub(crate) mod own_cpu;
mod pin;
mod room;

pub(crate) use cgroup::MemoryLimit;
pub(crate) use machine::Machine;
pub(crate) use pin::keep_loaded;
pub(crate) use room::{WORK_BYTES, check_room, save_room};

/// Names the current thread, one of heapwatch's own, as its first act. A thread that std starts with
/// a name allocates a copy of it before it runs anything that could mute it, which would show in
/// the application's heap.
pub(crate) fn name_thread(name: &std::ffi::CStr) {
    // A nameless thread does as well.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(name);
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

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

#[cfg(not(target_os = "linux"))]
impl Process {
    pub(crate) fn read() -> Process {
        Process::default()
    }

    #[cfg(feature = "server")]
    pub(crate) fn resident_and_threads() -> (Option<u64>, Option<u64>) {
        (None, None)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use procfs::process::{self, LimitValue, Limits, Stat};

    use super::Process;

    /// What turns the kernel's units into bytes and seconds.
    struct Units {
        page_bytes: u64,
        ticks_per_second: u64,
        boot_seconds: Option<u64>,
    }

    impl Process {
        /// The figures of this moment.
        pub(crate) fn read() -> Process {
            let Ok(myself) = process::Process::myself() else {
                return Process::default();
            };
            let mut figures = Process::default();
            if let Ok(stat) = myself.stat() {
                figures.fill_from(&stat, &units());
            }
            if let Ok(limits) = myself.limits() {
                figures.max_fds = max_fds(&limits);
            }
            figures.open_fds = myself.fd_count().ok().map(|count| count as u64);
            figures
        }

        /// Physical memory and threads: what one small file tells.
        #[cfg(feature = "server")]
        pub(crate) fn resident_and_threads() -> (Option<u64>, Option<u64>) {
            let stat = process::Process::myself().and_then(|myself| myself.stat());
            let Ok(stat) = stat else {
                return (None, None);
            };
            let resident = stat.rss * procfs::page_size();
            (Some(resident), u64::try_from(stat.num_threads).ok())
        }

        fn fill_from(&mut self, stat: &Stat, units: &Units) {
            let seconds = |ticks: u64| ticks as f64 / units.ticks_per_second as f64;
            self.resident_bytes = Some(stat.rss * units.page_bytes);
            self.virtual_bytes = Some(stat.vsize);
            self.threads = u64::try_from(stat.num_threads).ok();
            self.cpu_seconds = Some(seconds(stat.utime + stat.stime));
            self.start_seconds = units
                .boot_seconds
                .map(|boot| boot as f64 + seconds(stat.starttime));
        }
    }

    fn units() -> Units {
        Units {
            page_bytes: procfs::page_size(),
            ticks_per_second: procfs::ticks_per_second(),
            boot_seconds: procfs::boot_time_secs().ok(),
        }
    }

    fn max_fds(limits: &Limits) -> Option<u64> {
        match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit),
            LimitValue::Unlimited => None,
        }
    }

    #[cfg(test)]
    mod tests {
        use procfs::FromRead;

        use super::*;

        const STAT: &str = "4242 (odd) name (x) R 1 4242 4242 0 -1 4194304 900 0 3 0 250 150 7 8 \
             20 0 12 0 5000 1073741824 2560 18446744073709551615 1 2 3 0 0 0 0 4096 0 0 0 0 17 2 \
             0 0 0 0 0 0 0 0 0 0 0 0 0\n";

        /// A shifted column would report page faults as memory.
        #[test]
        fn stat_becomes_bytes_and_seconds() {
            let stat = Stat::from_read(STAT.as_bytes()).unwrap();
            let mut figures = Process::default();
            let units = Units {
                page_bytes: 4096,
                ticks_per_second: 100,
                boot_seconds: Some(1_700_000_000),
            };
            figures.fill_from(&stat, &units);
            let expected = Process {
                resident_bytes: Some(2560 * 4096),
                virtual_bytes: Some(1 << 30),
                threads: Some(12),
                // Its own 250 + 150 ticks, without the 7 + 8 of children that were waited for.
                cpu_seconds: Some(4.0),
                start_seconds: Some(1_700_000_050.0),
                open_fds: None,
                max_fds: None,
            };
            assert_eq!(figures, expected);
        }

        #[test]
        fn own_figures_are_there_and_plausible() {
            let figures = Process::read();
            assert!(figures.resident_bytes.unwrap() > 100 * 1024);
            assert!(figures.virtual_bytes > figures.resident_bytes);
            assert!(figures.threads.unwrap() >= 1);
            assert!(figures.open_fds.unwrap() >= 3);
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            let age = now.as_secs_f64() - figures.start_seconds.unwrap();
            assert!((-2.0..86_400.0).contains(&age), "{age}");
        }
    }
}
