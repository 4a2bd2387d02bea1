//! SHELL: facts that only /proc has. The root is a parameter, so that tests can make their own.
//!
//! - `tasks`: all tasks; `stat`: /proc/PID/stat of one
//! - `facts`: what a verdict needs; `pipes`, `signals` and `system_call` read parts of it
//! - `limits`: the limits on forks; `session`: the session of a process
//! - `shift`: the offset of start times in a time namespace
//! - `own`: what taskscope itself uses

mod facts;
mod limits;
mod open_pipes;
mod own;
mod pipes;
mod session;
mod shift;
mod signals;
mod stat;
mod system_call;
mod tasks;
mod terminal;

pub use self::{
    limits::NextNamespace,
    own::{OwnUsage, own_descriptors, own_start_ticks},
    stat::{Stat, StatError},
    tasks::Sight,
};

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use self::open_pipes::OpenPipes;
use thiserror::Error;

use crate::{
    bounded,
    failpoint::{self, Point},
    fd::spare,
    lineage::id::{Ktime, Tgid},
};

/// `USER_HZ`: the unit of times in /proc/PID/stat, 100 a second on every architecture that Linux has left
/// (`sysconf(_SC_CLK_TCK)`, <https://elixir.bootlin.com/linux/v6.18/source/include/asm-generic/param.h>).
pub(crate) const NS_PER_TICK: u64 = 1_000_000_000 / 100;

/// A mounted procfs.
#[derive(Clone, Debug)]
pub struct Procfs {
    root: PathBuf,
    /// The offset of its start times from the kernel's ([`shift`]).
    shift_ns: i64,
    /// What one answer has read of pipes and locks.
    open: OpenPipes,
    /// Whether there is no procfs: see [`Procfs::absent`].
    is_absent: bool,
}

/// Why reading failed.
#[derive(Debug, Error)]
pub enum ProcfsError {
    /// The file cannot be read, for a reason other than the end of the process.
    #[error("reading {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not have the format of proc(5).
    #[error("{path}: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: StatError,
    },
}

/// The most bytes of /proc/PID/cgroup that are read: a line for each of some 15 hierarchies, each with a path of up to
/// `PATH_MAX`.
const CGROUPS_MAX: usize = 16 * 4096;

impl Default for Procfs {
    fn default() -> Self {
        Self { shift_ns: shift::shift_ns(), ..Self::at(Path::new("/proc")) }
    }
}

impl Procfs {
    /// A procfs mounted at `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), shift_ns: 0, open: OpenPipes::default(), is_absent: false }
    }

    /// Returns a procfs of which nothing can be read, for a host other than this one, such as that of a recording.
    #[must_use]
    pub fn absent() -> Self {
        // A path below a device fails with ENOTDIR, which does not mean that a process ended, as ENOENT does.
        Self { is_absent: true, ..Self::at(Path::new("/dev/null")) }
    }

    /// Whether this is the /proc of another host, see [`Procfs::absent`].
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        self.is_absent
    }

    /// Reads `/proc/PID/stat`; `None` if there is no such process.
    pub fn stat(&self, tgid: Tgid) -> Result<Option<Stat>, ProcfsError> {
        self.read_stat(&format!("{tgid}/stat"))
    }

    /// Reads the text of `/proc/PID/cgroup`: a process's cgroup in each hierarchy.
    pub fn cgroups(&self, tgid: Tgid) -> io::Result<Vec<u8>> {
        read_up_to(&self.root.join(format!("{tgid}/cgroup")), CGROUPS_MAX)
    }

    /// Returns the path of its cgroup in the v2 hierarchy, or else in systemd's own v1 hierarchy; `None` if the process is gone or
    /// the file cannot be read.
    #[must_use]
    pub fn cgroup(&self, tgid: Tgid) -> Option<String> {
        let text = String::from_utf8(self.cgroups(tgid).ok()?).ok()?;
        let path = |of: &str| text.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(of));
        path(":").filter(|path| *path != "/").or_else(|| path("name=systemd:")).map(str::to_owned)
    }

    fn read_stat(&self, file: &str) -> Result<Option<Stat>, ProcfsError> {
        let path = self.root.join(file);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(source) => return Err(ProcfsError::Io { path, source }),
        };
        Stat::parse(&text).map(Some).map_err(|source| ProcfsError::Malformed { path, source })
    }

    /// Returns whether a process of /proc is the one that began at `start`. /proc rounds a start down to ticks.
    #[must_use]
    pub const fn began(&self, found: &Stat, start: Ktime) -> bool {
        start.0.saturating_add_signed(self.shift_ns) / NS_PER_TICK == found.start_ticks
    }

    /// Returns the earliest and the latest time at which a process of /proc can have begun.
    #[must_use]
    pub const fn start_of(&self, found: &Stat) -> (Ktime, Ktime) {
        let shown = found.start_ticks.saturating_mul(NS_PER_TICK);
        let first = shown.saturating_add_signed(self.shift_ns.saturating_neg());
        (Ktime(first), Ktime(first.saturating_add(NS_PER_TICK)))
    }

    /// Returns whether `tgid` is still the zombie that began at `start`, as far as this /proc shows; false for a hidden process.
    pub fn is_still_zombie(&self, tgid: Tgid, start: Ktime) -> Result<bool, ProcfsError> {
        let found = self.stat(tgid)?;
        Ok(found.is_some_and(|found| found.state == b'Z' && self.began(&found, start)))
    }

    /// Returns whether the zombie that began at `start` is known to be gone; false for a process that /proc may hide (`hidepid`).
    #[must_use]
    pub fn is_zombie_gone(&self, tgid: Tgid, start: Ktime) -> bool {
        match self.stat(tgid) {
            Ok(Some(found)) => !(found.state == b'Z' && self.began(&found, start)),
            Ok(None) => self.sight() == Sight::All,
            Err(_) => false,
        }
    }
}

/// Returns the value of a key in the text of /proc/PID/status.
fn value<'a>(status: &'a [u8], key: &str) -> Option<&'a str> {
    // The name is the only part that a task chooses, and the kernel escapes newlines in it.
    status.split(|&byte| byte == b'\n').find_map(|line| {
        let rest = line.strip_prefix(key.as_bytes())?.strip_prefix(b":")?;
        Some(std::str::from_utf8(rest).ok()?.trim())
    })
}

/// Initial size of the buffer, bytes; most files of /proc are shorter.
const ROOM: usize = 2048;

/// All files of /proc are read through this.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    failpoint::check(Point::ProcRead)?;
    spare::retry(|| {
        // The size of files in /proc is reported as 0. With a buffer that most of them fit into, reading takes two calls, not five.
        let mut bytes = Vec::with_capacity(ROOM);
        File::open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

/// Reads a file whose length another process chooses.
fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    failpoint::check(Point::ProcRead)?;
    spare::retry(|| bounded::read(path, most))
}

/// All directories of /proc are listed through this.
fn list(path: &Path) -> io::Result<fs::ReadDir> {
    failpoint::check(Point::ProcList)?;
    spare::retry(|| fs::read_dir(path))
}

/// Returns whether the error means that the process ended: ENOENT, ESRCH.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str, stat: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("taskscope-procfs-{}-{name}", std::process::id()));
        fs::create_dir_all(root.join("42")).unwrap();
        fs::write(root.join("42/stat"), stat).unwrap();
        root
    }

    const ZOMBIE: &str = "42 (a) b) Z 7 42 42 0 -1 4227084 0 0 0 0 0 0 0 0 20 0 1 0 1234 0 0 \
                          18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

    #[test]
    fn a_zombie_is_known_by_its_state_and_start() {
        let root = tree("zombie", ZOMBIE);
        let procfs = Procfs::at(&root);
        assert!(procfs.is_still_zombie(Tgid(42), Ktime(1234 * NS_PER_TICK + 5)).unwrap());
        assert!(!procfs.is_still_zombie(Tgid(42), Ktime(1235 * NS_PER_TICK)).unwrap(), "the pid was reused");
        assert!(!procfs.is_still_zombie(Tgid(43), Ktime(0)).unwrap(), "no such process");
        assert!(procfs.is_zombie_gone(Tgid(42), Ktime(1235 * NS_PER_TICK)));
        assert!(!procfs.is_zombie_gone(Tgid(43), Ktime(0)), "a /proc that hides others proves nothing");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn in_a_time_namespace_a_start_is_the_kernels() {
        let root = tree("shifted", ZOMBIE);
        for shift_ns in [-5_000_000_007, 7 * NS_PER_TICK.cast_signed() + 3] {
            let procfs = Procfs { shift_ns, ..Procfs::at(&root) };
            let found = procfs.stat(Tgid(42)).unwrap().unwrap();
            let (first, last) = procfs.start_of(&found);
            assert_eq!(last.since(first), NS_PER_TICK);
            assert_eq!(first.0.cast_signed(), (1234 * NS_PER_TICK).cast_signed() - shift_ns);
            assert!(procfs.began(&found, first) && procfs.began(&found, Ktime(last.0 - 1)));
            assert!(!procfs.began(&found, Ktime(first.0 - 1)) && !procfs.began(&found, last));
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_malformed_file_is_named() {
        let root = tree("malformed", "42 (x");
        let error = Procfs::at(&root).stat(Tgid(42)).unwrap_err();
        assert!(error.to_string().contains("42/stat"), "{error}");
        assert!(Procfs::at(&root).is_still_zombie(Tgid(42), Ktime(0)).is_err(), "nothing was learned of it");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn this_process_is_found_in_the_real_proc() {
        let me = Tgid(std::process::id());
        let stat = Procfs::default().stat(me).unwrap().unwrap();
        assert_eq!(stat.pid, me.0);
        let (earliest, _) = Procfs::default().start_of(&stat);
        assert!(!Procfs::default().is_still_zombie(me, earliest).unwrap());
    }
}
