//! The exit codes: one table for the code, `--help` and the manual.

use std::{fmt::Display, process::ExitCode};

use crate::kernel::{object::ObjectError, observer::ObserveError};

/// How a command ended. The numbers are an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or stopped by Ctrl-C, SIGTERM or a closed pipe.
    Success = 0,
    /// Something failed while running.
    Failure = 1,
    /// Wrong use of the command line.
    Usage = 2,
    /// A privilege is missing.
    Privilege = 3,
    /// This kernel cannot be observed, or not from this pid namespace.
    Kernel = 4,
    /// The eBPF object does not fit this binary, or is missing in it.
    Object = 5,
    /// `doctor`: observing works, but not everything can be reported.
    Degraded = 8,
    /// `zombies`: a parent has not waited for its zombies.
    Zombies = 9,
    /// `fleet`: some hosts did not answer.
    HostsMissing = 10,
}

/// The exit codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done, or stopped by Ctrl-C, SIGTERM or a closed pipe
  1  something failed while running
  2  wrong use of the command line
  3  a privilege is missing
  4  this kernel cannot be observed, or not from this pid namespace (use --pid=host, hostPID: true)
  5  the eBPF object does not match this binary, or is missing in it
  8  doctor: observing works, but not everything can be reported
  9  zombies: a parent has not waited for its zombies
  10  fleet: some hosts did not answer; the others are shown";

impl Exit {
    /// Logs why the command failed.
    pub(in crate::cli) fn failed(error: impl Display) -> Self {
        log::error!("{error}");
        Self::Failure
    }

    /// Logs what failed and why.
    pub(in crate::cli) fn failed_at(doing: &str, error: impl Display) -> Self {
        Self::failed(format_args!("{doing}: {error}"))
    }
}

impl From<Result<(), Exit>> for Exit {
    fn from(outcome: Result<(), Self>) -> Self {
        outcome.err().unwrap_or(Self::Success)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&ObserveError> for Exit {
    fn from(error: &ObserveError) -> Self {
        match error {
            ObserveError::Object(object) => match object {
                ObjectError::Privilege { .. } | ObjectError::Memlock { .. } | ObjectError::Refused { .. } => {
                    Self::Privilege
                }
                ObjectError::Btf(_) | ObjectError::Identity(_) | ObjectError::Load(_) => Self::Kernel,
                ObjectError::NotBuilt | ObjectError::Unusable { .. } | ObjectError::Abi { .. } => {
                    Self::Object
                }
            },
            ObserveError::AddressSpace(_) => Self::Failure,
            ObserveError::Ladder(_) | ObserveError::PidNamespace(_) => Self::Kernel,
            ObserveError::Ring(_)
            | ObserveError::NoRing
            | ObserveError::Counters(_)
            | ObserveError::Sched(_) => Self::Object,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_code() {
        for exit in [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::Privilege,
            Exit::Kernel,
            Exit::Object,
            Exit::Degraded,
            Exit::Zombies,
            Exit::HostsMissing,
        ] {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?} is not in the help");
        }
    }
}
