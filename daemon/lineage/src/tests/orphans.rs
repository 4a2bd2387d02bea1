//! Zombies whose parent dies, on the tracepoint rung: no record shows whether the parent reaped them before.

use super::fixture::{Fixture, comm};
use crate::model::effect::{Action, Effect};
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{GroupKey, Ktime, TaskRef};
use crate::model::record::{Fact, ReleaseSource, Released, Snapshot};

/// Two zombies of a parent that is killed, below a subreaper below init.
struct Family {
    fixture: Fixture,
    reaper: TaskRef,
    parent: TaskRef,
    zombies: [TaskRef; 2],
}

impl Family {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let init = fixture.init();
        let reaper = fixture.fork_as(init, 10, "reaper");
        let parent = fixture.fork_as(reaper, 20, "parent");
        let zombies = [100, 101].map(|tid| fixture.fork(parent, tid));
        for zombie in zombies {
            fixture.exiting(zombie, 0);
            fixture.last_switch(zombie, None);
        }
        let mut family = Self { fixture, reaper, parent, zombies };
        family.killed(parent, reaper);
        family.fixture.actions();
        family
    }

    /// Ends a parent of the zombies; its last switch shows the new parent of its children.
    fn killed(&mut self, parent: TaskRef, new_reaper: TaskRef) {
        self.fixture.exiting_with_children(parent);
        self.fixture.last_switch(parent, Some(new_reaper));
    }

    /// Applies a record from /proc that shows a zombie and its parent.
    fn shown(&mut self, zombie: TaskRef, parent: TaskRef) {
        self.fixture.record(Self::seen(zombie, parent));
    }

    fn seen(zombie: TaskRef, parent: TaskRef) -> Fact {
        Fact::Snapshot(Box::new(Snapshot {
            parent: Some(parent),
            exit_state: Some(EXIT_ZOMBIE),
            nr_threads: Some(1),
            ..Fixture::snapshot_of(zombie)
        }))
    }

    /// Returns the reparentings of the zombies since the last call (old and new parent), and the parents that the effects show.
    fn steps(&mut self) -> Vec<[u32; 4]> {
        let step = |effect: &Effect| match effect.action {
            Action::Reparented { old_parent, new_parent, .. } => Some([
                effect.process.key.tgid.0,
                old_parent.map_or(0, |old| old.tgid.0),
                new_parent.tgid.0,
                effect.process.parent.map_or(0, |parent| parent.tgid.0),
            ]),
            _ => None,
        };
        self.fixture.new_effects().iter().filter_map(step).collect()
    }
}

fn key(task: TaskRef) -> GroupKey {
    GroupKey { tgid: task.tgid, start: Some(task.key.start) }
}

#[test]
fn zombies_that_proc_shows_are_reported_as_reparented_at_once() {
    let mut family = Family::new();
    assert_eq!(family.steps(), [[0; 4]; 0], "it is open");
    let open: Vec<u32> = family.fixture.lineage.doubtful().map(|(task, _)| task.tid.0).collect();
    assert_eq!(open, [101, 100]);
    assert_eq!(family.fixture.lineage.reparents_opened(), 2);
    let (zombies, reaper) = (family.zombies, family.reaper);
    for zombie in zombies {
        family.shown(zombie, reaper);
    }
    assert_eq!(family.steps(), [[100, 20, 10, 10], [101, 20, 10, 10]]);
    assert_eq!(family.fixture.lineage.doubtful().count(), 0);
}

#[test]
fn no_step_is_lost_when_the_new_parent_dies_too() {
    let mut family = Family::new();
    let (zombies, reaper, init) = (family.zombies, family.reaper, family.fixture.init());
    family.killed(reaper, init);
    assert_eq!(family.steps(), [[0; 4]; 0]);
    family.shown(zombies[0], init);
    assert_eq!(family.steps(), [[100, 20, 10, 10], [100, 10, 1, 1]]);
    // The subreaper reaped the other zombie before it died: the release shows its parent.
    let free = Fixture::released_of(zombies[1], None, ReleaseSource::Free);
    family.fixture.record(Fact::Released(Released { parent: Some(reaper), ..free }));
    let effects = family.fixture.new_effects();
    let names: Vec<&str> = effects.iter().map(|effect| effect.action.name()).collect();
    assert_eq!(names, ["reparented", "reaped", "released"]);
    let by = effects.iter().find_map(|effect| match &effect.action {
        Action::Reaped { reaper, .. } => reaper.map(|reaper| reaper.process.tgid.0),
        _ => None,
    });
    assert_eq!(by, Some(10));
}

#[test]
fn a_new_parent_that_proc_shows_before_the_last_switch_of_the_old_one_is_reported_once() {
    let mut family = Family::new();
    let (zombies, reaper, init) = (family.zombies, family.reaper, family.fixture.init());
    family.fixture.exiting_with_children(reaper);
    let handed_on = Ktime(family.fixture.now.0 + 1);
    family.fixture.last_switch(reaper, Some(init));
    for zombie in zombies {
        family.fixture.record_at(handed_on, Family::seen(zombie, init));
    }
    let steps = [100, 101].map(|zombie| [[zombie, 20, 10, 10], [zombie, 10, 1, 1]]);
    assert_eq!(family.steps(), steps.as_flattened());
    let open: Vec<u32> = family.fixture.lineage.doubtful().map(|(task, _)| task.tid.0).collect();
    assert_eq!(open, [20], "of the dead parent alone it is open who reaped it");
    for zombie in zombies {
        family.fixture.record(Fact::Released(Released {
            parent: Some(init),
            ..Fixture::released_of(zombie, None, ReleaseSource::Free)
        }));
    }
    assert_eq!(family.steps(), [[0; 4]; 0]);
}

#[test]
fn who_forked_a_zombie_is_known_while_it_is_open_whose_child_it_is() {
    let family = Family::new();
    let life = family.fixture.lineage.life(family.zombies[0].tgid, family.fixture.now).unwrap();
    assert_eq!(life.first_parent, Some(key(family.parent)));
    assert_eq!(life.parent, Some(key(family.reaper)));
}

#[test]
fn a_flagged_zombie_has_the_pid_and_the_name_of_one_parent() {
    let mut family = Family::new();
    // This is within the time in which the release record can still arrive.
    family.fixture.now.0 += 11_000_000_000;
    family.fixture.lineage.tick(family.fixture.now, &mut family.fixture.effects);
    let effects = family.fixture.new_effects();
    for zombie in family.zombies {
        let is_its = |effect: &&Effect| effect.process.key == key(zombie);
        let flagged = effects.iter().filter(is_its).find_map(|effect| match &effect.action {
            Action::ZombieFlagged { parent_name, .. } => Some((effect.process.parent, *parent_name)),
            _ => None,
        });
        assert_eq!(flagged, Some((Some(key(family.parent)), Some(comm("parent")))), "{zombie:?}");
    }
}

#[test]
fn one_that_proc_does_not_have_counts_no_more_and_its_callback_tells_who_reaped_it() {
    let mut family = Family::new();
    let (gone, reaper) = (family.zombies[0], family.reaper);
    let now = family.fixture.now;
    assert!(family.fixture.lineage.end_reaped_zombie(key(gone), now, &mut family.fixture.effects));
    family.fixture.lineage.check().unwrap();
    assert_eq!((family.fixture.lineage.zombie_count(), family.fixture.lineage.unconfirmed_count()), (2, 1));
    assert!(family.fixture.actions().is_empty(), "who reaped it is not known yet");
    let free = Fixture::released_of(gone, None, ReleaseSource::Free);
    family.fixture.record(Fact::Released(Released { parent: Some(reaper), ..free }));
    assert_eq!(family.fixture.actions(), ["100:reparented", "100:reaped", "100:released"]);
}

#[test]
fn one_whose_callback_does_not_come_was_reaped_by_the_former_parent() {
    let mut family = Family::new();
    let (gone, now) = (family.zombies[0], family.fixture.now);
    assert!(family.fixture.lineage.end_reaped_zombie(key(gone), now, &mut family.fixture.effects));
    family.fixture.now.0 += 2_000_000_000;
    let now = family.fixture.now;
    assert!(family.fixture.lineage.end_unconfirmed_zombie(key(gone), now, &mut family.fixture.effects));
    family.fixture.lineage.check().unwrap();
    let effects = family.fixture.new_effects();
    assert_eq!(effects.iter().map(|effect| effect.action.name()).collect::<Vec<_>>(), ["reaped"]);
    assert_eq!(effects[0].process.parent.map(|parent| parent.tgid.0), Some(20));
}

/// A process below a subreaper that no record has shown, with a child of its second thread. Both threads are in `do_exit()` when the
/// second thread's tid is used again, so that the rule gives the child to init. Returns the threads and the child.
fn orphan_by_rule(fixture: &mut Fixture) -> ([TaskRef; 2], TaskRef, TaskRef) {
    let init = fixture.init();
    let subreaper = fixture.fork_as(init, 10, "subreaper");
    let leader = fixture.fork(subreaper, 20);
    let thread = fixture.thread(leader, 21);
    let child = fixture.fork(thread, 30);
    fixture.exiting(leader, 0);
    fixture.exiting_with_children(thread);
    fixture.fork(init, 21);
    assert_eq!(fixture.parent_of(child), Some(1), "the subreaper is not known");
    ([leader, thread], subreaper, child)
}

#[test]
fn the_new_reaper_of_a_task_whose_tid_is_used_again_is_not_lost() {
    let mut fixture = Fixture::new();
    let ([_, thread], subreaper, child) = orphan_by_rule(&mut fixture);
    fixture.last_switch(thread, Some(subreaper));
    assert_eq!(fixture.parent_of(child), Some(10));
}

#[test]
fn a_child_that_stayed_in_the_process_goes_to_the_new_reaper_of_its_last_thread() {
    let mut fixture = Fixture::new();
    let ([leader, thread], subreaper, child) = orphan_by_rule(&mut fixture);
    fixture.last_switch(thread, Some(leader));
    assert_eq!(fixture.parent_of(child), Some(1));
    fixture.last_switch(leader, Some(subreaper));
    assert_eq!(fixture.parent_of(child), Some(10));
}
