//! Concludes the cause of a group's end from the signals sent to it and from its wait status.
//!
//! A cause is certain only if no other cause leaves the same evidence; otherwise the conclusion names the missing fact.

mod kernel;
mod process;

use super::memory::Orphaned;
use crate::model::death::{Cause, Missing, OomMark, Sent, Watch};
use crate::model::flags::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSYS, SIGTERM};
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::SignalInfo;
use crate::model::status::WaitStatus;

/// A process that handles a fault, for example, and then sends the same signal to itself does so within this time, ns.
const HANDLED_WITHIN_NS: u64 = 10_000_000_000;

/// `SECCOMP_MODE_STRICT`, `SECCOMP_MODE_FILTER`, and `SECCOMP_MODE_DEAD` of a task that seccomp ends (since Linux 5.16).
const SECCOMP_MODES: std::ops::RangeInclusive<u32> = 1..=3;
const SECCOMP_MODE_FILTER: u32 = 2;

/// What is known of a group that has ended.
pub(super) struct Case<'a> {
    pub(super) status: Option<WaitStatus>,
    /// Signals to it since it began, oldest first.
    pub(super) sent: &'a [Sent],
    pub(super) oom: Option<&'a OomMark>,
    pub(super) orphaned: Option<Orphaned>,
    /// The tracer of the group when the group ended.
    pub(super) tracer: Option<TaskRef>,
    /// The `SECCOMP_MODE_` number of the last task of the group that a signal ended.
    pub(super) seccomp_mode: Option<u32>,
    /// Whether it is the init of a pid namespace other than the initial one.
    pub(super) is_namespace_init: bool,
    /// When the group was created; 0 if no record showed it.
    pub(super) began: Ktime,
    /// Whether signals to it were dropped because there was no room.
    pub(super) has_forgotten: bool,
    pub(super) watch: &'a Watch,
}

/// A cause, with its evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) cause: Cause,
    /// `None`: certain.
    pub(super) missing: Option<Missing>,
    /// Which of [`Case::sent`] ended it.
    pub(super) by: Option<usize>,
}

const fn certain(cause: Cause) -> (Cause, Option<Missing>) {
    (cause, None)
}

const fn likely(cause: Cause, missing: Missing) -> (Cause, Option<Missing>) {
    (cause, Some(missing))
}

const fn unknown(missing: Missing) -> (Cause, Option<Missing>) {
    (Cause::Unknown, Some(missing))
}

impl Case<'_> {
    pub(super) fn conclude(&self) -> Conclusion {
        let Some(status) = self.status else { return unseen(unknown(Missing::Status)) };
        let Some(signal) = status.signal() else { return unseen(certain(Cause::Exited)) };
        let Some(last) = self.killer(signal) else { return unseen(self.without_a_signal(signal)) };
        let handled = self.handled_before(last.1);
        let (at, sent) = handled.unwrap_or(last);
        let (cause, missing) = self.judge(sent, at);
        let missing = missing.or(handled.map(|_| Missing::RaisedAgain));
        // A later signal can be among the lost ones. After a SIGKILL the kernel delivers no other signal.
        let is_doubtful = signal != SIGKILL && self.watch.lost_until >= sent.last;
        let missing = missing.or(is_doubtful.then_some(Missing::RecordsLost));
        Conclusion { cause, missing, by: Some(at) }
    }

    /// Returns the signal that ended the group. That is the first SIGKILL, which ends a group at once, or the last of other
    /// signals, because a handler may have handled earlier ones. A signal that its sender repeats is one entry of [`Case::sent`],
    /// so the order of the entries is not that of the last signals.
    fn killer(&self, signal: i32) -> Option<(usize, &Sent)> {
        let mut fitting =
            self.sent.iter().enumerate().filter(|(_, sent)| sent.signal == signal && sent.is_delivered());
        if signal == SIGKILL { fitting.next() } else { fitting.max_by_key(|(_, sent)| sent.last) }
    }

    /// Returns the signal that the group handled before it sent the same one to itself, as shells do. A program that cleans up in a
    /// handler then ends itself by the same signal, so that its parent sees why it ended (signal(7) and bash(1) advise this).
    fn handled_before(&self, own: &Sent) -> Option<(usize, &Sent)> {
        if !own.is_from_itself() || own.is_fault() || own.is_by_kernel() {
            return None;
        }
        // A service that is asked to end may take minutes.
        let is_request = matches!(own.signal, SIGTERM | SIGINT | SIGHUP | SIGQUIT);
        let is_cause = |sent: &Sent| {
            sent.signal == own.signal
                && sent.is_delivered()
                && (!sent.is_from_itself() || sent.is_fault() || sent.is_by_kernel())
                && sent.last <= own.last
                && (is_request || own.last.since(sent.last) <= HANDLED_WITHIN_NS)
        };
        let causes = self.sent.iter().enumerate().filter(|(_, sent)| is_cause(sent));
        // timeout(1) passes on what its command has received too.
        causes.max_by_key(|(_, sent)| (sent.received.is_none(), sent.last))
    }

    fn without_a_signal(&self, signal: i32) -> (Cause, Option<Missing>) {
        let Some(since) = self.watch.since else { return unknown(Missing::SignalHook) };
        if !self.watch.watches(signal) {
            return unknown(Missing::NotWatched);
        }
        if self.watch.lost_until >= self.began || self.has_forgotten {
            return unknown(Missing::RecordsLost);
        }
        if self.tracer.is_some() {
            return likely(Cause::Tracer, Missing::TracerRequest);
        }
        match (signal, self.seccomp_mode) {
            (SIGSYS, Some(mode)) if SECCOMP_MODES.contains(&mode) => return certain(Cause::Seccomp),
            (SIGSYS, None) => return likely(Cause::Seccomp, Missing::SeccompMode),
            _ => {}
        }
        if signal == SIGINT || signal == SIGHUP {
            // reboot_pid_ns()
            let by_reboot =
                |sent: &Sent| sent.signal == SIGKILL && sent.info == SignalInfo::Kernel && !sent.to_group;
            if self.is_namespace_init && self.sent.iter().any(by_reboot) {
                return certain(Cause::NamespaceReboot);
            }
        }
        if self.began < since {
            return unknown(Missing::BeforeDaemon);
        }
        match (signal, self.seccomp_mode) {
            // A filter ends a task by SIGSYS.
            (SIGKILL, Some(mode)) if SECCOMP_MODES.contains(&mode) && mode != SECCOMP_MODE_FILTER => {
                certain(Cause::Seccomp)
            }
            (SIGKILL, None) => likely(Cause::Seccomp, Missing::SeccompMode),
            // oops_end() ends the task with SIGKILL.
            (SIGKILL, Some(_)) => likely(Cause::Kernel, Missing::KernelReason),
            _ => unknown(Missing::NotGenerated),
        }
    }

    fn judge(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        match sent.info {
            SignalInfo::None => self.on_behalf(sent, at),
            SignalInfo::Kernel => self.by_kernel(sent, at),
            SignalInfo::Real if sent.is_fault() => Self::forced(sent),
            SignalInfo::Real => self.by_process(sent, at),
        }
    }
}

const fn unseen((cause, missing): (Cause, Option<Missing>)) -> Conclusion {
    Conclusion { cause, missing, by: None }
}
