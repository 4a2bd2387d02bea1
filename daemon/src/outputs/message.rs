//! One event as a sentence, with its severity.

use crate::{
    export::text,
    lineage::{
        death::{Cause, GroupDeath},
        effect::{Action, Effect},
        flags::signal_name,
        record::Comm,
        status::WaitStatus,
    },
};

/// The severity of an event, as in syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
    Notice,
    Info,
}

impl Severity {
    pub(super) fn of(effect: &Effect) -> Self {
        match &effect.action {
            Action::GroupExited { death: Some(death), .. } => match death.cause {
                Cause::Oom => Self::Error,
                Cause::Exited => Self::Info,
                Cause::Fault | Cause::Abort | Cause::Seccomp => Self::Warning,
                _ => Self::Notice,
            },
            Action::ZombieFlagged { .. }
            | Action::BlockedFlagged(_)
            | Action::LeakFlagged(_)
            | Action::ExitStuck { .. }
            | Action::CloneFailed { .. } => Self::Warning,
            _ => Self::Info,
        }
    }

    /// The number of syslog(3).
    pub(super) const fn syslog(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }

    /// The number and the text of OpenTelemetry's logs data model.
    pub(super) const fn otel(self) -> (i32, &'static str) {
        match self {
            Self::Error => (17, "ERROR"),
            Self::Warning => (13, "WARN"),
            Self::Notice => (10, "INFO2"),
            Self::Info => (9, "INFO"),
        }
    }
}

/// Returns the sentence. Names are escaped as in lines for a terminal.
pub(super) fn of(effect: &Effect) -> String {
    let who = task(effect.process.name.or(effect.thread.name), effect.process.key.tgid.0);
    match &effect.action {
        Action::ZombieFlagged { zombie, parent_name } => {
            let parent = effect.process.parent.map_or_else(
                || "its parent".into(),
                |parent| format!("its parent {}", task(*parent_name, parent.tgid.0)),
            );
            format!("{who} has been a zombie for {}: {parent} has not waited for it", seconds(zombie.ns))
        }
        Action::GroupExited { death: Some(death), .. } => format!("{who} {}", ended(death)),
        Action::GroupExited { .. } => format!("{who} exited with code 0"),
        Action::BlockedFlagged(sleep) => {
            format!("{who} has been in uninterruptible sleep for {}", seconds(sleep.blocked.ns))
        }
        Action::BlockedCleared { blocked } => {
            format!("{who} is no longer in uninterruptible sleep, after {}", seconds(blocked.ns))
        }
        Action::LeakFlagged(leak) => format!("{who} leaks: {}, {}", leak.kind().name(), leak.count()),
        Action::LeakCleared(leak) => format!("{who} no longer leaks: {}", leak.kind().name()),
        Action::ExitStuck { stuck_ns } => {
            format!("{who} has been in do_exit() for {}", seconds(*stuck_ns))
        }
        Action::Reaped { zombie: Some(zombie), .. } => {
            format!("{who} was reaped, after {} as a zombie", seconds(zombie.ns))
        }
        other => format!("{who}: {}", other.name()),
    }
}

/// Returns the sentence of a gap.
pub(super) fn of_gap(place: &str, lost: u64) -> String {
    match place {
        "output" => format!("{lost} events are missing here: this output could not be written fast enough"),
        _ => format!("{lost} records were lost ({place}); the tree is compared with the kernel's tasks"),
    }
}

fn ended(death: &GroupDeath) -> String {
    let signal = death.status.and_then(WaitStatus::signal);
    let signal = signal.map(|number| signal_name(number).map_or_else(|| number.to_string(), str::to_owned));
    let signal = signal.unwrap_or_else(|| "a signal".into());
    if death.cause == Cause::Oom {
        return "was killed by the out-of-memory killer".into();
    }
    if death.cause == Cause::Exited {
        let code = death.status.and_then(WaitStatus::code);
        return code.map_or_else(|| "exited".into(), |code| format!("exited with code {code}"));
    }
    let by = death.by.as_ref().filter(|_| matches!(death.cause, Cause::Killed | Cause::Escalation));
    let sender = by.and_then(|by| Some(task(by.sender.name, by.sender.task?.tgid.0)));
    sender.map_or_else(
        || format!("was ended by {signal} ({})", death.cause.code()),
        |sender| format!("was killed by {signal} from {sender}"),
    )
}

fn task(name: Option<Comm>, pid: u32) -> String {
    let Some(name) = name else { return format!("pid {pid}") };
    let mut text = Vec::new();
    text::escaped(&mut text, name.bytes());
    format!("{}[{pid}]", String::from_utf8_lossy(&text))
}

fn seconds(ns: u64) -> String {
    format!("{}.{} s", ns / 1_000_000_000, ns % 1_000_000_000 / 100_000_000)
}
