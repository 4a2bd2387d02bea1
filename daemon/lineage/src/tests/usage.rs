//! The usage of a process, from its tasks' last switches, or from their deaths if the record of a last switch is lost.

use super::fixture::Fixture;

use crate::model::id::{GroupKey, TaskRef};
use crate::model::record::{ExitParts, ExitSource, Exited, Fact, TaskUsage};
use crate::model::task::TaskKind;

const ZOMBIE: u32 = 32;
const DEAD: u32 = 16;

fn dies(fixture: &mut Fixture, task: TaskRef, source: ExitSource, state: u32, runtime: u64) {
    fixture.record(Fact::Exited(Exited {
        task,
        source,
        exit_state: Some(state),
        exit: ExitParts::default(),
        exit_signal: None,
        task_flags: None,
        nr_threads: None,
        parent: None,
        tracer: None,
        new_reaper: None,
        usage: Some(TaskUsage { exec_runtime_ns: runtime, ..TaskUsage::default() }),
    }));
}

fn used(fixture: &Fixture, task: TaskRef) -> Option<u64> {
    let key = GroupKey { tgid: task.tgid, start: Some(task.key.start) };
    fixture.lineage.life_by_key(key, fixture.now)?.usage.map(|usage| usage.sum.exec_runtime_ns)
}

#[test]
fn the_last_switch_makes_exact_what_the_death_reported() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.exiting(child, 0);
    dies(&mut fixture, child, ExitSource::ExitNotify, ZOMBIE, 70);
    assert_eq!(used(&fixture, child), Some(70));
    dies(&mut fixture, child, ExitSource::FinalSwitch, ZOMBIE, 75);
    dies(&mut fixture, child, ExitSource::FinalSwitch, ZOMBIE, 75);
    assert_eq!(used(&fixture, child), Some(75));
}

#[test]
fn a_last_switch_after_the_release_still_counts_once() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.exiting(child, 0);
    dies(&mut fixture, child, ExitSource::ExitNotify, ZOMBIE, 70);
    fixture.released(child, init);
    assert_eq!(used(&fixture, child), Some(70), "a lost last switch loses little");
    dies(&mut fixture, child, ExitSource::FinalSwitch, DEAD, 75);
    assert_eq!(used(&fixture, child), Some(75));
}

#[test]
fn threads_that_die_together_count_once_each() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let leader = fixture.fork(init, 100);
    let threads = [fixture.thread(leader, 101), fixture.thread(leader, 102)];
    for thread in threads {
        fixture.exiting(thread, 0);
        dies(&mut fixture, thread, ExitSource::ExitNotify, DEAD, 1_000);
    }
    for thread in threads {
        dies(&mut fixture, thread, ExitSource::FinalSwitch, DEAD, 1_001);
    }
    assert_eq!(used(&fixture, leader), Some(2_002));
}

#[test]
fn a_late_last_switch_is_not_charged_to_the_group_whose_thread_has_the_tid_now() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let leader = fixture.fork(init, 100);
    let thread = fixture.thread(leader, 101);
    for (task, state) in [(leader, ZOMBIE), (thread, DEAD)] {
        fixture.exiting(task, 0);
        dies(&mut fixture, task, ExitSource::ProcExitConnector, state, 70);
    }
    dies(&mut fixture, leader, ExitSource::FinalSwitch, ZOMBIE, 75);
    fixture.released(thread, thread);
    fixture.released(leader, init);
    fixture.thread(init, 100);
    dies(&mut fixture, thread, ExitSource::FinalSwitch, DEAD, 75);
    assert_eq!(used(&fixture, leader), Some(150));
    assert_eq!(used(&fixture, init), None);
}

/// `(reaped, autoreaped)`: time on a CPU, ns; processes; processes with unknown usage.
type Sums = [(u64, u64, u64); 2];

fn of_children(fixture: &Fixture, task: TaskRef) -> Sums {
    let key = GroupKey { tgid: task.tgid, start: Some(task.key.start) };
    let life = fixture.lineage.life_by_key(key, fixture.now).unwrap();
    let sums = life.children_usage.map(|usage| *usage).unwrap_or_default();
    [sums.reaped, sums.autoreaped].map(|sum| (sum.sum.exec_runtime_ns, sum.processes, sum.unknown))
}

#[test]
fn nothing_below_a_child_without_a_wait_counts_as_reaped() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let parent = fixture.fork(init, 100);
    let child = fixture.fork(parent, 101);
    for (tid, runtime) in [(102, 10), (103, 1)] {
        let grandchild = fixture.fork(child, tid);
        fixture.exiting(grandchild, 0);
        dies(&mut fixture, grandchild, ExitSource::ExitNotify, ZOMBIE, runtime);
        fixture.released(grandchild, child);
    }
    assert_eq!(of_children(&fixture, child), [(11, 2, 0), (0, 0, 0)]);
    assert_eq!(of_children(&fixture, parent), [(0, 0, 0), (0, 0, 0)]);
    fixture.exiting(child, 0);
    fixture.released(child, child);
    dies(&mut fixture, child, ExitSource::ProcExitConnector, DEAD, 100);
    assert_eq!(of_children(&fixture, parent), [(0, 0, 0), (111, 3, 0)]);
    fixture.exiting(parent, 0);
    dies(&mut fixture, parent, ExitSource::ExitNotify, ZOMBIE, 1_000);
    fixture.released(parent, init);
    assert_eq!(of_children(&fixture, init), [(1_000, 1, 0), (111, 3, 0)]);
}

#[test]
fn a_last_switch_after_the_parents_own_end_still_comes_to_the_grandparent() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let parent = fixture.fork(init, 100);
    let child = fixture.fork(parent, 101);
    fixture.exiting(child, 0);
    dies(&mut fixture, child, ExitSource::ExitNotify, ZOMBIE, 10);
    fixture.released(child, parent);
    fixture.exiting(parent, 0);
    dies(&mut fixture, parent, ExitSource::ExitNotify, ZOMBIE, 100);
    fixture.released(parent, init);
    assert_eq!(of_children(&fixture, init), [(110, 2, 0), (0, 0, 0)]);
    dies(&mut fixture, child, ExitSource::FinalSwitch, DEAD, 13);
    dies(&mut fixture, parent, ExitSource::FinalSwitch, DEAD, 105);
    assert_eq!(of_children(&fixture, parent), [(13, 1, 0), (0, 0, 0)]);
    assert_eq!(of_children(&fixture, init), [(118, 2, 0), (0, 0, 0)]);
}

#[test]
fn a_child_whose_figures_were_lost_is_counted_as_such_until_they_come() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.released(child, init);
    assert_eq!(of_children(&fixture, init), [(0, 1, 1), (0, 0, 0)]);
    dies(&mut fixture, child, ExitSource::FinalSwitch, DEAD, 7);
    assert_eq!(of_children(&fixture, init), [(7, 1, 0), (0, 0, 0)]);
    let other = fixture.fork(init, 101);
    fixture.released(other, init);
    fixture.wait(60_000_000_000);
    assert_eq!(of_children(&fixture, init), [(7, 2, 1), (0, 0, 0)]);
    assert_eq!(fixture.lineage.ended_unknown(), 1);
}

#[test]
fn what_ended_tasks_used_counts_once_and_only_grows() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    let thread = fixture.thread(child, 101);
    let total = |fixture: &Fixture, kind| fixture.lineage.ended(kind).exec_runtime_ns;
    fixture.exiting(thread, 0);
    dies(&mut fixture, thread, ExitSource::ExitNotify, DEAD, 5);
    fixture.exiting(child, 0);
    dies(&mut fixture, child, ExitSource::ExitNotify, ZOMBIE, 70);
    assert_eq!((total(&fixture, TaskKind::Process), total(&fixture, TaskKind::Thread)), (0, 0));
    fixture.released(child, init);
    dies(&mut fixture, child, ExitSource::FinalSwitch, DEAD, 75);
    dies(&mut fixture, child, ExitSource::FinalSwitch, DEAD, 75);
    assert_eq!((total(&fixture, TaskKind::Process), total(&fixture, TaskKind::Thread)), (75, 0));
    // The thread's last switch was lost.
    fixture.wait(5_000_000_000);
    fixture.wait(10_000_000_000);
    assert_eq!((total(&fixture, TaskKind::Process), total(&fixture, TaskKind::Thread)), (75, 5));
    assert_eq!(fixture.lineage.ended_unknown(), 0);
    let shares: Vec<_> = fixture.lineage.take_shares().map(|(_, share)| share.exec_runtime_ns).collect();
    assert_eq!(shares, [80]);
    assert_eq!(fixture.lineage.take_shares().count(), 0);
}
