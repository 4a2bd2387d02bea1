//! Units and containers that are asked to stop.

use crate::model::death::{Cause, Stop, StopOutcome, Watch};
use crate::model::flags::{EXIT_ZOMBIE, SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM, SIGTSTP};
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{Disposition, Fact, SignalInfo, SignalSent, TaskPlace};
use crate::tests::fixture::{Fixture, comm};

const UNIT: u64 = 7;

/// A unit with a shell and its child, and a supervisor in another cgroup.
struct Unit {
    fixture: Fixture,
    supervisor: TaskRef,
    shell: TaskRef,
    child: TaskRef,
}

fn born(fixture: &mut Fixture, parent: TaskRef, tid: u32, name: &str, cgroup_id: u64) -> TaskRef {
    let mut new = fixture.new_of(parent, tid, name);
    new.place = TaskPlace { cgroup_id: Some(cgroup_id), ..TaskPlace::default() };
    fixture.record(Fact::New(new));
    new.task
}

fn unit() -> Unit {
    let mut fixture = Fixture::new();
    fixture.lineage.watch_signals(Watch {
        since: Some(Ktime(1)),
        signals: u32::MAX,
        oom: true,
        lost_until: Ktime(0),
    });
    let init = fixture.init();
    let supervisor = born(&mut fixture, init, 10, "systemd", 1);
    let shell = born(&mut fixture, supervisor, 20, "sh", UNIT);
    let child = born(&mut fixture, shell, 21, "sleep", UNIT);
    Unit { fixture, supervisor, shell, child }
}

impl Unit {
    fn signal(&mut self, from: TaskRef, to: TaskRef, signal: i32) {
        self.sent(from, to, signal, 0, None);
    }

    fn sent(
        &mut self,
        from: TaskRef,
        to: TaskRef,
        signal: i32,
        result: i32,
        disposition: Option<Disposition>,
    ) {
        self.fixture.record(Fact::Signal(Box::new(SignalSent {
            target: to,
            to_group: true,
            sender: Some(from),
            sender_comm: Some(comm("sender")),
            sender_uid: Some(0),
            sender_flags: Some(0),
            sender_login_uid: None,
            sender_terminal: None,
            in_execve: None,
            tracer: Some(None),
            cpu_limits: None,
            signal,
            code: Some(0),
            info: SignalInfo::Real,
            result,
            address: 0,
            syscall: 0,
            disposition,
            leads_session: None,
        })));
    }

    fn end(&mut self, task: TaskRef, status: i32) {
        self.fixture.exiting(task, status);
        self.fixture.exited(task, EXIT_ZOMBIE, status, true);
    }

    fn ended(&mut self) -> Option<Stop> {
        self.fixture.lineage.take_ended_stops().next().map(|stop| (*stop).clone())
    }
}

#[test]
fn who_was_asked_and_who_was_killed_is_kept_until_the_last_exit() {
    let mut unit = unit();
    let (supervisor, shell, child) = (unit.supervisor, unit.shell, unit.child);
    unit.sent(supervisor, shell, SIGTERM, 1, Some(Disposition::Ignored));
    unit.signal(supervisor, shell, SIGKILL);
    unit.end(shell, SIGKILL);
    assert_eq!(unit.ended(), None, "the child lives");
    unit.signal(supervisor, child, SIGKILL);
    unit.end(child, SIGKILL);
    let stop = unit.ended().unwrap();
    assert_eq!((stop.cgroup_id, stop.outcome(), stop.members.len()), (UNIT, StopOutcome::Killed, 2));
    assert_eq!(stop.sender.task, Some(supervisor));
    let of = |task: TaskRef| stop.members.iter().find(|member| member.key.tgid == task.tgid).unwrap();
    let asked = of(shell).asked.unwrap();
    assert!(asked.is_dropped && asked.disposition == Some(Disposition::Ignored) && !asked.is_passed_on);
    assert_eq!(of(shell).cause, Some(Cause::Escalation));
    assert_eq!(of(child).asked, None, "the shell did not pass it on");
    assert!(stop.first_kill() < stop.ended && stop.duration_ns() > Some(0));
    assert_eq!(unit.fixture.lineage.stops().count(), 1, "it is kept");
}

#[test]
fn a_stop_that_is_passed_on_ends_by_itself_with_the_last_process_also_one_born_meanwhile() {
    let mut unit = unit();
    let (supervisor, shell, child) = (unit.supervisor, unit.shell, unit.child);
    unit.signal(supervisor, shell, SIGTERM);
    unit.signal(shell, child, SIGTERM);
    let cleaner = born(&mut unit.fixture, shell, 22, "rm", UNIT);
    unit.end(child, SIGTERM);
    unit.end(shell, 0);
    assert_eq!(unit.ended(), None, "one that was born meanwhile lives");
    assert_eq!(unit.fixture.lineage.stops().next().unwrap().outcome(), StopOutcome::Unfinished);
    unit.end(cleaner, 0);
    let stop = unit.ended().unwrap();
    assert_eq!((stop.outcome(), stop.members.len()), (StopOutcome::ByItself, 3));
    let passed_on = stop.members.iter().filter_map(|member| member.asked).any(|asked| asked.is_passed_on);
    assert!(passed_on);
}

#[test]
fn a_signal_to_a_worker_or_from_the_unit_itself_or_to_reload_stops_no_unit() {
    let mut unit = unit();
    let (supervisor, shell, child) = (unit.supervisor, unit.shell, unit.child);
    unit.signal(supervisor, child, SIGTERM);
    unit.signal(shell, shell, SIGTERM);
    unit.signal(child, shell, SIGTERM);
    unit.signal(supervisor, shell, SIGHUP);
    unit.signal(supervisor, shell, SIGKILL);
    unit.end(child, SIGTERM);
    unit.end(shell, SIGKILL);
    assert_eq!(unit.ended(), None);
    assert_eq!(unit.fixture.lineage.stops().count(), 0);
}

#[test]
fn a_unit_that_lives_on_is_forgotten_with_its_stop() {
    let mut unit = unit();
    let (supervisor, shell) = (unit.supervisor, unit.shell);
    unit.signal(supervisor, shell, SIGTERM);
    assert_eq!(unit.fixture.lineage.stops().count(), 1);
    unit.fixture.wait(700_000_000_000);
    assert_eq!(unit.fixture.lineage.stops().count(), 0);
}

/// The last stop of the unit's child: its signal, its sender's tid, how often that sender sent it, and whether it was continued.
fn job_stop(unit: &Unit) -> Option<(i32, u32, u32, bool)> {
    let life = unit.fixture.lineage.group(unit.child.tgid)?.life(Ktime(u64::MAX))?;
    let stop = life.job_stop?;
    let sender = stop.sent.sender.task?.key.tid.0;
    Some((stop.sent.signal, sender, stop.sent.times, stop.continued.is_some()))
}

#[test]
fn the_first_sigstop_of_a_stopped_process_is_kept_until_it_is_continued() {
    let mut unit = unit();
    let (shell, supervisor, child) = (unit.shell, unit.supervisor, unit.child);
    assert_eq!(job_stop(&unit), None);
    unit.signal(shell, child, SIGSTOP);
    unit.signal(supervisor, child, SIGSTOP);
    assert_eq!(job_stop(&unit), Some((SIGSTOP, 20, 1, false)));
    unit.signal(supervisor, child, SIGCONT);
    assert_eq!(job_stop(&unit), Some((SIGSTOP, 20, 1, true)));
    unit.signal(shell, child, SIGSTOP);
    assert_eq!(job_stop(&unit), Some((SIGSTOP, 20, 2, false)));
    unit.signal(supervisor, child, SIGCONT);
    unit.signal(supervisor, child, SIGSTOP);
    assert_eq!(job_stop(&unit), Some((SIGSTOP, 10, 1, false)));
}

#[test]
fn a_stop_signal_with_a_handler_is_replaced_by_what_stops_the_process() {
    let mut unit = unit();
    let (shell, child) = (unit.shell, unit.child);
    unit.signal(shell, child, SIGTSTP);
    unit.signal(child, child, SIGSTOP);
    assert_eq!(job_stop(&unit), Some((SIGSTOP, 21, 1, false)));
    unit.sent(shell, child, SIGTSTP, 1, None);
    assert_eq!(job_stop(&unit), Some((SIGSTOP, 21, 1, false)), "an ignored one changes nothing");
}

#[test]
fn a_stop_is_not_reported_if_later_records_are_lost() {
    let mut unit = unit();
    let (shell, child) = (unit.shell, unit.child);
    unit.signal(shell, child, SIGSTOP);
    unit.fixture.lineage.doubt_signals(Ktime(u64::MAX));
    assert_eq!(job_stop(&unit), None);
}
