//! The signal that stopped a process.

use serde::{Deserialize, Serialize};

use crate::{
    answer::{HostFacts, death::Signal, task::Ids},
    lineage::{
        death::{JobStop, Sender, Sent},
        flags::SI_KERNEL,
        id::{GroupKey, Ktime, TaskKey, TaskRef, Tid},
        record::{Comm, SignalInfo},
    },
};

/// The last signal that can have stopped a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedBy {
    /// The signal, with its sender.
    #[serde(flatten)]
    pub signal: Signal,
    /// When a SIGCONT came after it, on `CLOCK_BOOTTIME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued_boottime_ns: Option<u64>,
}

impl StoppedBy {
    pub(super) fn of(stop: &JobStop, host_facts: &mut HostFacts<'_>) -> Self {
        let signal = Signal::of(&stop.sent, host_facts);
        Self { signal, continued_boottime_ns: stop.continued.map(|at| at.0) }
    }

    /// Returns the stop of this process, with what a verdict uses of the signal.
    pub(super) fn recall(&self, of: GroupKey) -> JobStop {
        let (at, sender) = (Ktime(self.signal.boottime_ns), &self.signal.sender);
        let pid = sender.process.as_ref().map(|process| process.pid);
        let task = pid.map(|pid| Ids { pid, tid: sender.tid.unwrap_or(pid) }.task());
        let name = sender.process.as_ref().and_then(|process| process.name.as_deref());
        let sender = Sender {
            task,
            name: name.map(|name| Comm::of_name(name.as_bytes())),
            uid: sender.user.as_ref().map(|user| user.id),
            login_uid: sender.login_user.as_ref().map(|user| user.id),
            terminal: None,
            flags: 0,
            cgroup_id: None,
            ancestors: Box::default(),
            is_namespace_init: false,
        };
        let is_by_kernel = self.signal.code == Some(SI_KERNEL);
        let sent = Sent {
            at,
            signal: self.signal.signal,
            code: self.signal.code,
            info: if is_by_kernel { SignalInfo::Kernel } else { SignalInfo::Real },
            to_group: true,
            target: TaskRef {
                key: TaskKey { tid: Tid(of.tgid.0), start: of.start.unwrap_or_default() },
                tgid: of.tgid,
            },
            result: 0,
            address: 0,
            syscall: 0,
            disposition: None,
            tracer: None,
            cpu_limits: None,
            in_execve: None,
            is_before_creation: false,
            received: None,
            sender,
            times: self.signal.times,
            last: at,
        };
        JobStop { sent, leads_session: None, continued: self.continued_boottime_ns.map(Ktime) }
    }
}
