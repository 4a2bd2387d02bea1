//! What a process has used: told by its tasks' last switches, and by their deaths where a last switch is lost.

use super::scene::Fixture;

use crate::model::id::{GroupKey, TaskRef};
use crate::model::record::{ExitParts, ExitSource, Exited, Fact, Usage};
use crate::model::task::TaskKind;

const ZOMBIE: u32 = 32;
const DEAD: u32 = 16;

fn dies(scene: &mut Fixture, task: TaskRef, source: ExitSource, state: u32, runtime: u64) {
    scene.record(Fact::Exited(Box::new(Exited {
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
        usage: Some(Usage { exec_runtime_ns: runtime, ..Usage::default() }),
    })));
}

fn used(scene: &Fixture, task: TaskRef) -> Option<u64> {
    let key = GroupKey { tgid: task.tgid, start: Some(task.key.start) };
    scene.lineage.life_by_key(key, scene.now)?.usage.map(|usage| usage.sum.exec_runtime_ns)
}

#[test]
fn the_last_switch_makes_exact_what_the_death_told() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    scene.exiting(child, 0);
    dies(&mut scene, child, ExitSource::ExitNotify, ZOMBIE, 70);
    assert_eq!(used(&scene, child), Some(70));
    dies(&mut scene, child, ExitSource::FinalSwitch, ZOMBIE, 75);
    dies(&mut scene, child, ExitSource::FinalSwitch, ZOMBIE, 75);
    assert_eq!(used(&scene, child), Some(75));
}

#[test]
fn a_last_switch_after_the_release_still_counts_once() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    scene.exiting(child, 0);
    dies(&mut scene, child, ExitSource::ExitNotify, ZOMBIE, 70);
    scene.released(child, init);
    assert_eq!(used(&scene, child), Some(70), "a lost last switch loses little");
    dies(&mut scene, child, ExitSource::FinalSwitch, DEAD, 75);
    assert_eq!(used(&scene, child), Some(75));
}

#[test]
fn threads_that_die_together_count_once_each() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let leader = scene.fork(init, 100);
    let threads = [scene.thread(leader, 101), scene.thread(leader, 102)];
    for thread in threads {
        scene.exiting(thread, 0);
        dies(&mut scene, thread, ExitSource::ExitNotify, DEAD, 1_000);
    }
    for thread in threads {
        dies(&mut scene, thread, ExitSource::FinalSwitch, DEAD, 1_001);
    }
    assert_eq!(used(&scene, leader), Some(2_002));
}

#[test]
fn a_late_last_switch_is_not_charged_to_the_group_whose_thread_has_the_tid_now() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let leader = scene.fork(init, 100);
    let thread = scene.thread(leader, 101);
    for (task, state) in [(leader, ZOMBIE), (thread, DEAD)] {
        scene.exiting(task, 0);
        dies(&mut scene, task, ExitSource::ProcExitConnector, state, 70);
    }
    dies(&mut scene, leader, ExitSource::FinalSwitch, ZOMBIE, 75);
    scene.released(thread, thread);
    scene.released(leader, init);
    scene.thread(init, 100);
    dies(&mut scene, thread, ExitSource::FinalSwitch, DEAD, 75);
    assert_eq!(used(&scene, leader), Some(150));
    assert_eq!(used(&scene, init), None);
}

/// `(reaped, autoreaped)`: time on a CPU, processes, and processes of which not all is known.
type Sums = [(u64, u64, u64); 2];

fn of_children(scene: &Fixture, task: TaskRef) -> Sums {
    let key = GroupKey { tgid: task.tgid, start: Some(task.key.start) };
    let life = scene.lineage.life_by_key(key, scene.now).unwrap();
    let sums = life.children_usage.map(|usage| *usage).unwrap_or_default();
    [sums.reaped, sums.autoreaped].map(|sum| (sum.sum.exec_runtime_ns, sum.processes, sum.unknown))
}

#[test]
fn nothing_below_a_child_that_nobody_waited_for_counts_as_reaped() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let parent = scene.fork(init, 100);
    let child = scene.fork(parent, 101);
    for (tid, runtime) in [(102, 10), (103, 1)] {
        let grandchild = scene.fork(child, tid);
        scene.exiting(grandchild, 0);
        dies(&mut scene, grandchild, ExitSource::ExitNotify, ZOMBIE, runtime);
        scene.released(grandchild, child);
    }
    assert_eq!(of_children(&scene, child), [(11, 2, 0), (0, 0, 0)]);
    assert_eq!(of_children(&scene, parent), [(0, 0, 0), (0, 0, 0)]);
    scene.exiting(child, 0);
    scene.released(child, child);
    dies(&mut scene, child, ExitSource::ProcExitConnector, DEAD, 100);
    assert_eq!(of_children(&scene, parent), [(0, 0, 0), (111, 3, 0)]);
    scene.exiting(parent, 0);
    dies(&mut scene, parent, ExitSource::ExitNotify, ZOMBIE, 1_000);
    scene.released(parent, init);
    assert_eq!(of_children(&scene, init), [(1_000, 1, 0), (111, 3, 0)]);
}

#[test]
fn a_last_switch_after_the_parents_own_end_still_comes_to_the_grandparent() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let parent = scene.fork(init, 100);
    let child = scene.fork(parent, 101);
    scene.exiting(child, 0);
    dies(&mut scene, child, ExitSource::ExitNotify, ZOMBIE, 10);
    scene.released(child, parent);
    scene.exiting(parent, 0);
    dies(&mut scene, parent, ExitSource::ExitNotify, ZOMBIE, 100);
    scene.released(parent, init);
    assert_eq!(of_children(&scene, init), [(110, 2, 0), (0, 0, 0)]);
    dies(&mut scene, child, ExitSource::FinalSwitch, DEAD, 13);
    dies(&mut scene, parent, ExitSource::FinalSwitch, DEAD, 105);
    assert_eq!(of_children(&scene, parent), [(13, 1, 0), (0, 0, 0)]);
    assert_eq!(of_children(&scene, init), [(118, 2, 0), (0, 0, 0)]);
}

#[test]
fn a_child_whose_figures_were_lost_is_counted_as_such_until_they_come() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    scene.released(child, init);
    assert_eq!(of_children(&scene, init), [(0, 1, 1), (0, 0, 0)]);
    dies(&mut scene, child, ExitSource::FinalSwitch, DEAD, 7);
    assert_eq!(of_children(&scene, init), [(7, 1, 0), (0, 0, 0)]);
    let other = scene.fork(init, 101);
    scene.released(other, init);
    scene.wait(60_000_000_000);
    assert_eq!(of_children(&scene, init), [(7, 2, 1), (0, 0, 0)]);
    assert_eq!(scene.lineage.ended_unknown(), 1);
}

#[test]
fn what_ended_tasks_used_counts_once_and_only_grows() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    let thread = scene.thread(child, 101);
    let total = |scene: &Fixture, kind| scene.lineage.ended(kind).exec_runtime_ns;
    scene.exiting(thread, 0);
    dies(&mut scene, thread, ExitSource::ExitNotify, DEAD, 5);
    scene.exiting(child, 0);
    dies(&mut scene, child, ExitSource::ExitNotify, ZOMBIE, 70);
    assert_eq!((total(&scene, TaskKind::Process), total(&scene, TaskKind::Thread)), (0, 0));
    scene.released(child, init);
    dies(&mut scene, child, ExitSource::FinalSwitch, DEAD, 75);
    dies(&mut scene, child, ExitSource::FinalSwitch, DEAD, 75);
    assert_eq!((total(&scene, TaskKind::Process), total(&scene, TaskKind::Thread)), (75, 0));
    // The thread's last switch was lost.
    scene.wait(5_000_000_000);
    scene.wait(10_000_000_000);
    assert_eq!((total(&scene, TaskKind::Process), total(&scene, TaskKind::Thread)), (75, 5));
    assert_eq!(scene.lineage.ended_unknown(), 0);
    let shares: Vec<_> = scene.lineage.take_shares().map(|(_, share)| share.exec_runtime_ns).collect();
    assert_eq!(shares, [80]);
    assert_eq!(scene.lineage.take_shares().count(), 0);
}
