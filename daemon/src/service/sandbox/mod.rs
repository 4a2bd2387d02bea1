//! Restricts what the daemon can do once it runs, and so what an attacker who takes it over can do.
//!
//! Two kernel features, both installed by the process itself and neither revocable:
//!
//! | feature | since | denies |
//! |---|---|---|
//! | seccomp ([`seccomp`]) | 3.17 | every system call that observing and answering do not need, on all threads |
//! | Landlock ([`landlock`]) | 5.13 | every file but /proc, /sys, the directories of the configuration and of the web configuration's files, removing the socket, the history's directory where there is one, and what outputs reach |
//!
//! The daemon runs even if the kernel lacks one of them: `status` says what is in force.

pub mod landlock;
pub mod seccomp;
mod syscalls;

use std::{fmt, fs, os::fd::RawFd, path::PathBuf};

use crate::outputs::Reach;

pub use self::{
    landlock::{Abi, LandlockError},
    seccomp::SeccompError,
};

/// The paths that the daemon uses after the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// The configuration, read again on SIGHUP.
    pub config: PathBuf,
    /// The API's socket, removed at the end.
    pub socket: Option<PathBuf>,
    /// The mount point of the cgroups, if it is not below /sys.
    pub cgroups: Option<PathBuf>,
    /// Directories whose entries name pods and containers; only their lists are read.
    pub names: Vec<PathBuf>,
    /// The web configuration and the files that it names, read again when they change.
    pub web: Vec<PathBuf>,
    /// The directory of the history, where there is one.
    pub history: Option<PathBuf>,
    /// What outputs reach.
    pub outputs: Reach,
}

/// What is in force.
#[derive(Debug)]
pub struct Sandbox {
    /// The setting.
    is_wanted: bool,
    seccomp: Option<Result<(), SeccompError>>,
    landlock: Option<Result<Abi, LandlockError>>,
}

impl Sandbox {
    /// Returns a sandbox that is not in force yet.
    #[must_use]
    pub const fn new(is_wanted: bool) -> Self {
        Self { is_wanted, seccomp: None, landlock: None }
    }

    /// Restricts access to files. Applies to the calling thread and to threads that it makes later: call it while there is
    /// one thread.
    pub fn restrict_files(&mut self, paths: &Paths) {
        if self.is_wanted {
            self.landlock = Some(landlock::restrict(paths));
        }
    }

    /// Restricts system calls, of all threads. `history` is the descriptor of its directory: files relative to it can be created.
    /// `outputs` says what outputs need.
    pub fn restrict_system_calls(&mut self, history: Option<RawFd>, outputs: &Reach) {
        if self.is_wanted {
            self.seccomp = Some(seccomp::install(history, outputs));
        }
    }

    /// Whether a feature is not in force although the kernel supports it.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.seccomp, Some(Err(_))) || matches!(self.landlock, Some(Err(LandlockError::Refused(_))))
    }

    /// Returns what is requested and not in force, each with its reason.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let seccomp = self.seccomp.as_ref().and_then(|outcome| outcome.as_ref().err());
        let landlock = self.landlock.as_ref().and_then(|outcome| outcome.as_ref().err());
        let seccomp = seccomp.map(|error| format!("seccomp: {error}"));
        let landlock = landlock.map(|error| format!("landlock: {error}"));
        seccomp.into_iter().chain(landlock).collect()
    }
}

/// Returns what this kernel supports, in the words of [`Sandbox`].
#[must_use]
pub fn offered() -> String {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let seccomp = actions.split_whitespace().any(|action| action == "errno").then(|| "seccomp".to_owned());
    let landlock = landlock::offered().ok().map(|abi| abi.to_string());
    let offered: Vec<String> = seccomp.into_iter().chain(landlock).collect();
    if offered.is_empty() { "none".into() } else { offered.join(", ") }
}

/// `seccomp, landlock abi 7`; `none` where the kernel has neither; `off` where the setting says so.
impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.seccomp, &self.landlock) {
            _ if !self.is_wanted => write!(f, "off"),
            (Some(Ok(())), Some(Ok(abi))) => write!(f, "seccomp, {abi}"),
            (Some(Ok(())), _) => write!(f, "seccomp"),
            (_, Some(Ok(abi))) => write!(f, "{abi}"),
            _ => write!(f, "none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_distinguished_from_what_is_requested() {
        let mut sandbox = Sandbox::new(false);
        sandbox.restrict_files(&Paths::default());
        sandbox.restrict_system_calls(None, &Reach::default());
        assert_eq!((sandbox.to_string(), sandbox.missing()), ("off".into(), vec![]));

        let mut sandbox = Sandbox::new(true);
        assert_eq!(sandbox.to_string(), "none");
        sandbox.landlock = Some(Ok(Abi(3)));
        sandbox.seccomp = Some(Ok(()));
        assert_eq!((sandbox.to_string(), sandbox.missing()), ("seccomp, landlock abi 3".into(), vec![]));
        sandbox.landlock = Some(Err(LandlockError::NotInKernel));
        assert_eq!(sandbox.to_string(), "seccomp");
        assert!(sandbox.missing()[0].starts_with("landlock: "), "{:?}", sandbox.missing());
        assert!(!sandbox.is_refused(), "an old kernel is no reason for a warning at every start");
    }
}
