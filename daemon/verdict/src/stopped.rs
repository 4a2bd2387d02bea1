//! A process that a signal has stopped, and what continues it: `kill -CONT` does not help a process that wants its terminal while it is in
//! the background, because the kernel stops it again.

use super::Missing;
use super::facts::{BackgroundStop, ProcessFacts, TerminalAccess};

/// A stop in the texts of a verdict.
pub(super) struct Stop {
    /// How it is stopped, after `is`.
    pub(super) how: String,
    pub(super) evidence: Option<String>,
    pub(super) remedy: String,
    /// What it takes to know whether `kill -CONT` is enough.
    pub(super) missing: Option<Missing>,
}

/// Describes the stop of a process that is in state T.
pub(super) fn of(process: &ProcessFacts, pid: u32) -> Stop {
    let plain = |how: &str| Stop {
        how: how.into(),
        evidence: None,
        remedy: format!("continue it: kill -CONT {pid}"),
        missing: None,
    };
    if process.is_stopped_again_and_again() {
        return Stop {
            how: "stopped and continued again and again, as cpulimit(1) does,".into(),
            evidence: Some("it was in state T and has run between two polls".into()),
            remedy: format!(
                "find out who sends it SIGSTOP and SIGCONT (such as cpulimit): strace -e trace=none -p {pid} shows the pid (si_pid)"
            ),
            missing: None,
        };
    }
    let Some(stop) = &process.background else {
        return plain("stopped by a signal (SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU)");
    };
    let BackgroundStop { terminal, groups: (own, foreground), .. } = stop;
    let place = format!(
        "its process group {own} is in the background of {terminal}, whose foreground group is {foreground}"
    );
    let fg = match &stop.shell {
        Some(shell) => format!("bring it to the foreground: `fg` in {shell}, the shell of {terminal}"),
        None => format!("bring it to the foreground: `fg` in the shell of {terminal}"),
    };
    let (how, does, remedy) = match stop.access {
        Some(TerminalAccess::Other) => return plain("stopped by a signal (SIGSTOP or SIGTSTP)"),
        None => {
            return Stop {
                how: "stopped by a signal (SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU)".into(),
                evidence: Some(place),
                remedy: format!(
                    "continue it: kill -CONT {pid}. If it reads from or sets that terminal it is stopped again at once: then {fg}, or start it with `</dev/null`"
                ),
                missing: Some(Missing {
                    fact: "whether it was stopped because it used its terminal".into(),
                    needs: "CAP_SYS_PTRACE, to read /proc/PID/syscall".into(),
                }),
            };
        }
        Some(TerminalAccess::Read) => (
            format!("stopped in a read from its terminal {terminal}, in whose background it is (SIGTTIN)"),
            "reads from it",
            format!("{fg}, or start it with `</dev/null` if it needs no input"),
        ),
        Some(TerminalAccess::Write) => (
            format!(
                "stopped in a write to its terminal {terminal}, in whose background it is (SIGTTOU, as `stty tostop` asks)"
            ),
            "writes to it",
            format!(
                "`stty -tostop` in that terminal and then kill -CONT {pid}; or {fg}, or start it with its output in a file (`>FILE 2>&1`)"
            ),
        ),
        Some(TerminalAccess::Set) => (
            format!(
                "stopped in a call that sets its terminal {terminal}, in whose background it is (SIGTTOU)"
            ),
            "sets it",
            format!("{fg}, or start it without that terminal (`setsid PROGRAM </dev/null`)"),
        ),
    };
    Stop {
        how,
        evidence: Some(format!(
            "{place}: the kernel stops it each time that it {does}, also after kill -CONT"
        )),
        remedy,
        missing: None,
    }
}
