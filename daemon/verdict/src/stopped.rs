//! A process that a signal has stopped, and what continues it: `kill -CONT` does not help a process that wants its terminal while it is in
//! the background, because the kernel stops it again.

use lineage::death::{JobStop, StopReason};
use lineage::flags::signal_name;
use lineage::id::{GroupKey, Ktime};

use super::facts::{BackgroundStop, Named, ProcessFacts, TerminalAccess};
use super::{Certainty, Missing, duration};

/// A program that stops and continues a process in turn has sent its last signal within this time, ns.
const IN_TURN_NS: u64 = 5_000_000_000;

/// A process in state T.
pub(super) struct Stopped<'a> {
    pub(super) process: &'a ProcessFacts,
    pub(super) pid: u32,
    /// The last signal that can have stopped it.
    pub(super) by: Option<&'a JobStop>,
    pub(super) now: Ktime,
}

/// A stop in the texts of a verdict.
pub(super) struct Stop {
    /// How it is stopped, after `is`.
    pub(super) how: String,
    pub(super) evidence: Option<String>,
    pub(super) remedy: String,
    /// What it takes to know whether `kill -CONT` is enough.
    pub(super) missing: Option<Missing>,
}

/// Who sent a stop signal.
struct Sender {
    named: Named,
    /// The process with its user.
    full: String,
}

impl Sender {
    fn of(stop: &JobStop) -> Option<Self> {
        let sender = &stop.sent.sender;
        let named = Named {
            key: GroupKey { tgid: sender.task?.tgid, start: None },
            name: sender.name.map(|name| name.bytes().to_vec()),
        };
        let full = sender.uid.map_or_else(|| named.to_string(), |uid| format!("{named}, uid {uid},"));
        Some(Self { named, full })
    }
}

impl Stopped<'_> {
    /// Describes the stop.
    pub(super) fn describe(&self) -> Stop {
        if self.process.is_stopped_again_and_again() {
            return self.in_turn();
        }
        let by = self.by.filter(|by| by.continued.is_none());
        match (by, by.map(JobStop::reason)) {
            (Some(by), Some(StopReason::Sent)) => self.by_process(by),
            (Some(by), Some(StopReason::Key)) => self.by_key(by),
            (by, reason) => match &self.process.background {
                Some(background) => self.in_background(background, by, reason),
                None => self.in_foreground(by),
            },
        }
    }

    /// Returns `Likely` for a process that is stopped and continued in turn: it may do its work whenever it runs.
    pub(super) fn certainty(&self) -> Certainty {
        if self.process.is_stopped_again_and_again() { Certainty::Likely } else { Certainty::Certain }
    }

    fn age(&self, by: &JobStop) -> String {
        duration(self.now.since(by.sent.at))
    }

    fn continue_it(&self) -> String {
        format!("continue it: kill -CONT {}", self.pid)
    }

    fn plain(&self, how: &str) -> Stop {
        Stop { how: how.into(), evidence: None, remedy: self.continue_it(), missing: None }
    }

    fn in_turn(&self) -> Stop {
        let pid = self.pid;
        let by = self.by.filter(|by| by.sent.times > 1 && !by.sent.is_from_itself());
        let by = by.filter(|by| self.now.since(by.sent.at) <= IN_TURN_NS);
        let Some((by, sender)) = by.and_then(|by| Some((by, Sender::of(by)?))) else {
            return Stop {
                how: "stopped and continued again and again, as cpulimit(1) does,".into(),
                evidence: Some("it was in state T and has run between two polls".into()),
                remedy: format!(
                    "find out who sends it SIGSTOP and SIGCONT (such as cpulimit): strace -e trace=none -p {pid} shows the pid (si_pid)"
                ),
                missing: None,
            };
        };
        let (who, signal) = (&sender.named, name(by));
        Stop {
            how: format!("stopped and continued again and again by {who},"),
            evidence: Some(format!(
                "{} has sent it {signal} {} times, the last time {} ago",
                sender.full,
                by.sent.times,
                self.age(by)
            )),
            remedy: format!(
                "end {who}, if it should not be slowed down, and continue it: kill {}; kill -CONT {pid}",
                who.key.tgid
            ),
            missing: None,
        }
    }

    fn by_process(&self, by: &JobStop) -> Stop {
        let (signal, age) = (name(by), self.age(by));
        if by.sent.is_from_itself() {
            let how = format!("stopped by a {signal} that it sent to itself");
            let evidence = format!("it sent itself {signal} {age} ago, and nothing has sent SIGCONT since");
            return Stop { evidence: Some(evidence), ..self.plain(&how) };
        }
        let Some(sender) = Sender::of(by) else { return self.plain(&format!("stopped by {signal}")) };
        let how = format!("stopped by {signal} from {}", sender.named);
        let evidence =
            format!("{} sent it {signal} {age} ago, and nothing has sent SIGCONT since", sender.full);
        Stop { evidence: Some(evidence), ..self.plain(&how) }
    }

    fn by_key(&self, by: &JobStop) -> Stop {
        let evidence =
            format!("the key was pressed {} ago, and nothing has sent SIGCONT since", self.age(by));
        let remedy = match &self.process.background {
            Some(background) => format!(
                "{}, or continue it in the background: kill -CONT {}",
                bring_to_foreground(background),
                self.pid
            ),
            None => self.continue_it(),
        };
        let how = "stopped by the suspend key of its terminal (SIGTSTP)";
        Stop { evidence: Some(evidence), remedy, ..self.plain(how) }
    }

    /// Describes a stop of a process that is not in the background of its terminal now.
    fn in_foreground(&self, by: Option<&JobStop>) -> Stop {
        let Some(by) = by else {
            return self.plain("stopped by a signal (SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU)");
        };
        let does = if by.reason() == StopReason::BackgroundRead { "a read from" } else { "its use of" };
        let how = format!("stopped since {does} its terminal while it was in the background ({})", name(by));
        let evidence = format!("that was {} ago; it is not in the background any more", self.age(by));
        Stop { evidence: Some(evidence), ..self.plain(&how) }
    }

    fn in_background(&self, stop: &BackgroundStop, by: Option<&JobStop>, reason: Option<StopReason>) -> Stop {
        let pid = self.pid;
        let BackgroundStop { terminal, groups: (own, foreground), .. } = stop;
        let place = format!(
            "its process group {own} is in the background of {terminal}, whose foreground group is {foreground}"
        );
        let fg = bring_to_foreground(stop);
        let access = match (reason, stop.access) {
            (Some(StopReason::BackgroundRead), _) => Some(TerminalAccess::Read),
            (None, access) | (Some(_), access @ Some(TerminalAccess::Write | TerminalAccess::Set)) => access,
            (Some(_), _) => return self.output(&place, &fg, terminal),
        };
        let (how, does, remedy) = match access {
            Some(TerminalAccess::Other) => return self.plain("stopped by a signal (SIGSTOP or SIGTSTP)"),
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
                format!(
                    "stopped in a read from its terminal {terminal}, in whose background it is (SIGTTIN)"
                ),
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
        let reader = by
            .filter(|by| !by.sent.is_from_itself())
            .and_then(Sender::of)
            .map_or_else(String::new, |sender| {
                format!("; {} of that process group used the terminal", sender.named)
            });
        Stop {
            how,
            evidence: Some(format!(
                "{place}: the kernel stops it each time that it {does}, also after kill -CONT{reader}"
            )),
            remedy,
            missing: None,
        }
    }

    /// Describes a stop by a SIGTTOU from the kernel if the system call that caused it is not known.
    fn output(&self, place: &str, fg: &str, terminal: &str) -> Stop {
        Stop {
            how: format!(
                "stopped in a write to its terminal {terminal}, or in a call that sets it, in whose background it is (SIGTTOU)"
            ),
            evidence: Some(format!(
                "{place}: the kernel stops it each time that it does so, also after kill -CONT"
            )),
            remedy: format!(
                "{fg}; or, if it writes, `stty -tostop` in that terminal and then kill -CONT {}",
                self.pid
            ),
            missing: Some(Missing {
                fact: "whether it writes to its terminal or sets it".into(),
                needs: "CAP_SYS_PTRACE, to read /proc/PID/syscall".into(),
            }),
        }
    }
}

fn name(by: &JobStop) -> &'static str {
    signal_name(by.sent.signal).unwrap_or("a signal")
}

fn bring_to_foreground(stop: &BackgroundStop) -> String {
    let terminal = &stop.terminal;
    match &stop.shell {
        Some(shell) => format!("bring it to the foreground: `fg` in {shell}, the shell of {terminal}"),
        None => format!("bring it to the foreground: `fg` in the shell of {terminal}"),
    }
}
