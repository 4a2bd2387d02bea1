//! Senders and reasons that are easily mistaken for others.

use super::*;
use crate::model::death::{Ancestor, Received};
use crate::model::id::GroupKey;

#[test]
fn two_processes_of_one_parent_escalate_as_one_does() {
    let below = |pid, mut sent: Sent, parent| {
        let key = GroupKey { tgid: Tgid(parent), start: Some(Ktime(1)) };
        sent.sender.ancestors = [Ancestor { key, name: None }].into();
        by(pid, sent)
    };
    let ends = |first: Sent, second: Sent| given(&[first, at(2_000, second)]).ends(9);
    assert_eq!(
        ends(below(51, sent(15), 40), below(52, sent(9), 40)),
        (Cause::Escalation, Some(Missing::OneSender))
    );
    assert_eq!(ends(below(51, sent(15), 40), below(52, sent(9), 41)), (Cause::Killed, None));
    assert_eq!(ends(below(51, sent(15), 1), below(52, sent(9), 1)), (Cause::Killed, None));
    let mut named = below(51, sent(15), 40);
    named.sender.name = None;
    assert_eq!(ends(named, below(52, sent(9), 40)), (Cause::Killed, None));
}

/// A signal that its sender repeats is one entry.
#[test]
fn the_sender_of_the_last_signal_ended_it_whoever_was_first() {
    let repeated = Sent { times: 2, last: Ktime(3_000), ..sent(15) };
    let between = at(2_000, by(51, sent(15)));
    let sent = [repeated, between];
    assert_eq!(conclude(&sent, 15).by, Some(0));
    let raised = at(4_000, own(self::sent(15)));
    let [repeated, between] = sent;
    assert_eq!(conclude(&[repeated, between, raised], 15).by, Some(0));
}

#[test]
fn a_fault_that_a_handler_reports_is_a_fault() {
    let fault = with(own(sent(11)), SignalInfo::Real, 1, false);
    let raised = at(2_000, with(own(sent(11)), SignalInfo::Real, -6, false));
    assert_eq!(given(&[fault, raised]).ends(11), (Cause::Fault, Some(Missing::RaisedAgain)));
}

#[test]
fn a_tracers_signal_is_distinguished_from_cgroup_kill_and_from_limits() {
    let tracer = Some(Some(Tgid(OTHER)));
    let ends = |sent: &[Sent]| Given { tracer: Some(task(OTHER)), ..given(sent) }.ends(9);
    let killed = with(Sent { tracer, ..sent(9) }, SignalInfo::None, 0, false);
    assert_eq!(ends(std::slice::from_ref(&killed)), (Cause::Tracer, Some(Missing::TracerRequest)));
    assert_eq!(ends(&[by(51, killed.clone())]), (Cause::CgroupKill, None));
    let own_write = own(killed);
    assert_eq!(given(&[own_write]).ends(9), (Cause::CgroupKill, Some(Missing::SecurityProfile)));
    let cpu_limits = Some(CpuLimits { cpu: true, ..CpuLimits::default() });
    let injected =
        |to_group| with(own(Sent { tracer, cpu_limits, ..sent(9) }), SignalInfo::Kernel, 0x80, to_group);
    assert_eq!(ends(&[injected(false)]), (Cause::Tracer, Some(Missing::TracerRequest)));
    assert_eq!(ends(&[injected(true)]), (Cause::CpuLimit, Some(Missing::NoWarning)));
}

#[test]
fn a_signal_of_the_kernel_that_a_handler_sends_again_is_the_cause() {
    // Runtimes handle SIGPIPE and then end by it.
    let pipe = with(own(sent(13)), SignalInfo::None, 0, false);
    let raised = at(2_000, with(own(sent(13)), SignalInfo::Real, -6, false));
    assert_eq!(given(&[pipe, raised]).ends(13), (Cause::BrokenPipe, Some(Missing::RaisedAgain)));
    // From 7.3 on, kill(2) passes no `siginfo` either.
    let mirrored = with(own(sent(13)), SignalInfo::None, 0, true);
    assert_eq!(given(&[mirrored]).ends(13), (Cause::KilledByItself, None));
}

#[test]
fn a_signal_that_timeout_passes_on_is_not_that_of_its_timer() {
    let from = Received { at: Ktime(900), from: Some(task(40)), name: None, is_by_kernel: false };
    let mut passed_on = sent(15);
    passed_on.sender.name = Some(Comm(*b"timeout\0\0\0\0\0\0\0\0\0"));
    passed_on.received = Some(Box::new(from));
    assert_eq!(given(std::slice::from_ref(&passed_on)).ends(15), (Cause::Killed, None));
    // The key sent the signal to both, and the command sends it to itself after its handler.
    let mut key = at(1_000, with(sent(2), SignalInfo::Kernel, 0x80, true));
    key.sender.flags |= PF_KTHREAD;
    let passed_on = at(2_000, Sent { signal: 2, ..passed_on });
    let raised = at(3_000, own(sent(2)));
    let all = [key, passed_on, raised];
    assert_eq!(given(&all).ends(2), (Cause::TerminalKey, Some(Missing::RaisedAgain)));
    // A direct signal long before, which had no consequence, is not the cause.
    let [key, passed_on, raised] = all;
    let minute = 60_000_000_000;
    let all = [key, at(minute, passed_on), at(minute + 1, raised)];
    assert_eq!(conclude(&all, 2).by, Some(1));
}

#[test]
fn signals_of_timers_and_descriptors_have_no_sender() {
    for code in -5..=-2 {
        let sent = [with(sent(15), SignalInfo::Real, code, true)];
        assert_eq!(given(&sent).ends(15), (Cause::Kernel, Some(Missing::SignalCode)), "{code}");
    }
}

#[test]
fn a_descriptor_has_codes_that_are_faults_of_other_signals() {
    let poll = |signal| with(own(sent(signal)), SignalInfo::Real, 1, true);
    assert_eq!(given(&[poll(15)]).ends(15), (Cause::Kernel, Some(Missing::SignalCode)));
    assert_eq!(given(&[poll(11)]).ends(11), (Cause::Fault, None));
}

#[test]
fn a_later_signal_can_be_lost() {
    let lost = |sent: &[Sent], status| {
        Given { watch: Watch { lost_until: Ktime(1_000), ..watch() }, ..given(sent) }.ends(status)
    };
    assert_eq!(lost(&[sent(15)], 15), (Cause::Killed, Some(Missing::RecordsLost)));
    assert_eq!(lost(&[at(1_001, sent(15))], 15), (Cause::Killed, None));
    assert_eq!(lost(&[sent(9)], 9), (Cause::Killed, None), "no signal is delivered after SIGKILL");
}

#[test]
fn the_init_of_a_namespace_ends_by_reboot_with_another_status() {
    // It had handled SIGHUP before.
    let reboot = [sent(1), at(2_000, with(sent(9), SignalInfo::Kernel, 0x80, false))];
    let init = || Given { is_namespace_init: true, ..given(&reboot) };
    assert_eq!(init().ends(2), (Cause::NamespaceReboot, None));
    assert_eq!(init().ends(1), (Cause::NamespaceReboot, None));
    assert_eq!(given(&reboot).ends(2), (Cause::Unknown, Some(Missing::NotGenerated)));
    let ignored = [Sent { result: 1, ..reboot[1].clone() }];
    assert_eq!(Given { is_namespace_init: true, ..given(&ignored) }.ends(2).0, Cause::Unknown);
}

#[test]
fn cgroup_kill_ends_a_child_that_is_being_forked() {
    let before = with(Sent { is_before_creation: true, ..sent(9) }, SignalInfo::None, 0, true);
    let killed = (Cause::CgroupKill, Some(Missing::KernelReason));
    assert_eq!(given(std::slice::from_ref(&before)).ends(9), killed);
    assert_eq!(given(&[by(51, before)]).ends(9), (Cause::Killed, None), "it is not the parent");
    let mut thread = with(own(sent(9)), SignalInfo::None, 0, true);
    thread.target.key.tid = Tid(VICTIM + 1);
    assert_eq!(given(&[thread]).ends(9), killed);
    let mut by_thread = with(sent(9), SignalInfo::None, 0, false);
    by_thread.sender.flags |= PF_KTHREAD;
    assert_eq!(given(&[by_thread]).ends(9), (Cause::Kernel, Some(Missing::KernelReason)));
}
