//! Senders and reasons that are easily mistaken for others.

use super::*;
use crate::model::death::Ancestor;
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
    assert_eq!(ends(&[injected(false)]), (Cause::Tracer, None));
    assert_eq!(ends(&[injected(true)]), (Cause::CpuLimit, Some(Missing::NoWarning)));
}
