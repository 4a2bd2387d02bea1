//! Limits on a running daemon: of a cgroup made for it, of its user, of the machine.

use std::{
    ffi::CString,
    fs,
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::setting;

/// A file of the kernel whose content is restored when this is dropped.
pub(super) struct Setting {
    path: PathBuf,
    was: String,
}

impl Setting {
    /// Writes `value` to the file.
    pub(super) fn set(path: impl Into<PathBuf>, value: &str) -> Result<Self, String> {
        let path = path.into();
        let failed = |error: io::Error| super::skipped(format_args!("{}: {error}", path.display()));
        let text = fs::read_to_string(&path).map_err(failed)?;
        // If a file lists several values, the one in force is in brackets.
        let chosen = text.split_once('[').and_then(|(_, rest)| Some(rest.split_once(']')?.0));
        let was = chosen.unwrap_or(&text).trim().to_owned();
        fs::write(&path, value).map_err(failed)?;
        Ok(Self { path, was })
    }

    /// Returns the former number.
    pub(super) fn before(&self) -> Option<u64> {
        self.was.parse().ok()
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.was) {
            eprintln!("putting {} back into {}: {error}", self.was, self.path.display());
        }
    }
}

/// A resource limit of a process, restored when this is dropped.
pub(super) struct Limit {
    pid: u32,
    resource: libc::__rlimit_resource_t,
    was: libc::rlimit,
}

impl Limit {
    /// Sets the soft and the hard limit of a running process.
    pub(super) fn set(pid: u32, resource: libc::__rlimit_resource_t, value: u64) -> Result<Self, String> {
        let new = libc::rlimit { rlim_cur: value, rlim_max: value };
        let mut was = new;
        prlimit(pid, resource, &new, &mut was)
            .map_err(|error| super::skipped(format_args!("prlimit: {error}")))?;
        Ok(Self { pid, resource, was })
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let mut now = self.was;
        // If the daemon has ended, that is a finding already.
        let _ = prlimit(self.pid, self.resource, &self.was, &mut now);
    }
}

fn prlimit(
    pid: u32,
    resource: libc::__rlimit_resource_t,
    new: &libc::rlimit,
    old: &mut libc::rlimit,
) -> io::Result<()> {
    // SAFETY: both structures outlive the call.
    let failed = unsafe { libc::prlimit(pid.cast_signed(), resource, new, old) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A cgroup for one process, with one controller. When it is dropped, the process is moved out and the cgroup is removed.
pub struct Cgroup {
    directory: PathBuf,
    parent: PathBuf,
    /// Whether the hierarchy is of version 2.
    pub(crate) is_v2: bool,
    pid: Option<u32>,
}

impl Cgroup {
    /// Creates it in the hierarchy that has the controller. In a guest without a v2 hierarchy, mounts one.
    pub fn new(controller: &str) -> Result<Self, String> {
        Self::named(controller, "fault")
    }

    /// Does the same with a part of its name, for a second cgroup of a fault.
    pub(super) fn named(controller: &str, name: &str) -> Result<Self, String> {
        let v1 = Path::new("/sys/fs/cgroup").join(controller);
        let is_v2 = !v1.join("cgroup.procs").exists();
        let parent = if is_v2 { v2(controller).map_err(super::skipped)? } else { v1 };
        let directory = parent.join(format!("taskscope-{name}-{}", std::process::id()));
        let made = fs::create_dir_all(&directory);
        made.map_err(|error| super::skipped(format_args!("making {}: {error}", directory.display())))?;
        Ok(Self { directory, parent, is_v2, pid: None })
    }

    /// Moves a process with all its threads to the cgroup.
    pub fn take(&mut self, pid: u32) -> Result<(), String> {
        let moved = fs::write(self.directory.join("cgroup.procs"), pid.to_string());
        moved.map_err(|error| {
            super::skipped(format_args!("moving {pid} to {}: {error}", self.directory.display()))
        })?;
        self.pid = Some(pid);
        Ok(())
    }

    /// Lets a command begin in the cgroup.
    #[track_caller]
    pub fn begin(&self, command: &mut Command) {
        let path = self.directory.join("cgroup.procs");
        let file = fs::OpenOptions::new().write(true).open(&path);
        let mut file = file.unwrap_or_else(|error| panic!("opening {}: {error}", path.display()));
        // SAFETY: the closure makes one write(2) to an open file, which is async-signal-safe.
        unsafe { command.pre_exec(move || file.write_all(b"0")) };
    }

    /// Writes to a file of the cgroup.
    pub fn write(&self, file: &str, value: &str) -> Result<(), String> {
        let path = self.directory.join(file);
        fs::write(&path, value)
            .map_err(|error| super::skipped(format_args!("writing {}: {error}", path.display())))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            // A process that has ended is in no cgroup.
            let _ = fs::write(self.parent.join("cgroup.procs"), pid.to_string());
        }
        // Its last task may still be exiting.
        for _ in 0..100 {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}

fn v2(controller: &str) -> Result<PathBuf, String> {
    let mut root = PathBuf::from("/sys/fs/cgroup");
    if !root.join("cgroup.controllers").exists() {
        if !setting::in_vm() {
            return Err(format!("there is no cgroup hierarchy with the controller {controller}"));
        }
        root = std::env::temp_dir().join("taskscope-cgroup");
        fs::create_dir_all(&root).map_err(|error| format!("making {}: {error}", root.display()))?;
        let path = CString::new(root.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        // SAFETY: the strings end with NUL and outlive the call. If it fails because the hierarchy is mounted already, that is as
        // good.
        unsafe { libc::mount(c"cgroup2".as_ptr(), path.as_ptr(), c"cgroup2".as_ptr(), 0, std::ptr::null()) };
    }
    let control = root.join("cgroup.subtree_control");
    fs::write(&control, format!("+{controller}"))
        .map_err(|error| format!("{}: {error}", control.display()))?;
    Ok(root)
}
