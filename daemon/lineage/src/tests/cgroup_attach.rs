//! Processes that are moved to another cgroup.

use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{CgroupAttached, Fact, Record, TaskPlace};
use crate::tests::fixture::Fixture;

fn attach(fixture: &mut Fixture, task: TaskRef, cgroup_id: u64) {
    fixture.record(Fact::CgroupAttached(CgroupAttached { task, cgroup_id: Some(cgroup_id) }));
}

fn cgroup(fixture: &Fixture, task: TaskRef) -> Option<u64> {
    fixture.lineage.group(task.tgid).and_then(|group| group.cgroup_id())
}

fn born_in(fixture: &mut Fixture, tid: u32, cgroup_id: u64) -> TaskRef {
    let mut new = fixture.new_of(fixture.init(), tid, "app");
    new.place = TaskPlace { cgroup_id: Some(cgroup_id), ..TaskPlace::default() };
    fixture.record(Fact::New(new));
    new.task
}

#[test]
fn a_process_is_where_it_was_moved_to_and_its_children_are_where_they_were_born() {
    let mut fixture = Fixture::new();
    let app = born_in(&mut fixture, 100, 7);
    assert_eq!(cgroup(&fixture, app), Some(7));
    attach(&mut fixture, app, 8);
    assert_eq!(cgroup(&fixture, app), Some(8));
    attach(&mut fixture, app, 9);
    assert_eq!(cgroup(&fixture, app), Some(9));
    let unknown = fixture.lineage.group(fixture.init().tgid).and_then(|group| group.cgroup_id());
    assert_eq!(unknown, None, "no other process is moved");
}

#[test]
fn a_move_of_a_thread_moves_no_process() {
    let mut fixture = Fixture::new();
    let app = born_in(&mut fixture, 100, 7);
    let thread = fixture.thread(app, 101);
    attach(&mut fixture, thread, 8);
    assert_eq!(cgroup(&fixture, app), Some(7));
}

#[test]
fn what_was_read_before_the_move_does_not_undo_it() {
    let mut fixture = Fixture::new();
    let app = born_in(&mut fixture, 100, 7);
    let before = fixture.now;
    fixture.wait(1_000_000);
    attach(&mut fixture, app, 8);
    let older = Fact::CgroupAttached(CgroupAttached { task: app, cgroup_id: Some(7) });
    let older = Record { at: Ktime(before.0 + 1), cpu: 0, fact: older };
    fixture.lineage.apply(&older, fixture.now, &mut fixture.effects);
    assert_eq!(cgroup(&fixture, app), Some(8));
}
