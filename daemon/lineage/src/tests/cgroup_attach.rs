//! Processes that are moved to another cgroup.

use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{CgroupAttached, Fact, Place, Record};
use crate::tests::scene::Fixture;

fn attach(scene: &mut Fixture, task: TaskRef, cgroup_id: u64) {
    scene.record(Fact::CgroupAttached(CgroupAttached { task, cgroup_id: Some(cgroup_id) }));
}

fn cgroup(scene: &Fixture, task: TaskRef) -> Option<u64> {
    scene.lineage.group(task.tgid).and_then(|group| group.cgroup_id())
}

fn born_in(scene: &mut Fixture, tid: u32, cgroup_id: u64) -> TaskRef {
    let mut new = scene.new_of(scene.init(), tid, "app");
    new.place = Place { cgroup_id: Some(cgroup_id), ..Place::default() };
    scene.record(Fact::New(new));
    new.task
}

#[test]
fn a_process_is_where_it_was_moved_to_and_its_children_are_where_they_were_born() {
    let mut scene = Fixture::new();
    let app = born_in(&mut scene, 100, 7);
    assert_eq!(cgroup(&scene, app), Some(7));
    attach(&mut scene, app, 8);
    assert_eq!(cgroup(&scene, app), Some(8));
    attach(&mut scene, app, 9);
    assert_eq!(cgroup(&scene, app), Some(9));
    let unknown = scene.lineage.group(scene.init().tgid).and_then(|group| group.cgroup_id());
    assert_eq!(unknown, None, "nobody else is moved");
}

#[test]
fn a_move_of_a_thread_moves_no_process() {
    let mut scene = Fixture::new();
    let app = born_in(&mut scene, 100, 7);
    let thread = scene.thread(app, 101);
    attach(&mut scene, thread, 8);
    assert_eq!(cgroup(&scene, app), Some(7));
}

#[test]
fn what_was_read_before_the_move_does_not_undo_it() {
    let mut scene = Fixture::new();
    let app = born_in(&mut scene, 100, 7);
    let before = scene.now;
    scene.wait(1_000_000);
    attach(&mut scene, app, 8);
    let older = Fact::CgroupAttached(CgroupAttached { task: app, cgroup_id: Some(7) });
    let older = Record { at: Ktime(before.0 + 1), cpu: 0, fact: older };
    scene.lineage.apply(&older, scene.now, &mut scene.effects);
    assert_eq!(cgroup(&scene, app), Some(8));
}
