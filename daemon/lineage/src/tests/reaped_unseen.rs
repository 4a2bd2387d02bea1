//! Zombies whose reaping no record shows: the tracepoint rung sees their release an RCU grace period late, or never.

use super::scene::Fixture;
use crate::model::id::{GroupKey, TaskRef};
use crate::model::record::{Fact, ReleaseSource};

/// Zombies of one parent, as the tracepoint rung tells of them.
fn zombies(scene: &mut Fixture, count: u32) -> Vec<TaskRef> {
    let init = scene.init();
    let parent = scene.fork(init, 10);
    let children: Vec<TaskRef> = (0..count).map(|n| scene.fork(parent, 100 + n)).collect();
    for &child in &children {
        scene.exiting(child, 0);
        scene.last_switch(child, None);
    }
    scene.actions();
    children
}

fn key(task: TaskRef) -> GroupKey {
    GroupKey { tgid: task.tgid, start: Some(task.key.start) }
}

fn end(scene: &mut Fixture, task: TaskRef) -> bool {
    let is_ended = scene.lineage.end_reaped_zombie(key(task), scene.now, &mut scene.effects);
    scene.lineage.check().unwrap();
    is_ended
}

#[test]
fn a_zombie_that_proc_does_not_have_is_releasing_until_its_release() {
    let mut scene = Fixture::new();
    let children = zombies(&mut scene, 2);
    assert!(end(&mut scene, children[0]));
    assert_eq!(scene.actions(), ["100:reaped"]);
    assert_eq!((scene.lineage.zombie_count(), scene.lineage.releasing_count()), (1, 1));
    assert!(!end(&mut scene, children[0]), "it is none any more");
    scene.record(Fact::Released(Box::new(Fixture::released_of(children[0], None, ReleaseSource::Free))));
    assert_eq!(scene.actions(), ["100:released"], "it is reaped once");
    assert_eq!((scene.lineage.zombie_count(), scene.lineage.releasing_count()), (1, 0));
}

#[test]
fn where_releases_are_seen_when_they_begin_proc_does_not_end_a_zombie() {
    let mut scene = Fixture::new();
    let children = zombies(&mut scene, 2);
    let init = scene.init();
    scene.released(children[1], init);
    assert!(!end(&mut scene, children[0]));
    assert_eq!(scene.lineage.zombie_count(), 1);
}

#[test]
fn a_zombie_whose_pid_is_anothers_by_now_is_not_ended() {
    let mut scene = Fixture::new();
    let children = zombies(&mut scene, 1);
    let other = GroupKey { start: None, ..key(children[0]) };
    assert!(!scene.lineage.end_reaped_zombie(other, scene.now, &mut scene.effects));
    assert_eq!(scene.lineage.zombie_count(), 1);
}

#[test]
fn a_tick_flags_as_many_zombies_as_it_may() {
    let mut scene = Fixture::new();
    let children = zombies(&mut scene, 3);
    scene.now.0 += 11_000_000_000;
    let due: Vec<GroupKey> = scene.lineage.zombies_due(scene.now).map(|zombie| zombie.key()).collect();
    assert_eq!(due, children.iter().map(|&child| key(child)).collect::<Vec<_>>());
    scene.lineage.tick_flagging(scene.now, 2, &mut scene.effects);
    assert_eq!(scene.actions(), ["100:zombie_flagged", "101:zombie_flagged"]);
    assert_eq!(scene.lineage.flagged_count(), 2);
    scene.lineage.tick(scene.now, &mut scene.effects);
    assert_eq!(scene.lineage.flagged_count(), 3);
}

#[test]
fn each_zombie_comes_after_the_last_whatever_queue_it_is_in() {
    let mut scene = Fixture::new();
    let children = zombies(&mut scene, 4);
    scene.now.0 += 11_000_000_000;
    scene.lineage.tick_flagging(scene.now, 2, &mut scene.effects);
    let mut last = None;
    for &child in &children {
        last = scene.lineage.zombies_after(last).next().map(|zombie| zombie.key());
        assert_eq!(last, Some(key(child)));
    }
    assert_eq!(scene.lineage.zombies_after(last).count(), 0);
    end(&mut scene, children[1]);
    assert_eq!(scene.lineage.zombies_after(Some(key(children[1]))).count(), 3, "from the first on");
}
