//! The memory limit of the daemon, and the memory in use.
//!
//! Files are opened once, at the start, because descriptors may have run out when memory runs out.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

/// The mount point of the v1 memory controller, the same on every distribution that has one.
const V1_ROOT: &str = "/sys/fs/cgroup/memory";
/// v1 writes "no limit" as the largest multiple of the page size that fits a signed number.
const V1_NO_LIMIT: u64 = 1 << 62;
/// The longest file that is read, bytes. `memory.stat` has about 60 lines.
const FILE_MAX: usize = 8 << 10;

/// Memory in use, and the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// Bytes in use.
    pub(crate) used: u64,
    /// The limit, bytes.
    pub(crate) max: u64,
}

/// What is measured, and the limit.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    source: Source,
}

#[derive(Debug, Default)]
enum Source {
    /// There is no limit.
    #[default]
    Unlimited,
    /// The daemon's resident memory, against the limit of `memory_max`.
    Resident { status: File, max: u64 },
    /// A memory cgroup's usage, against nine tenths of its limit.
    Cgroup { limit: File, usage: File, stat: File, inactive: &'static str },
}

impl Gauge {
    /// Returns a gauge. `memory_max` of 0 means no limit; without it, the limit of the cgroup applies. `v2_root` is the mount
    /// point of the v2 hierarchy.
    pub(super) fn new(memory_max: Option<u64>, v2_root: Option<&Path>) -> Self {
        let source = match memory_max {
            Some(0) => Source::Unlimited,
            Some(max) => match File::open("/proc/self/status") {
                Ok(status) => Source::Resident { status, max },
                Err(error) => {
                    log::warn!(
                        "memory_max: /proc/self/status: {error}; the daemon frees no memory near its limit"
                    );
                    Source::Unlimited
                }
            },
            None => {
                let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
                cgroup(&own, v2_root, Path::new(V1_ROOT))
            }
        };
        Self { source }
    }

    /// Whether there is a limit.
    pub(super) const fn is_limited(&self) -> bool {
        !matches!(self.source, Source::Unlimited)
    }

    /// Returns the memory in use and the limit; `None` without a limit, or if it cannot be read.
    pub(super) fn read(&self) -> Option<Level> {
        match &self.source {
            Source::Unlimited => None,
            Source::Resident { status, max } => {
                let kib: u64 = read(status, |text| {
                    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
                    line.split_whitespace().next()?.parse().ok()
                })?;
                Some(Level { used: kib.saturating_mul(1024), max: *max })
            }
            Source::Cgroup { limit, usage, stat, inactive } => {
                let limit = read(limit, bytes)?;
                let usage = read(usage, bytes)?;
                // The kernel reclaims inactive pages of files first and by itself, so they do not count.
                let cache = read(stat, |text| {
                    let line = text.lines().find_map(|line| line.strip_prefix(*inactive)?.strip_prefix(' '));
                    line?.parse().ok()
                });
                Some(Level { used: usage.saturating_sub(cache.unwrap_or(0)), max: limit / 10 * 9 })
            }
        }
    }
}

/// Parses a number of bytes; `None` for `max` and for v1's number that means no limit.
fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < V1_NO_LIMIT)
}

fn read<T>(file: &File, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; FILE_MAX];
    let length = file.read_at(&mut buffer, 0).ok()?;
    parse(std::str::from_utf8(buffer.get(..length)?).ok()?)
}

/// Returns the memory cgroup with the lowest limit, among the daemon's own and those above it. `own` is `/proc/self/cgroup`.
fn cgroup(own: &str, v2_root: Option<&Path>, v1_root: &Path) -> Source {
    let path = |of: &dyn Fn(&str, &str) -> bool| {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            of(line, controllers).then(|| path.to_owned())
        })
    };
    let v1 = path(&|_, controllers| controllers.split(',').any(|controller| controller == "memory"));
    if let Some(path) = v1 {
        return lowest(v1_root, &path, &V1);
    }
    match (v2_root, path(&|line, _| line.starts_with("0::"))) {
        (Some(root), Some(path)) => lowest(root, &path, &V2),
        _ => Source::Unlimited,
    }
}

/// Names of the files of a hierarchy.
struct Names {
    limit: &'static str,
    usage: &'static str,
    inactive: &'static str,
}

const V1: Names =
    Names { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", inactive: "total_inactive_file" };
const V2: Names = Names { limit: "memory.max", usage: "memory.current", inactive: "inactive_file" };

fn lowest(root: &Path, path: &str, names: &Names) -> Source {
    let own = root.join(path.trim_start_matches('/'));
    // In a container, the path can be that on the host although only the container's own subtree is mounted. Then use the root of
    // the mount.
    let own = if own.is_dir() { own } else { root.to_owned() };
    let candidates = own.ancestors().take_while(|directory| directory.starts_with(root));
    let limited = candidates.filter_map(|directory| {
        let limit = File::open(directory.join(names.limit)).ok()?;
        Some((read(&limit, bytes)?, directory.to_owned(), limit))
    });
    let Some((_, directory, limit)) = limited.min_by_key(|(bytes, _, _)| *bytes) else {
        return Source::Unlimited;
    };
    let open = |name: &str| -> Option<File> {
        let file: PathBuf = directory.join(name);
        File::open(&file)
            .inspect_err(|error| {
                log::warn!("{}: {error}; the daemon frees no memory near its limit", file.display());
            })
            .ok()
    };
    match (open(names.usage), open("memory.stat")) {
        (Some(usage), Some(stat)) => Source::Cgroup { limit, usage, stat, inactive: names.inactive },
        _ => Source::Unlimited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("taskscope-memory-{name}-{}", std::process::id())))
        }

        fn cgroup(&self, path: &str, names: &Names, limit: &str, usage: u64, inactive: u64) {
            let directory = self.0.join(path);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(names.limit), limit).unwrap();
            fs::write(directory.join(names.usage), format!("{usage}\n")).unwrap();
            let stat = format!("anon 1\n{} {inactive}\nactive_file 5\n", names.inactive);
            fs::write(directory.join("memory.stat"), stat).unwrap();
        }

        fn read(&self, own: &str, v1: bool) -> Option<Level> {
            let nowhere = Path::new("/nonexistent");
            let (v2_root, v1_root) = if v1 { (None, &*self.0) } else { (Some(&*self.0), nowhere) };
            Gauge { source: cgroup(own, v2_root, v1_root) }.read()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_lowest_limit_above_counts_and_cache_does_not() {
        let tree = Tree::new("v2");
        tree.cgroup("a", &V2, "1000\n", 700, 100);
        tree.cgroup("a/b", &V2, "max\n", 300, 0);
        tree.cgroup("c", &V2, "max\n", 300, 0);
        assert_eq!(tree.read("0::/a/b\n", false), Some(Level { used: 600, max: 900 }));
        assert_eq!(tree.read("0::/c\n", false), None);
    }

    #[test]
    fn a_v1_limit_counts_where_the_controller_is_there() {
        let tree = Tree::new("v1");
        tree.cgroup("", &V1, "9223372036854771712\n", 9000, 0);
        tree.cgroup("s", &V1, "2000\n", 1500, 500);
        let own = "5:cpu,cpuacct:/x\n4:memory:/s\n0::/y\n";
        assert_eq!(tree.read(own, true), Some(Level { used: 1000, max: 1800 }));
        assert_eq!(tree.read("4:memory:/\n", true), None);
    }

    #[test]
    fn in_a_container_the_mounted_part_counts() {
        let tree = Tree::new("container");
        tree.cgroup("", &V2, "1000\n", 500, 0);
        assert_eq!(tree.read("0::/kubepods/pod1/abc\n", false), Some(Level { used: 500, max: 900 }));
    }

    #[test]
    fn a_limit_of_its_own_is_compared_with_resident_memory() {
        let level = Gauge::new(Some(1 << 40), None).read().unwrap();
        assert_eq!(level.max, 1 << 40);
        assert!(level.used > 1 << 20 && level.used < 1 << 36, "{level:?}");
        assert!(!Gauge::new(Some(0), None).is_limited());
    }
}
