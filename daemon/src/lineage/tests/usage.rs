//! What a process has used: told by its tasks' last switches, and by their deaths where a last switch is lost.

use super::scene::Scene;
use crate::lineage::id::{GroupKey, TaskRef};
use crate::lineage::record::{ExitParts, ExitSource, Exited, Fact, Usage};

const ZOMBIE: u32 = 32;
const DEAD: u32 = 16;

fn dies(scene: &mut Scene, task: TaskRef, source: ExitSource, state: u32, runtime: u64) {
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
        heir: None,
        usage: Some(Usage { exec_runtime_ns: runtime, ..Usage::default() }),
    })));
}

fn used(scene: &Scene, task: TaskRef) -> Option<u64> {
    let key = GroupKey { tgid: task.tgid, start: Some(task.key.start) };
    scene.lineage.life_by_key(key, scene.now)?.usage.map(|usage| usage.exec_runtime_ns)
}

#[test]
fn the_last_switch_makes_exact_what_the_death_told() {
    let mut scene = Scene::new();
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
    let mut scene = Scene::new();
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
    let mut scene = Scene::new();
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
    // One was waited for; of the other its death's figures stand.
    assert_eq!(used(&scene, leader), Some(2_001));
}
