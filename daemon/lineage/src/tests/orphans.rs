//! Zombies whose parent dies, as the tracepoint rung tells of them: whether it reaped them before is open.

use super::scene::{Fixture, comm};
use crate::model::effect::{Action, Effect};
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{GroupKey, TaskRef};
use crate::model::record::{Fact, ReleaseSource, Released, Snapshot};

/// Two zombies of a parent that is killed, below a subreaper below init.
struct Family {
    scene: Fixture,
    reaper: TaskRef,
    parent: TaskRef,
    zombies: [TaskRef; 2],
}

impl Family {
    fn new() -> Self {
        let mut scene = Fixture::new();
        let init = scene.init();
        let reaper = scene.fork_as(init, 10, "reaper");
        let parent = scene.fork_as(reaper, 20, "parent");
        let zombies = [100, 101].map(|tid| scene.fork(parent, tid));
        for zombie in zombies {
            scene.exiting(zombie, 0);
            scene.last_switch(zombie, None);
        }
        let mut family = Self { scene, reaper, parent, zombies };
        family.killed(parent, reaper);
        family.scene.actions();
        family
    }

    /// A parent of the zombies dies; the last switch shows to whom its children went.
    fn killed(&mut self, parent: TaskRef, new_reaper: TaskRef) {
        self.scene.exiting_with_children(parent);
        self.scene.last_switch(parent, Some(new_reaper));
    }

    /// /proc shows a zombie, and whose child it is.
    fn shown(&mut self, zombie: TaskRef, parent: TaskRef) {
        self.scene.record(Fact::Snapshot(Box::new(Snapshot {
            parent: Some(parent),
            exit_state: Some(EXIT_ZOMBIE),
            nr_threads: Some(1),
            ..Fixture::snapshot_of(zombie)
        })));
    }

    /// From whom to whom the zombies were told to go since the last call, and whose children they are told to be.
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
        self.scene.told().iter().filter_map(step).collect()
    }
}

fn key(task: TaskRef) -> GroupKey {
    GroupKey { tgid: task.tgid, start: Some(task.key.start) }
}

#[test]
fn zombies_that_proc_shows_are_told_as_handed_on_at_once() {
    let mut family = Family::new();
    assert_eq!(family.steps(), [[0; 4]; 0], "it is open");
    let open: Vec<u32> = family.scene.lineage.doubtful().map(|(task, _)| task.tid.0).collect();
    assert_eq!(open, [101, 100]);
    assert_eq!(family.scene.lineage.reparents_opened(), 2);
    let (zombies, reaper) = (family.zombies, family.reaper);
    for zombie in zombies {
        family.shown(zombie, reaper);
    }
    assert_eq!(family.steps(), [[100, 20, 10, 10], [101, 20, 10, 10]]);
    assert_eq!(family.scene.lineage.doubtful().count(), 0);
}

#[test]
fn no_step_is_lost_when_the_new_parent_dies_too() {
    let mut family = Family::new();
    let (zombies, reaper, init) = (family.zombies, family.reaper, family.scene.init());
    family.killed(reaper, init);
    assert_eq!(family.steps(), [[0; 4]; 0]);
    family.shown(zombies[0], init);
    assert_eq!(family.steps(), [[100, 20, 10, 10], [100, 10, 1, 1]]);
    // The other was reaped by the subreaper before that died: its release shows whose child it was.
    let free = Fixture::released_of(zombies[1], None, ReleaseSource::Free);
    family.scene.record(Fact::Released(Box::new(Released { parent: Some(reaper), ..free })));
    let told = family.scene.told();
    let names: Vec<&str> = told.iter().map(|effect| effect.action.name()).collect();
    assert_eq!(names, ["reparented", "reaped", "released"]);
    let by = told.iter().find_map(|effect| match &effect.action {
        Action::Reaped { reaper, .. } => reaper.map(|reaper| reaper.process.tgid.0),
        _ => None,
    });
    assert_eq!(by, Some(10));
}

#[test]
fn who_forked_a_zombie_is_known_while_it_is_open_whose_child_it_is() {
    let family = Family::new();
    let life = family.scene.lineage.life(family.zombies[0].tgid, family.scene.now).unwrap();
    assert_eq!(life.first_parent, Some(key(family.parent)));
    assert_eq!(life.parent, Some(key(family.reaper)));
}

#[test]
fn a_flagged_zombie_has_the_pid_and_the_name_of_one_parent() {
    let mut family = Family::new();
    // Within the time in which its release can still come.
    family.scene.now.0 += 11_000_000_000;
    family.scene.lineage.tick(family.scene.now, &mut family.scene.effects);
    let told = family.scene.told();
    for zombie in family.zombies {
        let is_its = |effect: &&Effect| effect.process.key == key(zombie);
        let flagged = told.iter().filter(is_its).find_map(|effect| match &effect.action {
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
    let now = family.scene.now;
    assert!(family.scene.lineage.end_reaped_zombie(key(gone), now, &mut family.scene.effects));
    family.scene.lineage.check().unwrap();
    assert_eq!((family.scene.lineage.zombie_count(), family.scene.lineage.unconfirmed_count()), (2, 1));
    assert!(family.scene.actions().is_empty(), "who reaped it is not known yet");
    let free = Fixture::released_of(gone, None, ReleaseSource::Free);
    family.scene.record(Fact::Released(Box::new(Released { parent: Some(reaper), ..free })));
    assert_eq!(family.scene.actions(), ["100:reparented", "100:reaped", "100:released"]);
}

#[test]
fn one_whose_callback_does_not_come_was_reaped_by_the_former_parent() {
    let mut family = Family::new();
    let (gone, now) = (family.zombies[0], family.scene.now);
    assert!(family.scene.lineage.end_reaped_zombie(key(gone), now, &mut family.scene.effects));
    family.scene.now.0 += 2_000_000_000;
    let now = family.scene.now;
    assert!(family.scene.lineage.end_unconfirmed_zombie(key(gone), now, &mut family.scene.effects));
    family.scene.lineage.check().unwrap();
    let told = family.scene.told();
    assert_eq!(told.iter().map(|effect| effect.action.name()).collect::<Vec<_>>(), ["reaped"]);
    assert_eq!(told[0].process.parent.map(|parent| parent.tgid.0), Some(20));
}
