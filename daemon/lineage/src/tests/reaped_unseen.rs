//! Zombies whose reaping no record shows: the tracepoint rung reports their release an RCU grace period late, or never.

use super::fixture::Fixture;
use crate::model::id::{GroupKey, TaskRef};
use crate::model::record::{Fact, ReleaseSource};

/// Creates zombies of one parent, with the records of the tracepoint rung.
fn zombies(fixture: &mut Fixture, count: u32) -> Vec<TaskRef> {
    let init = fixture.init();
    let parent = fixture.fork(init, 10);
    let children: Vec<TaskRef> = (0..count).map(|n| fixture.fork(parent, 100 + n)).collect();
    for &child in &children {
        fixture.exiting(child, 0);
        fixture.last_switch(child, None);
    }
    fixture.actions();
    children
}

fn key(task: TaskRef) -> GroupKey {
    GroupKey { tgid: task.tgid, start: Some(task.key.start) }
}

fn end(fixture: &mut Fixture, task: TaskRef) -> bool {
    let is_ended = fixture.lineage.end_reaped_zombie(key(task), fixture.now, &mut fixture.effects);
    fixture.lineage.check().unwrap();
    is_ended
}

#[test]
fn a_zombie_that_proc_does_not_have_is_releasing_until_its_release() {
    let mut fixture = Fixture::new();
    let children = zombies(&mut fixture, 2);
    assert!(end(&mut fixture, children[0]));
    assert_eq!(fixture.actions(), ["100:reaped"]);
    assert_eq!((fixture.lineage.zombie_count(), fixture.lineage.releasing_count()), (1, 1));
    assert!(!end(&mut fixture, children[0]), "the process is no longer a zombie");
    fixture.record(Fact::Released(Fixture::released_of(children[0], None, ReleaseSource::Free)));
    assert_eq!(fixture.actions(), ["100:released"], "it is reaped once");
    assert_eq!((fixture.lineage.zombie_count(), fixture.lineage.releasing_count()), (1, 0));
}

#[test]
fn where_releases_are_seen_when_they_begin_proc_does_not_end_a_zombie() {
    let mut fixture = Fixture::new();
    let children = zombies(&mut fixture, 2);
    let init = fixture.init();
    fixture.released(children[1], init);
    assert!(!end(&mut fixture, children[0]));
    assert_eq!(fixture.lineage.zombie_count(), 1);
}

#[test]
fn a_zombie_whose_pid_is_anothers_by_now_is_not_ended() {
    let mut fixture = Fixture::new();
    let children = zombies(&mut fixture, 1);
    let other = GroupKey { start: None, ..key(children[0]) };
    assert!(!fixture.lineage.end_reaped_zombie(other, fixture.now, &mut fixture.effects));
    assert_eq!(fixture.lineage.zombie_count(), 1);
}

#[test]
fn a_tick_flags_as_many_zombies_as_it_may() {
    let mut fixture = Fixture::new();
    let children = zombies(&mut fixture, 3);
    fixture.now.0 += 11_000_000_000;
    let due: Vec<GroupKey> = fixture.lineage.zombies_due(fixture.now).map(|zombie| zombie.key()).collect();
    assert_eq!(due, children.iter().map(|&child| key(child)).collect::<Vec<_>>());
    fixture.lineage.tick_flagging(fixture.now, 2, &mut fixture.effects);
    assert_eq!(fixture.actions(), ["100:zombie_flagged", "101:zombie_flagged"]);
    assert_eq!(fixture.lineage.flagged_count(), 2);
    fixture.lineage.tick(fixture.now, &mut fixture.effects);
    assert_eq!(fixture.lineage.flagged_count(), 3);
}

#[test]
fn each_zombie_comes_after_the_last_whatever_queue_it_is_in() {
    let mut fixture = Fixture::new();
    let children = zombies(&mut fixture, 4);
    fixture.now.0 += 11_000_000_000;
    fixture.lineage.tick_flagging(fixture.now, 2, &mut fixture.effects);
    let mut last = None;
    for &child in &children {
        last = fixture.lineage.zombies_after(last).next().map(|zombie| zombie.key());
        assert_eq!(last, Some(key(child)));
    }
    assert_eq!(fixture.lineage.zombies_after(last).count(), 0);
    end(&mut fixture, children[1]);
    assert_eq!(fixture.lineage.zombies_after(Some(key(children[1]))).count(), 3, "from the first on");
}
