//! Programs of the machine that tests start: a job in a process group of its own, or in a terminal of its own.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command, Stdio},
    ptr,
};

use serde_json::Value;

use crate::{
    proc::{children, name},
    setting, wait,
};

/// A process of a test, and whatever is in its process group; all are killed when this is dropped.
pub struct Job(pub Child);

impl Job {
    /// Starts a command in a process group of its own; `None` if this machine does not have it.
    #[must_use]
    pub fn start(program: &str, args: &[&str]) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self::of(&mut command)
    }

    /// Starts a command that leads a process group; `None` if this machine does not have it.
    #[must_use]
    pub fn of(command: &mut Command) -> Option<Self> {
        let child = command.spawn();
        child.inspect_err(|error| setting::skip(format_args!("{command:?}: {error}"))).ok().map(Self)
    }

    /// Returns its pid.
    #[must_use]
    pub fn pid(&self) -> i64 {
        self.0.id().into()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: two integers.
        unsafe { libc::kill(-self.0.id().cast_signed(), libc::SIGKILL) };
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command in a terminal of its own, and returns the other end of that.
#[must_use]
#[track_caller]
pub fn in_terminal(program: &str, args: &[&str]) -> Option<(File, Job)> {
    let (mut master, mut slave) = (0, 0);
    let none = ptr::null_mut();
    // SAFETY: the pointers are to two variables; name, settings and size may be null.
    let made = unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) };
    assert_eq!(made, 0, "openpty: {}", io::Error::last_os_error());
    // SAFETY: both descriptors are new, and nothing else owns them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    // SAFETY: the call takes integers only.
    unsafe { libc::fcntl(master.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    let end = || Stdio::from(slave.try_clone().unwrap_or_else(|error| panic!("dup: {error}")));
    let mut command = Command::new(program);
    command.args(args).env("TERM", "dumb").stdin(end()).stdout(end()).stderr(end());
    // SAFETY: signal(2), setsid(2) and ioctl(2) are async-signal-safe, and SIG_DFL runs no code of ours.
    unsafe {
        command.pre_exec(|| {
            // Whoever runs the tests may ignore these: nohup(1), or a shell that started them in the background.
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let job = Job::of(&mut command)?;
    Some((File::from(master), job))
}

/// Waits until a process has this many children of this name, and returns their pids.
#[track_caller]
pub fn named(parent: i64, program: &str, count: usize) -> Vec<i64> {
    wait::until_some(format_args!("there are {count} {program} below {parent}"), || {
        let found: Vec<i64> = children(parent).into_iter().filter(|pid| name(*pid) == program).collect();
        (found.len() == count).then_some(found)
    })
}

/// Checks cause and certainty of an end, and words of its summary.
#[track_caller]
pub fn assert_death(death: &Value, cause: &str, certainty: &str, says: &str) {
    assert_eq!((&death["cause"], &death["certainty"]), (&cause.into(), &certainty.into()), "{death:#}");
    assert!(death["summary"].to_string().contains(says), "{says}: {death:#}");
}

/// Skips a test that needs a shell and tools in a guest; returns whether this is one.
#[must_use]
pub fn has_no_programs() -> bool {
    setting::skip_in_vm("a guest has no shell and no tools")
}
