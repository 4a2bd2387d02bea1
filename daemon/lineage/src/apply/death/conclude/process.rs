//! Causes of signals that a process sent by a system call.

use super::{Case, certain, likely};
use crate::model::death::{Cause, Missing, Sent};
use crate::model::flags::{SIGABRT, SIGKILL};

/// `SI_TKILL`: tgkill(2).
const SI_TKILL: i32 = -6;
/// `SI_TIMER`, `SI_MESGQ`, `SI_ASYNCIO`, `SI_SIGIO`: the kernel sends these signals whatever task is current. `rt_sigqueueinfo(2)` can
/// send them too.
const OF_THE_KERNEL: std::ops::RangeInclusive<i32> = -5..=-2;

impl Case<'_> {
    /// Returns the cause if a process sent the signal by a system call.
    pub(super) fn by_process(&self, sent: &Sent, at: usize) -> (Cause, Option<Missing>) {
        if sent.code.is_some_and(|code| OF_THE_KERNEL.contains(&code)) {
            return likely(Cause::Kernel, Missing::SignalCode);
        }
        if sent.is_from_itself() {
            let by_abort = sent.signal == SIGABRT && sent.code == Some(SI_TKILL);
            return certain(if by_abort { Cause::Abort } else { Cause::KilledByItself });
        }
        if sent.is_from_kernel_thread() {
            return likely(Cause::Kernel, Missing::KernelReason);
        }
        if sent.sender.name.is_some_and(|name| name.bytes() == b"timeout") && sent.received.is_none() {
            return likely(Cause::Timeout, Missing::NameOnly);
        }
        let earlier = self.sent.get(..at).unwrap_or_default();
        if sent.signal != SIGKILL {
            return certain(Cause::Killed);
        }
        if earlier.iter().any(|earlier| earlier.is_request() && earlier.is_from_same_process(sent)) {
            return certain(Cause::Escalation);
        }
        // A container engine starts its runtime once for each signal.
        if earlier.iter().any(|earlier| earlier.is_request() && earlier.is_from_sibling(sent)) {
            return likely(Cause::Escalation, Missing::OneSender);
        }
        certain(Cause::Killed)
    }
}
