//! A death in a sentence.

use std::fmt::Write as _;

use super::{AnswerPlace, Death, Signal};
use crate::{
    lineage::{
        death::{Cause, GroupDeath, Missing, OomScope, Sent},
        flags::{SIGINT, SIGKILL, SIGQUIT, SIGTRAP},
        record::Disposition,
    },
    verdict::duration,
};

/// What the code of a fault means.
fn meaning(signal: &Signal) -> &'static str {
    match signal.code_name.as_deref() {
        Some("SI_KERNEL") if signal.signal == SIGTRAP => "a breakpoint",
        Some("SEGV_MAPERR") => "an address that is not mapped",
        Some("SEGV_ACCERR") => "an address that it must not access in this way",
        Some("BUS_ADRERR") => {
            "the kernel could not provide the page: beyond the end of the file, no space left, or an I/O error"
        }
        Some("BUS_ADRALN") => "an address that is not aligned",
        Some("ILL_ILLOPC" | "ILL_ILLOPN") => "an instruction that does not exist",
        Some("FPE_INTDIV") => "a division by zero, or a quotient that does not fit",
        Some("SI_KERNEL") => "a fault without an address",
        _ => "a fault",
    }
}

fn name(signal: &Signal) -> String {
    signal.signal_name.clone().unwrap_or_else(|| format!("signal {}", signal.signal))
}

/// Returns the sender: name, user, place and ancestors.
fn sender(signal: &Signal) -> String {
    let sender = &signal.sender;
    let mut text = sender.process.as_ref().map_or_else(|| "an unknown task".into(), ToString::to_string);
    if sender.kernel_thread {
        text = format!("the kernel thread {text}");
    } else if let Some(user) = &sender.user {
        let _ = write!(text, ", uid {}", user.id);
        if let Some(login) = sender.login_user.as_ref().filter(|login| *login != user) {
            let _ = write!(text, " (logged in as uid {})", login.id);
        }
    }
    if let Some(terminal) = &sender.terminal {
        let _ = write!(text, ", on {terminal}");
    }
    if let Some(place) = sender.place.as_ref().map(AnswerPlace::short).filter(|place| place != "-") {
        let _ = write!(text, ", in {place}");
    }
    if let Some(received) = &signal.sender_received {
        let before = duration(received.before_ns);
        let from = match &received.from {
            _ if received.by_kernel => "the kernel".into(),
            Some(from) => from.to_string(),
            None => "an unknown task".into(),
        };
        let _ = write!(text, " (which had received {} from {from} {before} before)", name(signal));
    }
    let above: Vec<_> = sender.ancestors.iter().map(ToString::to_string).collect();
    if !above.is_empty() {
        let _ = write!(text, ", below {}", above.join(" < "));
    }
    text
}

pub(super) fn summary(death: &GroupDeath, made: &Death) -> String {
    let mut text = cause(death, made);
    // The text of an escalation has these signals already.
    let is_reported = death.cause == Cause::Escalation;
    let is_own = |other: &Signal| other.sender.process.as_ref().map(|it| it.pid) == Some(made.process.pid);
    for other in made.other_signals.iter().filter(|other| !is_reported && !is_own(other)).take(2) {
        let before = duration(death.at.0.saturating_sub(other.boottime_ns));
        if is_key(other) {
            let _ = write!(text, "; {before} before its end a key in its terminal sent {}", name(other));
        } else {
            let from =
                other.sender.process.as_ref().map_or_else(|| "an unknown task".into(), ToString::to_string);
            let _ = write!(text, "; {before} before its end {from} sent {}", name(other));
        }
        if other.result == "ignored" {
            text.push_str(dropped(death, other));
        }
    }
    // Runtimes report a fault in a handler and then abort.
    let fault =
        made.other_signals.iter().rfind(|other| is_own(other) && (other.address.is_some() || is_trap(other)));
    if let Some(fault) = fault.filter(|_| death.cause == Cause::Abort) {
        let before = duration(death.at.0.saturating_sub(fault.boottime_ns));
        let address = fault.address.map_or_else(String::new, |address| format!(" at {address:#x}"));
        let _ = write!(
            text,
            "; {before} before its end it had received {}: {}{address}",
            name(fault),
            meaning(fault)
        );
    }
    let is_raised = |by: &&Sent| !by.is_from_itself() || death.missing == Some(Missing::RaisedAgain);
    let by = death.by.as_ref().filter(is_raised);
    let again = by.and_then(|by| {
        death
            .others
            .iter()
            .find(|other| other.is_from_itself() && other.signal == by.signal && other.at >= by.at)
    });
    if let (Some(by), Some(again)) = (by, again) {
        let gap = duration(again.at.since(by.at));
        let _ = write!(text, "; it handled the signal and sent it to itself {gap} later");
    }
    if let Some(missing) = death.missing {
        let _ = write!(text, " ({}: {})", death.certainty(), missing.sentence());
    }
    text
}

fn is_trap(signal: &Signal) -> bool {
    signal.signal == SIGTRAP && signal.code.is_some_and(|code| code > 0)
}

/// Whether the kernel sent it for a key of the terminal: its worker that delivers the input is the sender.
fn is_key(signal: &Signal) -> bool {
    signal.sender.kernel_thread
        && matches!(signal.signal, SIGINT | SIGQUIT)
        && signal.code_name.as_deref() == Some("SI_KERNEL")
}

/// Why the kernel did not deliver a signal. Nothing can ignore SIGKILL: `prepare_signal()` drops what comes while a process ends, and
/// `sig_task_ignored()` drops it for the init of a pid namespace.
fn dropped(death: &GroupDeath, other: &Signal) -> &'static str {
    let is_late = death.by.as_ref().is_some_and(|by| other.boottime_ns >= by.at.0);
    match (is_late, other.signal) {
        (true, _) => ", when it was ending already",
        (false, SIGKILL) => ", which the kernel dropped",
        (false, _) => ", which was ignored",
    }
}

fn cause(death: &GroupDeath, made: &Death) -> String {
    let status = match &made.exit {
        Some(exit) => match (exit.code, &exit.signal_name, exit.signal) {
            (Some(code), ..) => format!("exited by itself with code {code}"),
            (None, Some(name), _) => format!("ended by {name}"),
            (None, None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
        },
        None => "ended; its wait status was not seen".into(),
    };
    let core = if made.exit.as_ref().is_some_and(|exit| exit.core_dumped) { "; core dumped" } else { "" };
    let Some(signal) = &made.signal else {
        return match death.cause {
            Cause::Exited => exited(death, made, &status),
            Cause::Seccomp => format!("{status}, and no signal was recorded: seccomp"),
            Cause::Kernel => {
                format!(
                    "{status}, and no signal was recorded: a fault in the kernel (oops) ends a process in this way, see dmesg(1)"
                )
            }
            Cause::NamespaceReboot => {
                format!("{status}: a process in its pid namespace called reboot(2), which ends the namespace")
            }
            Cause::Tracer => format!("{status} on request of {}", tracer(made)),
            _ => format!("{status}; the sender is not known"),
        };
    };
    let (by, sig) = (sender(signal), name(signal));
    match death.cause {
        Cause::Killed => format!("killed by {sig} from {by}{core}"),
        Cause::KilledByItself => format!("sent {sig} to itself{core}"),
        Cause::Escalation => format!("killed by {sig} from {by}{}", asked_before(death, signal)),
        Cause::Timeout => format!("timeout(1) ended it by {sig}: {by}"),
        Cause::CgroupKill if signal.sender.process.as_ref().map(|it| it.pid) == Some(made.process.pid) => {
            "killed by its own write to cgroup.kill of its cgroup".into()
        }
        Cause::CgroupKill if death.missing == Some(Missing::KernelReason) => {
            format!("killed by a write to cgroup.kill of its cgroup, while {by} created it")
        }
        Cause::CgroupKill => format!("killed by a write to cgroup.kill of its cgroup: {by}"),
        Cause::Oom => {
            let limit = made.oom.as_ref().map_or_else(String::new, |oom| format!(": {}", oom.words()));
            format!("killed by the out-of-memory killer{}", trigger(death, made, signal, &limit))
        }
        Cause::PidNamespaceInit => format!("killed because the init of its pid namespace ended: {by}"),
        Cause::ParentDeathSignal => {
            format!("received {sig} because {} ended (PR_SET_PDEATHSIG): {by}", creator(signal))
        }
        Cause::BrokenPipe => "wrote to a pipe or socket that nobody reads (SIGPIPE)".into(),
        Cause::TerminalHangup if signal.sender.exiting => {
            format!(
                "the kernel sent {sig} when a process ended that led its session or held its terminal: {by}"
            )
        }
        Cause::TerminalHangup => format!("its terminal was hung up ({sig}) by {by}"),
        Cause::OrphanedGroup => format!(
            "its process group was orphaned while a process of it was stopped, so the kernel sent {sig}: {by} ended"
        ),
        // A worker of the kernel delivers the input of a terminal or a pty, so nothing shows who typed it.
        Cause::TerminalKey if signal.sender.kernel_thread => {
            format!("a key was pressed in its terminal ({sig})")
        }
        Cause::TerminalKey => {
            format!("a key was pressed in its terminal ({sig}); the input came from {by}")
        }
        Cause::Fault => {
            let address = signal.address.map_or_else(String::new, |address| format!(" at {address:#x}"));
            format!("{sig}: {}{address}{core}", meaning(signal))
        }
        Cause::Abort => {
            format!("sent {sig} to itself, as abort(3) does, for example after a failed assertion{core}")
        }
        Cause::Seccomp => {
            let call = signal.syscall.map_or_else(String::new, |number| format!(" {number}"));
            format!("a seccomp filter refused system call{call} ({sig}){core}")
        }
        Cause::FailedExec => {
            format!("execve(2) failed after the kernel had discarded the old program ({sig}){core}")
        }
        Cause::RealTimeLimit => {
            format!(
                "exceeded RLIMIT_RTTIME, the CPU time of a real-time task without a blocking system call ({sig}){core}"
            )
        }
        Cause::CpuLimit => format!("used more CPU time than RLIMIT_CPU allows ({sig}){core}"),
        Cause::FileSizeLimit => format!("wrote a file larger than RLIMIT_FSIZE allows ({sig}){core}"),
        Cause::Tracer if signal.sender.exiting => {
            format!("its tracer ended and the kernel killed it with the tracer ({sig}): {by}")
        }
        Cause::Tracer if signal.sender.process.as_ref().map(|it| it.pid) == Some(made.process.pid) => {
            format!("{} sent it {sig} by ptrace(2), at a system call{core}", tracer(made))
        }
        Cause::Tracer => format!("its tracer killed it ({sig}, PTRACE_KILL): {by}"),
        Cause::Kernel => match source(signal).filter(|_| death.missing == Some(Missing::SignalCode)) {
            Some(source) => format!("{source} sent {sig}{core}"),
            None => format!("the kernel sent {sig} while {by} ran{core}"),
        },
        Cause::Exited | Cause::NamespaceReboot | Cause::Unknown => {
            format!("{status}; the sender is not known")
        }
    }
}

/// Returns what sends signals with an `si_code` of the kernel.
fn source(signal: &Signal) -> Option<&'static str> {
    Some(match signal.code? {
        -2 => "a POSIX timer (timer_create(2))",
        -3 => "a message queue (mq_notify(3))",
        -4 => "asynchronous input or output (aio(7))",
        1..=6 | -5 => "a file descriptor with F_SETSIG (fcntl(2))",
        _ => return None,
    })
}

/// Returns why the out-of-memory killer ran, with the limit, as text that follows its name.
fn trigger(death: &GroupDeath, made: &Death, signal: &Signal, limit: &str) -> String {
    let Some(trigger) = made.oom_trigger.as_ref().or(signal.sender.process.as_ref()) else {
        return limit.to_owned();
    };
    if trigger.pid == made.process.pid {
        return format!(" when it asked for memory itself{limit}");
    }
    let is_of_host = made.oom.as_ref().is_some_and(|oom| oom.scope == OomScope::Host.code());
    if is_of_host && trigger.name.as_deref().is_some_and(|name| name.starts_with("kworker")) {
        return format!(" when {trigger} asked for memory, or on request of SysRq+f");
    }
    // A write to `memory.max` or `memory.high` that lowers the limit runs the killer as well.
    let of_trigger = death.oom.as_ref().and_then(|oom| oom.trigger_cgroup_id);
    let is_elsewhere = of_trigger.is_some() && death.cgroup_id.is_some() && of_trigger != death.cgroup_id;
    let or_lowered = if is_elsewhere && !is_of_host { ", or lowered the limit" } else { "" };
    format!(" when {trigger} asked for memory{or_lowered}{limit}")
}

/// Returns, as text, the first signal by which the sender of a SIGKILL, or a sibling of the sender, asked the process to end: when,
/// and what the process does with that signal.
fn asked_before(death: &GroupDeath, signal: &Signal) -> String {
    let Some(by) = &death.by else { return String::new() };
    let is_same = |other: &&Sent| other.is_from_same_process(by) || other.is_from_sibling(by);
    let asked = death.others.iter().filter(is_same).filter(|other| other.at.0 <= signal.boottime_ns);
    let Some(first) = asked.min_by_key(|other| other.at) else { return String::new() };
    let name = crate::lineage::flags::signal_name(first.signal).unwrap_or("a signal");
    let why = match first.disposition {
        Some(Disposition::Ignored) => ", which it ignores",
        Some(Disposition::Blocked) => ", which it blocks",
        Some(Disposition::Caught) => ", for which it has a handler",
        Some(Disposition::Default) | None => ", which did not end it",
    };
    let other = first.sender.task.filter(|_| !first.is_from_same_process(by));
    let from = other
        .map_or_else(String::new, |task| format!(" from another process of that name (pid {})", task.tgid));
    format!(", {} after {name}{from}{why}", duration(signal.boottime_ns.saturating_sub(first.at.0)))
}

/// Returns whose end a parent death signal is for. The kernel sends it for the thread that created the process, and other threads of
/// the parent can live on.
fn creator(signal: &Signal) -> String {
    let sender = &signal.sender;
    let pid = sender.process.as_ref().map(|it| it.pid);
    match sender.tid.filter(|tid| Some(*tid) != pid) {
        Some(tid) => format!("thread {tid} of its parent, which created it,"),
        None => "its parent".into(),
    }
}

fn tracer(made: &Death) -> String {
    made.tracer.as_ref().map_or_else(|| "its tracer".into(), |tracer| format!("its tracer {tracer}"))
}

/// Shells and container runtimes report a child's signal as 128 and its number, and so do programs that handle a signal.
fn exited(death: &GroupDeath, made: &Death, status: &str) -> String {
    let code = made.exit.as_ref().and_then(|exit| exit.code).unwrap_or_default();
    let is_timeout = made.process.name.as_deref() == Some("timeout");
    let why = match code {
        124 if is_timeout => "timeout(1) exits with this code if its command did not end in time",
        126 => "a shell exits with this code if it cannot execute a command",
        127 => {
            "a shell that does not find a command and a dynamic loader that does not find a library exit with this code"
        }
        129..=159 => {
            let signal = code - 128;
            let Some(name) = crate::lineage::flags::signal_name(signal) else { return status.to_owned() };
            let is_handled =
                |sent: &Sent| sent.signal == signal && sent.is_delivered() && !sent.is_from_itself();
            return if death.others.iter().any(is_handled) {
                format!(
                    "{status}, which is 128 plus the number of {name}: it received this signal and handled it"
                )
            } else {
                format!(
                    "{status}: no signal ended it; a shell exits with this code if {name} ended its command"
                )
            };
        }
        _ => return status.to_owned(),
    };
    format!("{status}: {why}")
}
