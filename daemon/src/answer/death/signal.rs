//! A signal, and who sent it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::si_code::code_name;
use crate::{
    answer::{
        HostFacts,
        place::AnswerPlace,
        process::{ProcessRef, User},
    },
    export::Stamp,
    lineage::{
        self,
        death::{Received, Sent},
        flags::{SI_KERNEL, SIGSYS, signal_name},
        id::Ktime,
    },
};

/// A signal with its sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// Its number.
    pub signal: i32,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_name: Option<String>,
    /// `si_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The name of `si_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_name: Option<String>,
    /// When it was sent, on `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// `process`, or `thread` for one task alone.
    pub to: String,
    /// `delivered`, `ignored`, or `lost`.
    pub result: String,
    /// How often this sender sent it.
    pub times: u32,
    /// The address of a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<u64>,
    /// The system call that a seccomp filter refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscall: Option<i32>,
    /// The sender.
    pub sender: Sender,
    /// The same signal, if the sender had received it less than a second before, and so may have passed it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_received: Option<SenderReceived>,
}

/// The same signal to the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SenderReceived {
    /// How long before, ns.
    pub before_ns: u64,
    /// The process that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ProcessRef>,
    /// Whether the kernel sent it, as for a key of a terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_kernel: bool,
}

/// The sender of a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sender {
    /// The sender's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRef>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// Its real user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Its login uid (`/proc/PID/loginuid`), which does not change when it changes its uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_user: Option<User>,
    /// Its controlling terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// Whether it is a kernel thread.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kernel_thread: bool,
    /// Whether it was in `do_exit()`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exiting: bool,
    /// Its ancestors at that time, its parent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<ProcessRef>,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
}

impl Signal {
    pub(in crate::answer) fn of(sent: &Sent, host_facts: &mut HostFacts<'_>) -> Self {
        let is_fault = sent.has_address()
            && sent.code.is_some_and(|code| code > 0 && code != SI_KERNEL)
            && sent.is_from_itself();
        let name = sent.code.and_then(|code| code_name(sent.signal, code));
        Self {
            signal: sent.signal,
            signal_name: signal_name(sent.signal).map(Into::into),
            code: sent.code,
            code_name: name.map(Into::into),
            boottime_ns: sent.at.0,
            to: if sent.to_group { "process" } else { "thread" }.into(),
            result: if sent.is_delivered() {
                "delivered"
            } else if sent.is_ignored() {
                "ignored"
            } else {
                "lost"
            }
            .into(),
            times: sent.times,
            address: (is_fault && sent.signal != SIGSYS).then_some(sent.address),
            syscall: (is_fault && sent.signal == SIGSYS).then_some(sent.syscall),
            sender: Sender::of(sent, host_facts),
            sender_received: sent
                .received
                .as_deref()
                .map(|received| SenderReceived::of(received, sent.at, host_facts.stamp)),
        }
    }
}

impl SenderReceived {
    fn of(received: &Received, sent_at: Ktime, stamp: &Stamp) -> Self {
        let from = received.from.map(|task| ProcessRef::by(task.group(), received.name, stamp));
        Self { before_ns: sent_at.since(received.at), from, by_kernel: received.is_by_kernel }
    }
}

impl Sender {
    fn of(sent: &Sent, host_facts: &mut HostFacts<'_>) -> Self {
        Self::new(&sent.sender, host_facts)
    }

    pub(in crate::answer) fn new(sender: &lineage::death::Sender, host_facts: &mut HostFacts<'_>) -> Self {
        let stamp: &Stamp = host_facts.stamp;
        let process = sender.task.map(|task| ProcessRef::by(task.group(), sender.name, stamp));
        Self {
            process,
            tid: sender.task.map(|task| task.key.tid.0),
            user: sender.uid.map(|id| User { id }),
            login_user: sender.login_uid.map(|id| User { id }),
            terminal: sender.terminal.map(|terminal| terminal.to_string()),
            kernel_thread: sender.is_kernel_thread(),
            exiting: sender.is_exiting(),
            ancestors: sender.ancestors.iter().map(|it| ProcessRef::by(it.key, it.name, stamp)).collect(),
            place: sender.cgroup_id.and_then(|id| (host_facts.places)(id)),
        }
    }
}
