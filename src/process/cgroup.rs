//! The memory limit that the process lives under.
//!
//! Each group on the way from the process's own to the root of the mounted hierarchy may have a
//! limit; the smallest is the one that kills. Version 2 and version 1 of control groups are read,
//! also where both are mounted.

use std::path::{Path, PathBuf};

use super::proc::{self, Mount};

/// The smallest memory limit above the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    /// The limit.
    pub(crate) limit_bytes: u64,
    #[cfg_attr(not(feature = "server"), allow(dead_code))]
    /// What is charged to the group that has the limit, page cache included.
    pub(crate) used_bytes: Option<u64>,
}

/// The files of one version of control groups.
struct Version {
    file_system: &'static str,
    limit: &'static str,
    used: &'static str,
}

const V2: Version = Version {
    file_system: "cgroup2",
    limit: "memory.max",
    used: "memory.current",
};

const V1: Version = Version {
    file_system: "cgroup",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
};

/// A group's directory and the mount point that ends the way up.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    directory: PathBuf,
    mount_point: PathBuf,
}

impl MemoryLimit {
    /// The limit of this moment; none where there is none.
    pub(crate) fn read() -> Option<MemoryLimit> {
        let groups = proc::of_self("cgroup")?;
        let mounts = proc::of_self("mountinfo")?;
        find(&groups, &mounts, |path| std::fs::read_to_string(path).ok())
    }
}

fn find(groups: &str, mounts: &str, read: impl Fn(&Path) -> Option<String>) -> Option<MemoryLimit> {
    let mounts: Vec<Mount<'_>> = proc::mounts(mounts).collect();
    let mut smallest: Option<MemoryLimit> = None;
    for group in proc::cgroups(groups) {
        let version = match group.controllers {
            "" if group.hierarchy == 0 => &V2,
            controllers if proc::has(controllers, "memory") => &V1,
            _ => continue,
        };
        let mount = mounts.iter().find(|mount| {
            mount.file_system == version.file_system
                && (group.hierarchy == 0 || proc::has(mount.options, "memory"))
        });
        let Some(mount) = mount else { continue };
        let place = locate(group.path, &mount.root, Path::new(&mount.mount_point));
        let found = smallest_limit(&place, version, &read);
        smallest = match (smallest, found) {
            (Some(a), Some(b)) if b.limit_bytes < a.limit_bytes => Some(b),
            (a, b) => a.or(b),
        };
    }
    smallest
}

/// Where a group's directory is, given which part of the hierarchy is mounted.
///
/// In a container the kernel may state a path of the host that is not mounted, or one that leads
/// out of the mounted part; the mount point itself is then the nearest group that can be read.
fn locate(group: &str, mounted_root: &str, mount_point: &Path) -> Group {
    let below = Path::new(group)
        .strip_prefix(mounted_root)
        .ok()
        .filter(|path| !group.contains("..") && path.is_relative());
    Group {
        directory: below.map_or_else(|| mount_point.into(), |below| mount_point.join(below)),
        mount_point: mount_point.into(),
    }
}

fn smallest_limit(
    group: &Group,
    version: &Version,
    read: impl Fn(&Path) -> Option<String>,
) -> Option<MemoryLimit> {
    let figure = |directory: &Path, file: &str| {
        read(&directory.join(file)).and_then(|text| parse_bytes(&text))
    };
    group
        .directory
        .ancestors()
        .take_while(|directory| directory.starts_with(&group.mount_point))
        .filter_map(|directory| Some((figure(directory, version.limit)?, directory)))
        .min_by_key(|(limit, _)| *limit)
        .map(|(limit_bytes, directory)| MemoryLimit {
            limit_bytes,
            used_bytes: figure(directory, version.used),
        })
}

/// A number of bytes; none for `max` and for version 1's "no limit", the largest multiple of the
/// page size below 2^63.
fn parse_bytes(text: &str) -> Option<u64> {
    let bytes = text.trim().parse().ok()?;
    (bytes < 1 << 62).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> Option<(u64, Option<u64>)> {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| format!("{text}\n"))
        };
        find(cgroup, mountinfo, read).map(|found| (found.limit_bytes, found.used_bytes))
    }

    const V2_MOUNT: &str =
        "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    /// The limit that kills may be a parent's.
    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "800"),
            ("/sys/fs/cgroup/a/b/memory.current", "70"),
            ("/sys/fs/cgroup/a/memory.max", "500"),
            ("/sys/fs/cgroup/a/memory.current", "400"),
            ("/sys/fs/cgroup/memory.max", "max"),
            ("/sys/fs/memory.max", "1"),
        ];
        assert_eq!(limit("0::/a/b\n", V2_MOUNT, &files), Some((500, Some(400))));
    }

    #[test]
    fn max_everywhere_is_no_limit() {
        let files = [("/sys/fs/cgroup/a/memory.max", "max")];
        assert_eq!(limit("0::/a\n", V2_MOUNT, &files), None);
        assert_eq!(limit("0::/\n", V2_MOUNT, &[]), None);
        assert_eq!(limit("", "", &files), None);
    }

    /// In a container with its own name space the path is `/`, or leads above the mounted root.
    #[test]
    fn a_container_s_mount_point_is_its_own_group() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "900"),
            ("/sys/fs/cgroup/memory.current", "5"),
        ];
        for cgroup in ["0::/\n", "0::/../../other\n"] {
            assert_eq!(limit(cgroup, V2_MOUNT, &files), Some((900, Some(5))));
        }
    }

    #[test]
    fn version_1_in_a_container_that_sees_the_host_s_paths() {
        let cgroup = "5:devices:/docker/x\n4:memory:/docker/x/app\n0::/\n";
        let mounts = "35 31 0:32 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      36 31 0:33 /docker/x /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n";
        let files = [
            (
                "/sys/fs/cgroup/memory/app/memory.limit_in_bytes",
                "9223372036854771712",
            ),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "10"),
        ];
        assert_eq!(limit(cgroup, mounts, &files), Some((1000, Some(10))));
        let unseen = "4:memory:/elsewhere\n";
        assert_eq!(limit(unseen, mounts, &files), Some((1000, Some(10))));
    }

    #[test]
    fn where_both_versions_are_mounted_the_smaller_limit_counts() {
        let cgroup = "4:memory:/a\n0::/b\n";
        let mounts = "35 31 0:32 / /m1 rw - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /m2 rw - cgroup2 cgroup2 rw\n";
        let one = ("/m1/a/memory.limit_in_bytes", "700");
        let two = ("/m2/b/memory.max", "600");
        assert_eq!(limit(cgroup, mounts, &[one, two]), Some((600, None)));
        assert_eq!(limit(cgroup, mounts, &[one]), Some((700, None)));
    }
}
