//! The files below `/proc` that figures come from. All is absent where there are none.
//!
//! They are few, and a library for all of them is a tenth of what the rest of heapwatch takes to build.

use std::fs;

/// A file of this process.
pub(super) fn of_self(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// The word that follows `key` in a file of lines such as `MemTotal:  64 kB`.
pub(super) fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key));
    rest?.split_whitespace().next()
}

/// A limit of `/proc/self/limits` that is in force; none where it is unlimited.
pub(super) fn limit(limits: &str, name: &str) -> Option<u64> {
    value(limits, name)?.parse().ok()
}

/// What `/proc/self/stat` tells, in the kernel's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// In kernel and user mode, without children that were waited for.
    pub(super) cpu_ticks: u64,
    pub(super) threads: u64,
    /// Since the machine's start.
    pub(super) start_ticks: u64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_pages: u64,
}

impl Stat {
    pub(super) fn parse(text: &str) -> Option<Stat> {
        // The program's name stands in brackets and may hold any of what separates the rest.
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // The first is the third of proc_pid_stat(5).
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// A line of `/proc/self/cgroup`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CGroup<'t> {
    /// 0 in version 2.
    pub(super) hierarchy: u32,
    pub(super) controllers: &'t str,
    pub(super) path: &'t str,
}

pub(super) fn cgroups(text: &str) -> impl Iterator<Item = CGroup<'_>> {
    text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some(CGroup {
            hierarchy: parts.next()?.parse().ok()?,
            controllers: parts.next()?,
            path: parts.next()?,
        })
    })
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount<'t> {
    pub(super) root: String,
    pub(super) mount_point: String,
    pub(super) file_system: &'t str,
    pub(super) options: &'t str,
}

pub(super) fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let (mount, of_file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut of_file_system = of_file_system.split(' ');
        Some(Mount {
            root: unescaped(mount.next()?),
            mount_point: unescaped(mount.next()?),
            file_system: of_file_system.next()?,
            options: of_file_system.nth(1)?,
        })
    })
}

/// Paths have what separates fields as octal numbers.
fn unescaped(path: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let replace = |path: String, (code, text): (&str, &str)| path.replace(code, text);
    escapes.into_iter().fold(path.to_owned(), replace)
}

/// Whether a list separated by commas has this entry.
pub(super) fn has(list: &str, entry: &str) -> bool {
    list.split(',').any(|other| other == entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shifted column would report page faults as memory.
    #[test]
    fn stat_is_read_by_columns() {
        let text = "4242 (odd) name (x) R 1 4242 4242 0 -1 4194304 900 0 3 0 250 150 7 8 20 0 12 0 \
             5000 1073741824 2560 18446744073709551615 1 2 3 0 0 0 0 4096 0 0 0 0 17 2 0 0 0 0 0 0 0 \
             0 0 0 0 0 0\n";
        let expected = Stat {
            // Its own 250 + 150 ticks, without the 7 + 8 of children that were waited for.
            cpu_ticks: 400,
            threads: 12,
            start_ticks: 5000,
            virtual_bytes: 1 << 30,
            resident_pages: 2560,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("4242 (name) R 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn limits_are_those_in_force() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max data size             unlimited            unlimited            bytes     \n\
             Max open files            1024                 4096                 files     \n";
        assert_eq!(limit(limits, "Max open files"), Some(1024));
        assert_eq!(limit(limits, "Max data size"), None);
        assert_eq!(limit(limits, "Max address space"), None);
    }

    #[test]
    fn mounts_have_optional_fields_and_escaped_paths() {
        let text = "35 31 0:32 /a\\040b /mnt/c\\134d rw shared:7 master:2 - cgroup cg rw,memory\n";
        let mount = Mount {
            root: "/a b".into(),
            mount_point: "/mnt/c\\d".into(),
            file_system: "cgroup",
            options: "rw,memory",
        };
        assert_eq!(mounts(text).collect::<Vec<_>>(), [mount]);
    }
}
