//! Records that contradict themselves: the task that one names as a parent has the tid of the child it is about.
//!
//! No kernel makes such a record. Whoever has a tid ends the one who had it before, so naming that parent ends the child, and the
//! rest of the record must not be applied to it: its slot is free. The scene checks after each record that nothing is left in it.

use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid};
use crate::model::record::{Exited, Fact, New, ReleaseSource, Released, Snapshot};
use crate::tests::scene::Fixture;

/// Younger tasks that have the child's tid: a leader, and a thread of the parent.
fn impossible_parents(scene: &Fixture, child: TaskRef, parent: Tgid) -> [TaskRef; 2] {
    let key = TaskKey { start: Ktime(scene.now.0 + 10), ..child.key };
    [TaskRef { key, tgid: child.tgid }, TaskRef { key, tgid: parent }]
}

/// Tells a child's record for each parent that it cannot have; the child is gone then, and the record counted.
fn each_ends_the_child(tell: impl Fn(&mut Fixture, TaskRef, TaskRef)) {
    for which in 0..2 {
        let mut scene = Fixture::new();
        let init = scene.init();
        let parent = scene.fork(init, 100);
        let child = scene.fork(parent, 200);
        let named = impossible_parents(&scene, child, parent.tgid)[which];
        let before = scene.lineage.stats().contradictory;
        tell(&mut scene, child, named);
        scene.lineage.check().unwrap();
        assert_eq!(scene.lineage.stats().contradictory, before + 1, "parent {named:?}");
        let owner = scene.lineage.group(child.tgid).map(|group| group.key().start);
        assert_ne!(owner, Some(Some(child.key.start)), "the child is gone");
        // Another group gets the slot, and nothing of the former one.
        let other = scene.fork(init, 300);
        assert_eq!(scene.parent_of(other), Some(1));
    }
}

#[test]
fn a_snapshot_that_names_the_child_as_its_parent_leaves_nothing_behind() {
    each_ends_the_child(|scene, child, parent| {
        scene.lineage.begin_snapshot(scene.now);
        scene.record(Fact::Snapshot(Box::new(Snapshot {
            parent: Some(parent),
            tracer: Some(Some(parent)),
            exit_state: Some(EXIT_ZOMBIE),
            nr_threads: Some(3),
            ..Fixture::snapshot_of(child)
        })));
        scene.lineage.end_snapshot(scene.now, &mut scene.effects);
    });
}

#[test]
fn a_birth_that_names_the_child_as_its_parent_leaves_nothing_behind() {
    each_ends_the_child(|scene, child, parent| {
        let new = New { task: child, leader_start: None, ..scene.new_of(parent, 200, "sh") };
        scene.record(Fact::New(new));
    });
}

#[test]
fn a_death_that_names_the_child_as_its_parent_leaves_nothing_behind() {
    each_ends_the_child(|scene, child, parent| {
        let death = Fixture::exited_of(child, EXIT_ZOMBIE, 0, true);
        scene.record(Fact::Exited(Box::new(Exited { parent: Some(parent), nr_threads: Some(3), ..death })));
    });
}

#[test]
fn a_death_that_names_itself_as_the_new_reaper_leaves_nothing_behind() {
    each_ends_the_child(|scene, child, new_reaper| {
        scene.fork(child, 400);
        let death = Fixture::exited_of(child, EXIT_ZOMBIE, 0, true);
        let death = Exited { new_reaper: Some(new_reaper), nr_threads: Some(3), ..death };
        scene.record(Fact::Exited(Box::new(death)));
    });
}

#[test]
fn a_reparenting_to_the_child_itself_leaves_nothing_behind() {
    each_ends_the_child(|scene, child, parent| scene.reparented(child, child, parent));
}

#[test]
fn a_release_that_names_an_unknown_parent_with_the_childs_tid_is_a_release() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 200);
    for parent in impossible_parents(&scene, child, init.tgid) {
        let by = Some(init);
        let released = Fixture::released_of(child, by, ReleaseSource::Entry);
        scene.record(Fact::Released(Box::new(Released { parent: Some(parent), ..released })));
        assert!(scene.lineage.group(child.tgid).is_none());
    }
}
