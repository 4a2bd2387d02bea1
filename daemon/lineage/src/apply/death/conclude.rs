//! Concludes the cause of a group's end from the signals sent to it and from its wait status.
//!
//! A cause is certain only if no other cause leaves the same evidence; otherwise the conclusion names the missing fact.

mod kernel;
mod process;

use super::memory::{Orphaned, PASSED_ON_NS};
use crate::model::death::{Cause, Missing, OomMark, Sent, Watch};
use crate::model::flags::{SIGHUP, SIGINT, SIGKILL, SIGSEGV, SIGSYS};
use crate::model::id::{Ktime, TaskRef, Tgid};
use crate::model::record::SignalInfo;
use crate::model::status::WaitStatus;

/// A process that handles a fault, for example, and then sends the same signal to itself does so within this time, ns.
const HANDLED_WITHIN_NS: u64 = 10_000_000_000;

/// What `task_struct.seccomp.mode` can be. Seccomp sets the last one when it ends the task, since Linux 5.16 and in
/// stable releases of older ones.
const SECCOMP_MODE_STRICT: u32 = 1;
const SECCOMP_MODE_FILTER: u32 = 2;
const SECCOMP_MODE_DEAD: u32 = 3;

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
    /// The thread group of its parent.
    pub(super) parent: Option<Tgid>,
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
        if self.is_ended_by_reboot(signal) {
            return unseen(certain(Cause::NamespaceReboot));
        }
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
        let is_cause = |sent: &Sent| {
            sent.signal == own.signal
                && sent.is_delivered()
                && (!sent.is_from_itself() || sent.is_fault() || sent.is_by_kernel())
                && sent.last <= own.last
                // A service that is asked to end may take minutes.
                && (own.is_request() || own.last.since(sent.last) <= HANDLED_WITHIN_NS)
        };
        let causes = || self.sent.iter().enumerate().filter(|(_, sent)| is_cause(sent));
        let newest = causes().max_by_key(|(_, sent)| sent.last)?;
        // timeout(1) passes on what its command has received too.
        let is_original =
            |sent: &Sent| sent.received.is_none() && newest.1.last.since(sent.last) <= PASSED_ON_NS;
        let original = causes().filter(|(_, sent)| is_original(sent)).max_by_key(|(_, sent)| sent.last);
        Some(original.unwrap_or(newest))
    }

    fn without_a_signal(&self, signal: i32) -> (Cause, Option<Missing>) {
        let Some(since) = self.watch.since else { return unknown(Missing::SignalHook) };
        if !self.watch.watches(signal) {
            return unknown(Missing::NotWatched);
        }
        if self.watch.lost_until >= self.began || self.has_forgotten {
            return unknown(Missing::RecordsLost);
        }
        // Seccomp leaves this mode behind, whoever traces the task.
        if matches!(signal, SIGKILL | SIGSYS) && self.seccomp_mode == Some(SECCOMP_MODE_DEAD) {
            return certain(Cause::Seccomp);
        }
        if self.tracer.is_some() {
            return likely(Cause::Tracer, Missing::TracerRequest);
        }
        if self.began < since {
            return unknown(Missing::BeforeDaemon);
        }
        match (signal, self.seccomp_mode) {
            (SIGKILL, Some(SECCOMP_MODE_STRICT)) => certain(Cause::Seccomp),
            (SIGKILL, None) | (SIGSYS, None | Some(SECCOMP_MODE_FILTER)) => {
                likely(Cause::Seccomp, Missing::SeccompMode)
            }
            // oops_end() of x86 and die() of arm64 end the task with one of these.
            (SIGKILL | SIGSEGV, _) => likely(Cause::Kernel, Missing::KernelReason),
            _ => unknown(Missing::NotGenerated),
        }
    }

    /// Whether `reboot_pid_ns()` ended the init of a pid namespace: the kernel sends SIGKILL to this task alone, and sets its status to
    /// SIGINT or SIGHUP. Such an init does not end by these signals themselves.
    fn is_ended_by_reboot(&self, signal: i32) -> bool {
        let is_kill = |sent: &Sent| {
            sent.signal == SIGKILL && sent.info == SignalInfo::Kernel && !sent.to_group && sent.is_delivered()
        };
        matches!(signal, SIGINT | SIGHUP) && self.is_namespace_init && self.sent.iter().any(is_kill)
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
