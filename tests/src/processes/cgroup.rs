//! Cgroups that tests make.

use std::{
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A cgroup of the v2 hierarchy, removed with its parents.
pub struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    /// Creates the nested directories; returns `None` if there is no v2 hierarchy, or if it is not writable.
    #[must_use]
    pub fn make(names: &[&str]) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ');
            let (point, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(point))
        })?;
        let mut made = Vec::new();
        let mut path = root;
        for name in names {
            path = path.join(name);
            if let Err(error) = fs::create_dir(&path) {
                println!("skipped: making {}: {error}", path.display());
                drop(Self(made));
                return None;
            }
            made.push(path.clone());
        }
        Some(Self(made))
    }

    /// Creates a cgroup with a memory limit, in the hierarchy that has the controller; `None` if that is not possible.
    #[must_use]
    pub fn with_memory_limit(name: &str, bytes: u64) -> Option<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (made, file) = if v1.join("memory.limit_in_bytes").exists() {
            let path = v1.join(name);
            let made = fs::create_dir(&path).map(|()| Self(vec![path]));
            let made = made.inspect_err(|error| println!("skipped: {}: {error}", v1.display())).ok()?;
            (made, "memory.limit_in_bytes")
        } else {
            let made = Self::make(&[name])?;
            let above = made.path().parent()?.join("cgroup.subtree_control");
            if let Err(error) = fs::write(&above, "+memory") {
                println!("skipped: {}: {error}", above.display());
                return None;
            }
            (made, "memory.max")
        };
        let limit = made.path().join(file);
        let set = fs::write(&limit, bytes.to_string());
        set.inspect_err(|error| println!("skipped: {}: {error}", limit.display())).ok().map(|()| made)
    }

    /// Creates a cgroup with a limit on pids, in the hierarchy that has the controller; `None` if that is not possible.
    #[must_use]
    pub fn with_pids_limit(name: &str, pids: u64) -> Option<Self> {
        let made = Self::v1("pids", &[name]).or_else(|| {
            let made = Self::make(&[name])?;
            let above = made.path().parent()?.join("cgroup.subtree_control");
            let enabled = fs::write(&above, "+pids");
            enabled.inspect_err(|error| println!("skipped: {}: {error}", above.display())).ok()?;
            Some(made)
        })?;
        let limit = made.path().join("pids.max");
        let set = fs::write(&limit, pids.to_string());
        set.inspect_err(|error| println!("skipped: {}: {error}", limit.display())).ok().map(|()| made)
    }

    /// Creates a cgroup with a limit of 1 ms of CPU time a second, in the hierarchy that has the controller. Returns it with the file of
    /// the limit and the word that lifts it; `None` if that is not possible.
    #[must_use]
    pub fn with_cpu_limit(name: &str) -> Option<(Self, PathBuf, &'static str)> {
        let set = |path: PathBuf, text: &str| {
            let set = fs::write(&path, text);
            set.inspect_err(|error| println!("skipped: {}: {error}", path.display())).ok()
        };
        if let Some(made) = Self::v1("cpu", &[name]) {
            let file = made.path().join("cpu.cfs_quota_us");
            set(made.path().join("cpu.cfs_period_us"), "1000000")?;
            set(file.clone(), "1000")?;
            return Some((made, file, "-1"));
        }
        let made = Self::make(&[name])?;
        set(made.path().parent()?.join("cgroup.subtree_control"), "+cpu")?;
        let file = made.path().join("cpu.max");
        set(file.clone(), "1000 1000000")?;
        Some((made, file, "max"))
    }

    /// Creates one in the hierarchy of a v1 controller; `None` if that is not mounted.
    #[must_use]
    pub fn v1(controller: &str, names: &[&str]) -> Option<Self> {
        let mut path = Path::new("/sys/fs/cgroup").join(controller);
        if !path.join("release_agent").exists() {
            println!("skipped: no v1 hierarchy in {}", path.display());
            return None;
        }
        let mut made = Self(Vec::new());
        for name in names {
            path = path.join(name);
            match fs::create_dir(&path) {
                Ok(()) => made.0.push(path.clone()),
                // Another test has made this parent.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    println!("skipped: making {}: {error}", path.display());
                    return None;
                }
            }
        }
        Some(made)
    }

    /// Moves a process to the cgroup.
    #[track_caller]
    pub fn take(&self, pid: i64) {
        let moved = fs::write(self.path().join("cgroup.procs"), pid.to_string());
        moved.unwrap_or_else(|error| panic!("moving {pid} to {}: {error}", self.path().display()));
    }

    /// Lets a command begin in the cgroup.
    #[track_caller]
    pub fn begin(&self, command: &mut Command) {
        let file = fs::OpenOptions::new().write(true).open(self.path().join("cgroup.procs"));
        let mut file = file.unwrap_or_else(|error| panic!("{}: {error}", self.path().display()));
        // SAFETY: the closure makes one write(2) to an open file, which is async-signal-safe.
        unsafe {
            command.pre_exec(move || file.write_all(b"0"));
        }
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        self.0.last().map_or(Path::new("/"), PathBuf::as_path)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Its last task may still be exiting.
            for _ in 0..100 {
                match fs::remove_dir(path) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// A process in a cgroup that sleeps; it ends when this is dropped.
pub struct Sleeper(Child);

impl Sleeper {
    /// Starts it.
    #[track_caller]
    pub fn start(cgroup: &Cgroup) -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").stdout(Stdio::null()).stderr(Stdio::null());
        cgroup.begin(&mut command);
        Self(command.spawn().unwrap_or_else(|error| panic!("sleep: {error}")))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
