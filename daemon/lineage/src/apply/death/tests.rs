//! Each cause with the evidence that the kernel reports, and the missing fact without that evidence.

mod senders;

use super::conclude::{Case, Conclusion};
use super::memory::Orphaned;
use crate::model::death::{Cause, Missing, OomMark, Sender, Sent, Watch};
use crate::model::flags::{PF_EXITING, PF_KTHREAD};
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use crate::model::record::{Comm, CpuLimits, SignalInfo};
use crate::model::status::WaitStatus;

const VICTIM: u32 = 100;
const OTHER: u32 = 50;

fn task(pid: u32) -> TaskRef {
    TaskRef { key: TaskKey { tid: Tid(pid), start: Ktime(u64::from(pid)) }, tgid: Tgid(pid) }
}

/// A signal by kill(2) of another process, to the group.
pub(super) fn sent(signal: i32) -> Sent {
    Sent {
        at: Ktime(1_000),
        signal,
        code: Some(0),
        info: SignalInfo::Real,
        to_group: true,
        target: task(VICTIM),
        result: 0,
        address: 0,
        syscall: 0,
        disposition: None,
        tracer: Some(None),
        cpu_limits: None,
        in_execve: Some(false),
        is_before_creation: false,
        received: None,
        sender: Sender {
            task: Some(task(OTHER)),
            name: Some(Comm(*b"sender\0\0\0\0\0\0\0\0\0\0")),
            uid: Some(0),
            login_uid: None,
            terminal: None,
            flags: 0,
            cgroup_id: None,
            ancestors: Box::default(),
            is_namespace_init: false,
        },
        times: 1,
        last: Ktime(1_000),
    }
}

fn at(ns: u64, sent: Sent) -> Sent {
    Sent { at: Ktime(ns), last: Ktime(ns), ..sent }
}

fn own(mut sent: Sent) -> Sent {
    sent.sender.task = Some(task(VICTIM));
    sent
}

fn by(pid: u32, mut sent: Sent) -> Sent {
    sent.sender.task = Some(task(pid));
    sent
}

fn with(sent: Sent, info: SignalInfo, code: i32, to_group: bool) -> Sent {
    Sent { info, code: Some(code), to_group, ..sent }
}

fn exiting(mut sent: Sent) -> Sent {
    sent.sender.flags |= PF_EXITING;
    sent
}

fn watch() -> Watch {
    Watch { since: Some(Ktime(10)), signals: u32::MAX, oom: true, lost_until: Ktime(0) }
}

struct Given<'a> {
    sent: &'a [Sent],
    oom: Option<OomMark>,
    orphaned: Option<Orphaned>,
    tracer: Option<TaskRef>,
    seccomp_mode: Option<u32>,
    is_namespace_init: bool,
    began: u64,
    watch: Watch,
}

impl Given<'_> {
    #[track_caller]
    fn ends(&self, status: i32) -> (Cause, Option<Missing>) {
        let conclusion = self.conclude(status);
        (conclusion.cause, conclusion.missing)
    }

    fn conclude(&self, status: i32) -> Conclusion {
        let case = Case {
            status: Some(WaitStatus(status)),
            sent: self.sent,
            oom: self.oom.as_ref(),
            orphaned: self.orphaned,
            tracer: self.tracer,
            seccomp_mode: self.seccomp_mode,
            is_namespace_init: self.is_namespace_init,
            parent: Some(Tgid(OTHER)),
            began: Ktime(self.began),
            has_forgotten: false,
            watch: &self.watch,
        };
        case.conclude()
    }
}

fn conclude(sent: &[Sent], status: i32) -> Conclusion {
    given(sent).conclude(status)
}

fn given(sent: &[Sent]) -> Given<'_> {
    Given {
        sent,
        oom: None,
        orphaned: None,
        tracer: None,
        seccomp_mode: None,
        is_namespace_init: false,
        began: 100,
        watch: watch(),
    }
}

#[test]
fn a_code_is_an_exit_whatever_was_sent_before() {
    assert_eq!(given(&[sent(15)]).ends(137 << 8), (Cause::Exited, None));
}

#[test]
fn a_signal_of_another_process_is_a_kill_and_of_itself_is_none() {
    assert_eq!(given(&[sent(9)]).ends(9), (Cause::Killed, None));
    assert_eq!(given(&[own(sent(15))]).ends(15), (Cause::KilledByItself, None));
    let abort = with(own(sent(6)), SignalInfo::Real, -6, false);
    assert_eq!(given(&[abort]).ends(6 | 0x80), (Cause::Abort, None));
}

#[test]
fn the_first_sigkill_ends_it_and_the_last_of_others() {
    let later = at(2_000, own(sent(9)));
    assert_eq!(given(&[sent(9), later]).ends(9), (Cause::Killed, None));
    // A handler of SIGTERM that sends it again.
    let again = at(2_000, own(sent(15)));
    assert_eq!(given(&[sent(15), again.clone()]).ends(15), (Cause::Killed, Some(Missing::RaisedAgain)));
    // A shell whose terminal is closed does so.
    let hangup = with(sent(1), SignalInfo::Kernel, 0x80, true);
    let raised = at(2_000, own(sent(1)));
    assert_eq!(given(&[hangup, raised]).ends(1), (Cause::TerminalHangup, Some(Missing::RaisedAgain)));
    // An ignored signal, another signal, and one sent long before are not the cause.
    let ignored = Sent { result: 1, ..sent(15) };
    assert_eq!(given(&[ignored, again.clone()]).ends(15), (Cause::KilledByItself, None));
    assert_eq!(given(&[sent(2), again.clone()]).ends(15), (Cause::KilledByItself, None));
    // A service takes its time to end; a handler of another signal does not.
    let late = at(20_000_000_000, again);
    assert_eq!(given(&[sent(15), late]).ends(15), (Cause::Killed, Some(Missing::RaisedAgain)));
    let late = at(20_000_000_000, own(sent(6)));
    assert_eq!(given(&[sent(6), late]).ends(6), (Cause::KilledByItself, None));
}

#[test]
fn an_ignored_signal_ends_nothing() {
    let ignored = Sent { result: 1, ..sent(9) };
    assert_eq!(given(&[ignored]).ends(9), (Cause::Seccomp, Some(Missing::SeccompMode)));
}

#[test]
fn sigkill_after_sigterm_of_one_sender_is_an_escalation() {
    assert_eq!(given(&[sent(15), sent(9)]).ends(9), (Cause::Escalation, None));
    assert_eq!(given(&[by(51, sent(15)), sent(9)]).ends(9), (Cause::Killed, None));
}

#[test]
fn timeout_is_known_by_its_name_alone() {
    let mut by = sent(15);
    by.sender.name = Some(Comm(*b"timeout\0\0\0\0\0\0\0\0\0"));
    assert_eq!(given(&[by]).ends(15), (Cause::Timeout, Some(Missing::NameOnly)));
}

#[test]
fn signals_that_the_kernel_sends_on_behalf_of_a_task_are_distinguished() {
    let none = |sent, to_group| with(sent, SignalInfo::None, 0, to_group);
    assert_eq!(given(&[none(own(sent(13)), false)]).ends(13), (Cause::BrokenPipe, None));
    assert_eq!(given(&[none(own(sent(25)), false)]).ends(25), (Cause::FileSizeLimit, None));
    assert_eq!(given(&[none(sent(9), false)]).ends(9), (Cause::CgroupKill, None));
    // PTRACE_KILL sends the same signal as a write to cgroup.kill. The tracer can have detached before the exit record.
    let by_tracer = |tracer| none(Sent { tracer, ..sent(9) }, false);
    let request = Some(Missing::TracerRequest);
    assert_eq!(given(&[by_tracer(Some(Some(Tgid(OTHER))))]).ends(9), (Cause::Tracer, request));
    assert_eq!(given(&[by_tracer(Some(Some(Tgid(51))))]).ends(9), (Cause::CgroupKill, None));
    assert_eq!(given(&[by_tracer(None)]).ends(9), (Cause::CgroupKill, request));
    let at_end = [by_tracer(None)];
    assert_eq!(Given { tracer: Some(task(OTHER)), ..given(&at_end) }.ends(9), (Cause::Tracer, request));
    // kill(2) from 7.3 on.
    assert_eq!(given(&[none(sent(15), true)]).ends(15), (Cause::Killed, None));
    assert_eq!(given(&[none(own(sent(15)), true)]).ends(15), (Cause::KilledByItself, None));
    assert_eq!(given(&[none(exiting(sent(15)), true)]).ends(15), (Cause::ParentDeathSignal, None));
}

#[test]
fn a_victim_of_the_oom_killer_is_marked_right_after_its_sigkill() {
    let killed = [with(sent(9), SignalInfo::Kernel, 0x80, true)];
    let mark =
        OomMark { at: Ktime(2_000), trigger: None, trigger_name: None, trigger_cgroup_id: None, limit: None };
    assert_eq!(Given { oom: Some(mark.clone()), ..given(&killed) }.ends(9), (Cause::Oom, None));
    assert_eq!(given(&killed).ends(9), (Cause::Kernel, Some(Missing::SharedMemory)));
    let unhooked = Watch { oom: false, ..watch() };
    assert_eq!(Given { watch: unhooked, ..given(&killed) }.ends(9), (Cause::Oom, Some(Missing::OomHook)));
    // The mark of another kill, such as one for the same process after its namespace's init had sent it SIGKILL.
    let other = OomMark { trigger: Some(task(51)), ..mark.clone() };
    assert_eq!(Given { oom: Some(other), ..given(&killed) }.ends(9).0, Cause::Kernel);
    let old = OomMark { at: Ktime(5_000_000_000), ..mark.clone() };
    assert_eq!(Given { oom: Some(old), ..given(&killed) }.ends(9).0, Cause::Kernel);
}

#[test]
fn an_exiting_sender_is_the_namespaces_init_or_the_tracer() {
    let mut init = exiting(with(sent(9), SignalInfo::Kernel, 0x80, true));
    init.sender.is_namespace_init = true;
    assert_eq!(given(&[init]).ends(9), (Cause::PidNamespaceInit, None));
    let by_exit = |tracer| [exiting(with(Sent { tracer, ..sent(9) }, SignalInfo::Kernel, 0x80, false))];
    assert_eq!(given(&by_exit(Some(Some(Tgid(OTHER))))).ends(9), (Cause::Tracer, None));
    assert_eq!(Given { tracer: Some(task(OTHER)), ..given(&by_exit(None)) }.ends(9), (Cause::Tracer, None));
    assert_eq!(given(&by_exit(None)).ends(9), (Cause::Tracer, Some(Missing::TracerRequest)));
}

#[test]
fn limits_of_cpu_time_are_certain_after_a_warning() {
    let limited =
        |signal, cpu_limits| Sent { cpu_limits, ..with(own(sent(signal)), SignalInfo::Kernel, 0x80, true) };
    let none = CpuLimits::default();
    let cpu = Some(CpuLimits { cpu: true, ..none });
    assert_eq!(given(&[limited(24, cpu)]).ends(24), (Cause::CpuLimit, None));
    assert_eq!(given(&[limited(24, cpu), limited(9, cpu)]).ends(9), (Cause::CpuLimit, None));
    assert_eq!(given(&[limited(9, cpu)]).ends(9), (Cause::CpuLimit, Some(Missing::NoWarning)));
    let unhooked = Watch { oom: false, ..watch() };
    let unmarked = [limited(9, cpu)];
    let unknown = Given { watch: unhooked, ..given(&unmarked) }.ends(9);
    assert_eq!(unknown, (Cause::Unknown, Some(Missing::OomHook)));
    let rttime = Some(CpuLimits { rttime: true, ..none });
    assert_eq!(given(&[limited(24, rttime)]).ends(24), (Cause::RealTimeLimit, None));
    assert_eq!(given(&[limited(24, rttime), limited(9, rttime)]).ends(9), (Cause::RealTimeLimit, None));
    let both = Some(CpuLimits { cpu: true, rttime: true, ..none });
    for limits in [None, both, Some(CpuLimits { cpu: true, deadline: true, ..none })] {
        let which = (Cause::CpuLimit, Some(Missing::WhichLimit));
        assert_eq!(given(&[limited(24, limits)]).ends(24), which, "{limits:?}");
    }
    let overrun = Some(CpuLimits { deadline: true, ..none });
    assert_eq!(given(&[limited(24, overrun)]).ends(24), (Cause::Kernel, Some(Missing::KernelReason)));
}

#[test]
fn a_terminal_hangs_up_or_is_interrupted() {
    let by_kernel = |signal| with(sent(signal), SignalInfo::Kernel, 0x80, true);
    assert_eq!(given(&[by_kernel(1)]).ends(1), (Cause::TerminalHangup, None));
    let by_exit = [exiting(by_kernel(1))];
    assert_eq!(given(&by_exit).ends(1), (Cause::TerminalHangup, None));
    let lost = Given { watch: Watch { lost_until: Ktime(1_000), ..watch() }, ..given(&by_exit) };
    assert_eq!(lost.ends(1), (Cause::TerminalHangup, Some(Missing::OrphanedGroup)));
    // A kernel worker delivers the input of terminals; TIOCSIG and BPF programs send the same signal.
    let mut by_key = by_kernel(2);
    by_key.sender.flags |= PF_KTHREAD;
    assert_eq!(given(&[by_key]).ends(2), (Cause::TerminalKey, None));
    let perhaps = (Cause::TerminalKey, Some(Missing::KernelReason));
    assert_eq!(given(&[by_kernel(2)]).ends(2), perhaps);
    let own_hangup = (Cause::TerminalHangup, Some(Missing::KernelReason));
    assert_eq!(given(&[own(by_kernel(1))]).ends(1), own_hangup);
}

#[test]
fn a_stopped_group_that_is_orphaned_is_distinguished_from_a_hangup_by_its_session() {
    let by_exit = exiting(with(sent(1), SignalInfo::Kernel, 0x80, true));
    let ends = |was_stopped, leads_session, is_sender_hung_up| {
        let orphaned = Some(Orphaned { was_stopped, leads_session, is_sender_hung_up });
        Given { orphaned, ..given(std::slice::from_ref(&by_exit)) }.ends(1)
    };
    let perhaps = (Cause::TerminalHangup, Some(Missing::OrphanedGroup));
    assert_eq!(
        ends(false, Some(false), false),
        (Cause::OrphanedGroup, None),
        "another of its group was stopped"
    );
    assert_eq!(ends(true, Some(true), false), (Cause::TerminalHangup, None));
    assert_eq!(ends(true, None, false), (Cause::OrphanedGroup, Some(Missing::SessionLeader)));
    assert_eq!(ends(false, None, false), perhaps);
    // The shell whose terminal was closed ends, and it had this process in the foreground.
    assert_eq!(ends(false, Some(false), true), (Cause::TerminalHangup, None));
    assert_eq!(ends(true, Some(false), true), perhaps);
}

#[test]
fn faults_and_seccomp_have_a_code_above_zero() {
    let forced = |signal, code| with(own(sent(signal)), SignalInfo::Real, code, false);
    assert_eq!(given(&[forced(11, 1)]).ends(11), (Cause::Fault, None));
    let without_address = |in_execve| [Sent { in_execve, ..forced(11, 0x80) }];
    assert_eq!(given(&without_address(Some(false))).ends(11), (Cause::Fault, None));
    assert_eq!(given(&without_address(Some(true))).ends(11), (Cause::FailedExec, None));
    assert_eq!(given(&without_address(None)).ends(11), (Cause::Fault, Some(Missing::FailedExec)));
    assert_eq!(given(&[forced(31, 1)]).ends(31), (Cause::Seccomp, None));
}

#[test]
fn without_a_signal_it_says_what_is_missing() {
    let ends = |watch: Watch, began, status| Given { began, watch, ..given(&[]) }.ends(status);
    let unknown = |missing| (Cause::Unknown, Some(missing));
    assert_eq!(ends(Watch { since: None, ..watch() }, 100, 9), unknown(Missing::SignalHook));
    assert_eq!(ends(Watch { signals: 0, ..watch() }, 100, 9), unknown(Missing::NotWatched));
    assert_eq!(ends(Watch { lost_until: Ktime(100), ..watch() }, 100, 9), unknown(Missing::RecordsLost));
    assert_eq!(ends(watch(), 5, 9), unknown(Missing::BeforeDaemon));
    assert_eq!(ends(watch(), 100, 11), (Cause::Kernel, Some(Missing::KernelReason)));
    assert_eq!(ends(watch(), 100, 6), unknown(Missing::NotGenerated));
    assert_eq!(ends(watch(), 100, 31), (Cause::Seccomp, Some(Missing::SeccompMode)));
    assert_eq!(ends(watch(), 100, 9), (Cause::Seccomp, Some(Missing::SeccompMode)));
    let with_mode = |mode, status| Given { seccomp_mode: Some(mode), ..given(&[]) }.ends(status);
    for (mode, status) in [(1, 9), (3, 9), (3, 31)] {
        assert_eq!(with_mode(mode, status), (Cause::Seccomp, None), "{mode} {status}");
    }
    assert_eq!(with_mode(2, 31), (Cause::Seccomp, Some(Missing::SeccompMode)));
    let traced = Given { tracer: Some(task(OTHER)), seccomp_mode: Some(3), ..given(&[]) };
    assert_eq!(traced.ends(9), (Cause::Seccomp, None));
    // An oops ends a task in this way.
    for (mode, status) in [(0, 9), (2, 9), (0, 11), (2, 11)] {
        assert_eq!(with_mode(mode, status), (Cause::Kernel, Some(Missing::KernelReason)), "{mode} {status}");
    }
    assert_eq!(with_mode(0, 31), unknown(Missing::NotGenerated));
    assert_eq!(
        Given { tracer: Some(task(OTHER)), ..given(&[]) }.ends(5),
        (Cause::Tracer, Some(Missing::TracerRequest))
    );
}

#[test]
fn no_real_time_signal_is_watched() {
    assert_eq!(given(&[]).ends(40), (Cause::Unknown, Some(Missing::NotWatched)));
}
