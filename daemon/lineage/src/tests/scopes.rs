//! Cgroups that get their first task and lose their last, on kernels up to 6.18 and from 6.19 on.

use std::sync::Arc;

use crate::model::effect::{Action, Effect};
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{CgroupAttached, Fact, Place};
use crate::model::scope::{CgroupChange, CgroupChanged, Scope, ScopeEnd};
use crate::tests::scene::Fixture;

const SLICE: u64 = 5;
const UNIT: u64 = 7;
const PF_EXITING: u32 = 4;
const SIGSEGV: i32 = 11;

fn scene() -> Fixture {
    let mut scene = Fixture::new();
    scene.lineage.watch_scopes(true);
    scene
}

fn changed(scene: &mut Fixture, id: u64, change: CgroupChange, actor: TaskRef, flags: u32) {
    let (parent_id, name) = if id == SLICE { (1, "test.slice") } else { (SLICE, "web.service") };
    scene.record(Fact::CgroupChanged(Box::new(CgroupChanged {
        cgroup_id: id,
        parent_id: Some(parent_id),
        change,
        actor: Some(actor),
        actor_flags: Some(flags),
        name: Some(Arc::from(name)),
    })));
}

fn born(scene: &mut Fixture, parent: TaskRef, tid: u32, cgroup_id: u64) -> TaskRef {
    let mut new = scene.new_of(parent, tid, "app");
    new.place = Place { cgroup_id: Some(cgroup_id), ..Place::default() };
    scene.record(Fact::New(new));
    new.task
}

fn end(scene: &mut Fixture, task: TaskRef, status: i32) {
    scene.exiting(task, status);
    scene.exited(task, EXIT_ZOMBIE, status, true);
}

/// A service manager that brings the first process into a unit.
fn begun(scene: &mut Fixture) -> (TaskRef, TaskRef) {
    let init = scene.init();
    let manager = born(scene, init, 10, 1);
    changed(scene, UNIT, CgroupChange::Made, manager, 0);
    let app = born(scene, manager, 20, 1);
    changed(scene, UNIT, CgroupChange::Populated, manager, 0);
    changed(scene, SLICE, CgroupChange::Populated, manager, 0);
    let attached = CgroupAttached { task: app, cgroup_id: Some(UNIT) };
    scene.record(Fact::CgroupAttached(attached));
    (manager, app)
}

fn scopes(effects: &[Effect]) -> Vec<(&'static str, u32, Arc<Scope>)> {
    let of = |effect: &Effect| match &effect.action {
        Action::ScopeBegan(scope) | Action::ScopeEnded(scope) => {
            assert_eq!(effect.thread.cgroup_id, Some(scope.cgroup_id));
            Some((effect.action.name(), effect.process.key.tgid.0, Arc::clone(scope)))
        }
        _ => None,
    };
    effects.iter().filter_map(of).collect()
}

#[test]
fn a_unit_begins_with_the_process_that_is_moved_to_it_and_so_does_the_slice_above_it() {
    let mut scene = scene();
    let (manager, app) = begun(&mut scene);
    let told = scene.told();
    let told = scopes(&told);
    let [(one, who, unit), (other, whose, slice)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*one, *other, *who, *whose), ("scope_began", "scope_began", app.tgid.0, app.tgid.0));
    assert_eq!((unit.cgroup_id, slice.cgroup_id, unit.starts), (UNIT, SLICE, 1));
    let (made, by) = unit.made.unwrap();
    assert!(made < unit.began.unwrap());
    assert_eq!(by.map(|by| by.key.tgid), Some(manager.tgid));
}

#[test]
fn the_end_is_told_after_the_exit_of_the_process_that_left_last_with_the_moment_when_it_left() {
    let mut scene = scene();
    let (_, app) = begun(&mut scene);
    scene.told();
    scene.exiting(app, SIGSEGV);
    let before = scene.now;
    changed(&mut scene, UNIT, CgroupChange::Emptied, app, PF_EXITING);
    changed(&mut scene, SLICE, CgroupChange::Emptied, app, PF_EXITING);
    assert_eq!(scopes(&scene.told()).len(), 0, "why it ended is not known yet");
    scene.wait(1_000);
    scene.exited(app, EXIT_ZOMBIE, SIGSEGV, true);
    let told = scene.told();
    let told = scopes(&told);
    let [(_, who, unit), (_, _, slice)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*who, unit.end, slice.end), (app.tgid.0, Some(ScopeEnd::Exited), Some(ScopeEnd::Exited)));
    assert!(unit.ended.unwrap() > before && unit.ended.unwrap() < scene.now);
    assert_eq!(unit.first_death.as_ref().unwrap().key.tgid, app.tgid);
    assert_eq!(slice.last.unwrap().key.tgid, app.tgid);
}

#[test]
fn from_6_19_on_the_process_that_ended_last_is_not_the_current_one() {
    let mut scene = scene();
    let (manager, app) = begun(&mut scene);
    scene.told();
    end(&mut scene, app, 0);
    changed(&mut scene, UNIT, CgroupChange::Emptied, manager, 0);
    changed(&mut scene, SLICE, CgroupChange::Emptied, manager, 0);
    let told = scene.told();
    let told = scopes(&told);
    let [(action, who, unit), (_, _, slice)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*action, *who, unit.end), ("scope_ended", app.tgid.0, Some(ScopeEnd::Exited)));
    assert_eq!((slice.last, unit.first_death.is_none()), (unit.last, true), "it exited with 0");
}

#[test]
fn a_death_that_a_unit_went_on_after_did_not_lead_to_its_end() {
    let mut scene = scene();
    let (_, app) = begun(&mut scene);
    let worker = born(&mut scene, app, 21, UNIT);
    end(&mut scene, worker, SIGSEGV);
    scene.wait(2_000_000_000);
    let other = born(&mut scene, app, 22, UNIT);
    end(&mut scene, other, SIGSEGV);
    let another = born(&mut scene, app, 23, UNIT);
    end(&mut scene, another, 0);
    scene.told();
    scene.exiting(app, 256);
    changed(&mut scene, UNIT, CgroupChange::Emptied, app, PF_EXITING);
    scene.exited(app, EXIT_ZOMBIE, 256, true);
    let told = scene.told();
    let (_, _, unit) = &scopes(&told)[0];
    assert_eq!(unit.first_death.as_ref().unwrap().key.tgid, other.tgid);
    assert_eq!(unit.last.unwrap().key.tgid, app.tgid);
}

#[test]
fn the_same_name_again_is_a_restart_also_in_another_cgroup() {
    const AGAIN: u64 = 8;
    let mut scene = scene();
    let (manager, app) = begun(&mut scene);
    end(&mut scene, app, 0);
    changed(&mut scene, UNIT, CgroupChange::Emptied, manager, 0);
    changed(&mut scene, UNIT, CgroupChange::Removed, manager, 0);
    scene.told();
    scene.wait(100_000_000);
    changed(&mut scene, AGAIN, CgroupChange::Populated, manager, 0);
    born(&mut scene, manager, 30, AGAIN);
    let told = scene.told();
    let (_, _, unit) = &scopes(&told)[0];
    assert_eq!((unit.cgroup_id, unit.starts), (AGAIN, 2));
    assert!(unit.empty_ns.unwrap() >= 100_000_000);
    let kept: Vec<_> =
        scene.lineage.scopes().map(|scope| (scope.cgroup_id, scope.removed.is_some())).collect();
    assert!(kept.contains(&(AGAIN, false)) && kept.contains(&(UNIT, true)), "{kept:?}");
}

#[test]
fn a_cgroup_whose_last_process_is_moved_away_says_so() {
    let mut scene = scene();
    let (manager, app) = begun(&mut scene);
    scene.told();
    changed(&mut scene, UNIT, CgroupChange::Emptied, manager, 0);
    let told = scene.told();
    let (_, who, unit) = &scopes(&told)[0];
    assert_eq!((*who, unit.end), (app.tgid.0, Some(ScopeEnd::Moved)));
}

#[test]
fn one_that_is_older_than_taskscope_ends_without_a_beginning() {
    let mut scene = scene();
    let init = scene.init();
    let app = born(&mut scene, init, 20, UNIT);
    scene.told();
    scene.exiting(app, 0);
    changed(&mut scene, UNIT, CgroupChange::Emptied, app, PF_EXITING);
    scene.exited(app, EXIT_ZOMBIE, 0, true);
    let told = scene.told();
    let (_, who, unit) = &scopes(&told)[0];
    assert_eq!((*who, unit.began, unit.starts), (app.tgid.0, None, 0));
    assert_eq!(scene.lineage.scopes().count(), 1, "its late exit does not begin it again");
}

#[test]
fn what_waits_for_a_record_that_does_not_come_is_told_by_the_one_that_acted() {
    let mut scene = scene();
    let init = scene.init();
    let manager = born(&mut scene, init, 10, 1);
    changed(&mut scene, UNIT, CgroupChange::Populated, manager, 0);
    scene.told();
    let late = Ktime(scene.now.0 + 3_000_000_000);
    scene.lineage.tick(late, &mut scene.effects);
    let told = scene.told();
    let (action, who, unit) = &scopes(&told)[0];
    assert_eq!((*action, *who, unit.first), ("scope_began", manager.tgid.0, None));
}
