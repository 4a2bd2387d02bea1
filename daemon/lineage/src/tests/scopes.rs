//! Cgroups that get their first task and lose their last, on kernels up to 6.18 and from 6.19 on.

use std::sync::Arc;

use crate::model::effect::{Action, Effect};
use crate::model::flags::{EXIT_ZOMBIE, SIGSEGV};
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{CgroupAttached, Fact, TaskPlace};
use crate::model::scope::{CgroupChange, CgroupChanged, Scope, ScopeEnd};
use crate::tests::fixture::Fixture;

const SLICE: u64 = 5;
const UNIT: u64 = 7;
const PF_EXITING: u32 = 4;

fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.lineage.watch_scopes(true);
    fixture
}

fn changed(fixture: &mut Fixture, id: u64, change: CgroupChange, actor: TaskRef, flags: u32) {
    let (parent_id, name) = if id == SLICE { (1, "test.slice") } else { (SLICE, "web.service") };
    fixture.record(Fact::CgroupChanged(Box::new(CgroupChanged {
        cgroup_id: id,
        parent_id: Some(parent_id),
        change,
        actor: Some(actor),
        actor_flags: Some(flags),
        name: Some(Arc::from(name)),
    })));
}

fn born(fixture: &mut Fixture, parent: TaskRef, tid: u32, cgroup_id: u64) -> TaskRef {
    let mut new = fixture.new_of(parent, tid, "app");
    new.place = TaskPlace { cgroup_id: Some(cgroup_id), ..TaskPlace::default() };
    fixture.record(Fact::New(new));
    new.task
}

fn end(fixture: &mut Fixture, task: TaskRef, status: i32) {
    fixture.exiting(task, status);
    fixture.exited(task, EXIT_ZOMBIE, status, true);
}

/// A service manager that brings the first process into a unit.
fn begun(fixture: &mut Fixture) -> (TaskRef, TaskRef) {
    let init = fixture.init();
    let manager = born(fixture, init, 10, 1);
    changed(fixture, UNIT, CgroupChange::Made, manager, 0);
    let app = born(fixture, manager, 20, 1);
    changed(fixture, UNIT, CgroupChange::Populated, manager, 0);
    changed(fixture, SLICE, CgroupChange::Populated, manager, 0);
    let attached = CgroupAttached { task: app, cgroup_id: Some(UNIT) };
    fixture.record(Fact::CgroupAttached(attached));
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
    let mut fixture = fixture();
    let (manager, app) = begun(&mut fixture);
    let effects = fixture.new_effects();
    let effects = scopes(&effects);
    let [(one, who, unit), (other, whose, slice)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((*one, *other, *who, *whose), ("scope_began", "scope_began", app.tgid.0, app.tgid.0));
    assert_eq!((unit.cgroup_id, slice.cgroup_id, unit.starts), (UNIT, SLICE, 1));
    let (made, by) = unit.made.unwrap();
    assert!(made < unit.began.unwrap());
    assert_eq!(by.map(|by| by.key.tgid), Some(manager.tgid));
}

#[test]
fn the_end_is_reported_after_the_exit_of_the_process_that_left_last_with_the_moment_when_it_left() {
    let mut fixture = fixture();
    let (_, app) = begun(&mut fixture);
    fixture.new_effects();
    fixture.exiting(app, SIGSEGV);
    let before = fixture.now;
    changed(&mut fixture, UNIT, CgroupChange::Emptied, app, PF_EXITING);
    changed(&mut fixture, SLICE, CgroupChange::Emptied, app, PF_EXITING);
    assert_eq!(scopes(&fixture.new_effects()).len(), 0, "why it ended is not known yet");
    fixture.wait(1_000);
    fixture.exited(app, EXIT_ZOMBIE, SIGSEGV, true);
    let effects = fixture.new_effects();
    let effects = scopes(&effects);
    let [(_, who, unit), (_, _, slice)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((*who, unit.end, slice.end), (app.tgid.0, Some(ScopeEnd::Exited), Some(ScopeEnd::Exited)));
    assert!(unit.ended.unwrap() > before && unit.ended.unwrap() < fixture.now);
    assert_eq!(unit.first_death.as_ref().unwrap().key.tgid, app.tgid);
    assert_eq!(slice.last.unwrap().key.tgid, app.tgid);
}

#[test]
fn from_6_19_on_the_process_that_ended_last_is_not_the_current_one() {
    let mut fixture = fixture();
    let (manager, app) = begun(&mut fixture);
    fixture.new_effects();
    end(&mut fixture, app, 0);
    changed(&mut fixture, UNIT, CgroupChange::Emptied, manager, 0);
    changed(&mut fixture, SLICE, CgroupChange::Emptied, manager, 0);
    let effects = fixture.new_effects();
    let effects = scopes(&effects);
    let [(action, who, unit), (_, _, slice)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((*action, *who, unit.end), ("scope_ended", app.tgid.0, Some(ScopeEnd::Exited)));
    assert_eq!((slice.last, unit.first_death.is_none()), (unit.last, true), "it exited with 0");
}

#[test]
fn a_death_that_a_unit_went_on_after_did_not_lead_to_its_end() {
    let mut fixture = fixture();
    let (_, app) = begun(&mut fixture);
    let worker = born(&mut fixture, app, 21, UNIT);
    end(&mut fixture, worker, SIGSEGV);
    fixture.wait(2_000_000_000);
    let other = born(&mut fixture, app, 22, UNIT);
    end(&mut fixture, other, SIGSEGV);
    let another = born(&mut fixture, app, 23, UNIT);
    end(&mut fixture, another, 0);
    fixture.new_effects();
    fixture.exiting(app, 256);
    changed(&mut fixture, UNIT, CgroupChange::Emptied, app, PF_EXITING);
    fixture.exited(app, EXIT_ZOMBIE, 256, true);
    let effects = fixture.new_effects();
    let (_, _, unit) = &scopes(&effects)[0];
    assert_eq!(unit.first_death.as_ref().unwrap().key.tgid, other.tgid);
    assert_eq!(unit.last.unwrap().key.tgid, app.tgid);
}

#[test]
fn the_same_name_again_is_a_restart_also_in_another_cgroup() {
    const AGAIN: u64 = 8;
    let mut fixture = fixture();
    let (manager, app) = begun(&mut fixture);
    end(&mut fixture, app, 0);
    changed(&mut fixture, UNIT, CgroupChange::Emptied, manager, 0);
    changed(&mut fixture, UNIT, CgroupChange::Removed, manager, 0);
    fixture.new_effects();
    fixture.wait(100_000_000);
    changed(&mut fixture, AGAIN, CgroupChange::Populated, manager, 0);
    born(&mut fixture, manager, 30, AGAIN);
    let effects = fixture.new_effects();
    let (_, _, unit) = &scopes(&effects)[0];
    assert_eq!((unit.cgroup_id, unit.starts), (AGAIN, 2));
    assert!(unit.empty_ns.unwrap() >= 100_000_000);
    let kept: Vec<_> =
        fixture.lineage.scopes().map(|scope| (scope.cgroup_id, scope.removed.is_some())).collect();
    assert!(kept.contains(&(AGAIN, false)) && kept.contains(&(UNIT, true)), "{kept:?}");
}

#[test]
fn a_cgroup_whose_last_process_is_moved_away_says_so() {
    let mut fixture = fixture();
    let (manager, app) = begun(&mut fixture);
    fixture.new_effects();
    changed(&mut fixture, UNIT, CgroupChange::Emptied, manager, 0);
    let effects = fixture.new_effects();
    let (_, who, unit) = &scopes(&effects)[0];
    assert_eq!((*who, unit.end), (app.tgid.0, Some(ScopeEnd::Moved)));
}

#[test]
fn one_that_is_older_than_taskscope_ends_without_a_beginning() {
    let mut fixture = fixture();
    let init = fixture.init();
    let app = born(&mut fixture, init, 20, UNIT);
    fixture.new_effects();
    fixture.exiting(app, 0);
    changed(&mut fixture, UNIT, CgroupChange::Emptied, app, PF_EXITING);
    fixture.exited(app, EXIT_ZOMBIE, 0, true);
    let effects = fixture.new_effects();
    let (_, who, unit) = &scopes(&effects)[0];
    assert_eq!((*who, unit.began, unit.starts), (app.tgid.0, None, 0));
    assert_eq!(fixture.lineage.scopes().count(), 1, "its late exit does not begin it again");
}

#[test]
fn what_waits_for_a_record_that_does_not_come_is_reported_by_the_one_that_acted() {
    let mut fixture = fixture();
    let init = fixture.init();
    let manager = born(&mut fixture, init, 10, 1);
    changed(&mut fixture, UNIT, CgroupChange::Populated, manager, 0);
    fixture.new_effects();
    let late = Ktime(fixture.now.0 + 3_000_000_000);
    fixture.lineage.tick(late, &mut fixture.effects);
    let effects = fixture.new_effects();
    let (action, who, unit) = &scopes(&effects)[0];
    assert_eq!((*action, *who, unit.first), ("scope_began", manager.tgid.0, None));
}
