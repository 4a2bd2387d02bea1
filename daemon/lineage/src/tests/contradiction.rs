//! Records that contradict themselves: the task that one names as a parent has the tid of the child it is about.
//!
//! No kernel makes such a record. A task with a tid ends the earlier task with that tid, so the parent ends the child. The rest
//! of the record must not be applied to the child, because its slot is free. The fixture checks after each record that the slot
//! is empty.

use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid};
use crate::model::record::{Exited, Fact, New, ReleaseSource, Released, Snapshot};
use crate::tests::fixture::Fixture;

/// Younger tasks that have the child's tid: a leader, and a thread of the parent.
fn impossible_parents(fixture: &Fixture, child: TaskRef, parent: Tgid) -> [TaskRef; 2] {
    let key = TaskKey { start: Ktime(fixture.now.0 + 10), ..child.key };
    [TaskRef { key, tgid: child.tgid }, TaskRef { key, tgid: parent }]
}

/// Applies a child's record with each parent that it cannot have. The child must be gone afterwards, and the record counted as
/// contradictory.
fn each_ends_the_child(apply: impl Fn(&mut Fixture, TaskRef, TaskRef)) {
    for which in 0..2 {
        let mut fixture = Fixture::new();
        let init = fixture.init();
        let parent = fixture.fork(init, 100);
        let child = fixture.fork(parent, 200);
        let named = impossible_parents(&fixture, child, parent.tgid)[which];
        let before = fixture.lineage.stats().contradictory;
        apply(&mut fixture, child, named);
        fixture.lineage.check().unwrap();
        assert_eq!(fixture.lineage.stats().contradictory, before + 1, "parent {named:?}");
        let owner = fixture.lineage.group(child.tgid).map(|group| group.key().start);
        assert_ne!(owner, Some(Some(child.key.start)), "the child is gone");
        // Another group gets the slot and no facts of the former group.
        let other = fixture.fork(init, 300);
        assert_eq!(fixture.parent_of(other), Some(1));
    }
}

#[test]
fn a_snapshot_that_names_the_child_as_its_parent_leaves_nothing_behind() {
    each_ends_the_child(|fixture, child, parent| {
        fixture.lineage.begin_snapshot(fixture.now);
        fixture.record(Fact::Snapshot(Box::new(Snapshot {
            parent: Some(parent),
            tracer: Some(Some(parent)),
            exit_state: Some(EXIT_ZOMBIE),
            nr_threads: Some(3),
            ..Fixture::snapshot_of(child)
        })));
        fixture.lineage.end_snapshot(fixture.now, &mut fixture.effects);
    });
}

#[test]
fn a_birth_that_names_the_child_as_its_parent_leaves_nothing_behind() {
    each_ends_the_child(|fixture, child, parent| {
        let new = New { task: child, leader_start: None, ..fixture.new_of(parent, 200, "sh") };
        fixture.record(Fact::New(new));
    });
}

#[test]
fn a_death_that_names_the_child_as_its_parent_leaves_nothing_behind() {
    each_ends_the_child(|fixture, child, parent| {
        let death = Fixture::exited_of(child, EXIT_ZOMBIE, 0, true);
        fixture.record(Fact::Exited(Exited { parent: Some(parent), nr_threads: Some(3), ..death }));
    });
}

#[test]
fn a_death_that_names_itself_as_the_new_reaper_leaves_nothing_behind() {
    each_ends_the_child(|fixture, child, new_reaper| {
        fixture.fork(child, 400);
        let death = Fixture::exited_of(child, EXIT_ZOMBIE, 0, true);
        let death = Exited { new_reaper: Some(new_reaper), nr_threads: Some(3), ..death };
        fixture.record(Fact::Exited(death));
    });
}

#[test]
fn a_reparenting_to_the_child_itself_leaves_nothing_behind() {
    each_ends_the_child(|fixture, child, parent| fixture.reparented(child, child, parent));
}

#[test]
fn a_release_that_names_an_unknown_parent_with_the_childs_tid_is_a_release() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 200);
    for parent in impossible_parents(&fixture, child, init.tgid) {
        let by = Some(init);
        let released = Fixture::released_of(child, by, ReleaseSource::Entry);
        fixture.record(Fact::Released(Released { parent: Some(parent), ..released }));
        assert!(fixture.lineage.group(child.tgid).is_none());
    }
}
