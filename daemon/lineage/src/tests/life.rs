//! Whole lives of single processes and of groups of threads.

use super::scene::{Fixture, comm, zombie_ns};

use crate::config::Config;
use crate::model::effect::Action;
use crate::model::id::{TaskKey, TaskRef, Tid};
use crate::model::kinds::{Provenance, ReaperKind, ReparentKind};
use crate::model::record::{ExitParts, Exiting, Fact, ReleaseSource};

const DEAD: u32 = 16;
const ZOMBIE: u32 = 32;

#[test]
fn fork_exit_and_wait_make_one_life() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    assert_eq!(scene.actions(), ["100:forked"]);
    scene.exec(child, "/bin/true");
    let execed = scene.one("execed");
    assert_eq!(execed.process.executable.unwrap().bytes(), b"/bin/true");
    assert_eq!(execed.thread.name.unwrap().bytes(), b"true");
    scene.exiting(child, 7 << 8);
    scene.exited(child, ZOMBIE, 7 << 8, true);
    let told = scene.told();
    let names: Vec<_> = told.iter().map(|effect| effect.action.name()).collect();
    assert_eq!(names, ["exiting", "exited", "group_exited", "zombie_began"]);
    assert_eq!(told[1].process.status.unwrap().code(), Some(7));
    assert_eq!(told[1].thread.exit_state, Some(ZOMBIE));
    let began = scene.now;
    scene.wait(5_000_000);
    scene.released(child, init);
    let reaped = scene.one("reaped");
    assert_eq!(zombie_ns(&reaped), Some(scene.now.since(began)));
    let Action::Reaped { reaper: Some(by), .. } = reaped.action else { panic!("{reaped:?}") };
    assert_eq!((by.kind, by.process.tgid.0), (ReaperKind::Parent, 1));
}

#[test]
fn the_parents_wait_can_be_quicker_than_the_exit_record() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    scene.exiting(child, 0);
    scene.actions();
    scene.released(child, init);
    assert_eq!(
        scene.actions(),
        ["100:exited", "100:group_exited", "100:zombie_began", "100:reaped", "100:released"]
    );
    scene.exited(child, ZOMBIE, 0, true);
    assert!(scene.actions().is_empty());
}

#[test]
fn a_thread_is_autoreaped_by_itself() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let leader = scene.fork(init, 100);
    let thread = scene.thread(leader, 101);
    scene.exiting(thread, 0);
    scene.actions();
    scene.released(thread, thread);
    assert_eq!(scene.actions(), ["101:exited", "101:autoreaped", "101:released"]);
}

#[test]
fn dead_leader_is_not_a_zombie() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let leader = scene.fork(init, 100);
    let thread = scene.thread(leader, 101);
    scene.exiting(leader, 3 << 8);
    scene.actions();
    scene.exited(leader, ZOMBIE, 3 << 8, false);
    assert_eq!(scene.actions(), ["100:exited", "100:leader_died"]);
    scene.wait(60_000_000_000);
    assert!(scene.actions().is_empty(), "a dead leader is never flagged as a zombie");
    scene.exiting(thread, 0);
    scene.released(thread, thread);
    assert_eq!(
        scene.actions(),
        ["101:exiting", "101:exited", "100:group_exited", "101:autoreaped", "101:released"]
    );
    let began = scene.now;
    scene.wait(20_000_000);
    let zombie = scene.one("zombie_began");
    assert_eq!((zombie.at, zombie.process.status.unwrap().code()), (began, Some(3)));
}

#[test]
fn a_leader_released_in_the_second_turn_was_never_a_zombie() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let leader = scene.fork(init, 100);
    let thread = scene.thread(leader, 101);
    scene.exiting(leader, 0);
    scene.exited(leader, ZOMBIE, 0, false);
    scene.exiting(thread, 0);
    scene.released(thread, thread);
    scene.actions();
    let second = Fixture::released_of(leader, Some(thread), ReleaseSource::SecondTurn);
    scene.record(Fact::Released(Box::new(second)));
    assert_eq!(scene.actions(), ["100:autoreaped", "100:released"]);
    scene.wait(60_000_000_000);
    assert!(scene.actions().is_empty());
}

#[test]
fn an_orphan_goes_where_the_kernel_says() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let father = scene.fork(init, 100);
    let child = scene.fork(father, 101);
    scene.exiting(father, 0);
    scene.actions();
    scene.reparented(child, father, init);
    let reparented = scene.one("reparented");
    assert!(matches!(reparented.action, Action::Reparented { kind: ReparentKind::Init, .. }));
    assert_eq!(scene.parent_of(child), Some(1));
    scene.exited(father, ZOMBIE, 0, true);
    assert_eq!(scene.actions(), ["100:exited", "100:group_exited", "100:zombie_began"]);
}

#[test]
fn a_thread_that_execs_takes_over_its_leaders_tid() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let leader = scene.fork(init, 100);
    let thread = scene.thread(leader, 101);
    scene.exiting(leader, 0);
    scene.exited(leader, ZOMBIE, 0, false);
    scene.actions();
    let old_leader = TaskRef { key: TaskKey { tid: Tid(101), start: leader.key.start }, tgid: leader.tgid };
    let mut released = Fixture::released_of(old_leader, Some(leader), ReleaseSource::Entry);
    released.de_thread = true;
    scene.record(Fact::Released(Box::new(released)));
    assert_eq!(scene.actions(), ["100:exec_takeover", "101:released"]);
    scene.exec_from(leader, 101, "/bin/other");
    assert_eq!(scene.actions(), ["100:execed"]);
    assert_eq!(scene.lineage.task(thread.key.tid), None, "the thread's own identity is gone");
    scene.exiting(leader, 0);
    scene.exited(leader, ZOMBIE, 0, true);
    scene.released(leader, init);
    assert_eq!(
        scene.actions(),
        ["100:exiting", "100:exited", "100:group_exited", "100:zombie_began", "100:reaped", "100:released"]
    );
    assert_eq!(scene.parent_of(leader), None);
}

#[test]
fn the_same_exec_told_by_the_tracepoints_ends_the_same() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let leader = scene.fork(init, 100);
    let _thread = scene.thread(leader, 101);
    scene.exiting(leader, 0);
    scene.actions();
    scene.exec_from(leader, 101, "/bin/other");
    assert_eq!(scene.actions(), ["100:exited", "100:leader_died", "100:exec_takeover", "100:execed"]);
    let old_leader = TaskRef { key: TaskKey { tid: Tid(101), start: leader.key.start }, tgid: leader.tgid };
    let free = Fixture::released_of(old_leader, None, ReleaseSource::Free);
    scene.record(Fact::Released(Box::new(free)));
    assert_eq!(scene.actions(), ["101:released"]);
    assert_eq!(scene.parent_of(leader), Some(1));
}

#[test]
fn a_zombie_is_flagged_once_and_then_reaped() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    scene.exiting(child, 0);
    scene.exited(child, ZOMBIE, 0, true);
    scene.wait(9_000_000_000);
    assert!(!scene.actions().contains(&"100:zombie_flagged".to_owned()));
    scene.wait(1_000_000_000);
    assert_eq!(scene.actions(), ["100:zombie_flagged"]);
    scene.wait(60_000_000_000);
    assert!(scene.actions().is_empty());
    scene.released(child, init);
    assert_eq!(scene.actions(), ["100:reaped", "100:released"]);
}

#[test]
fn sigchld_ignored_means_no_zombie_ever() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let child = scene.fork(init, 100);
    scene.exiting(child, 0);
    scene.actions();
    scene.released(child, child);
    assert_eq!(scene.actions(), ["100:exited", "100:group_exited", "100:autoreaped", "100:released"]);
    scene.exited(child, DEAD, 0, true);
    assert!(scene.actions().is_empty());
}

#[test]
fn an_autoreaped_child_stays_so_when_its_parent_exits_before_its_last_switch() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let parent = scene.fork(init, 100);
    let child = scene.fork(parent, 101);
    let exiting = |task, ignores, has_children| Exiting {
        task,
        exit: ExitParts { exit_code: Some(0), group: None },
        task_flags: Some(0x4),
        nr_threads: Some(1),
        exit_signal: Some(17),
        has_children: Some(has_children),
        parent_ignores_sigchld: Some(ignores),
    };
    scene.record(Fact::Exiting(exiting(child, true, false)));
    scene.actions();
    scene.record(Fact::Exiting(exiting(parent, false, false)));
    assert_eq!(scene.actions(), ["100:exiting", "101:exited", "101:group_exited", "101:autoreaped"]);
    scene.last_switch_of(Fixture::exited_of(child, DEAD, 0, true));
    assert!(scene.actions().is_empty());
    let free = Fixture::released_of(child, None, ReleaseSource::Free);
    scene.record(Fact::Released(Box::new(free)));
    assert_eq!(scene.actions(), ["101:released"]);
}

#[test]
fn a_group_with_a_thread_that_went_before_ends_when_its_parent_is_seen_to_have_taken_it() {
    for nr_threads in [Some(1), Some(2), None] {
        let mut scene = Fixture::new();
        let init = scene.init();
        let parent = scene.fork(init, 100);
        let leader = scene.fork(parent, 101);
        let thread = scene.thread(leader, 102);
        let exiting = |task, has_children, nr_threads| Exiting {
            task,
            exit: ExitParts { exit_code: Some(0), group: None },
            task_flags: Some(0x4),
            nr_threads,
            exit_signal: Some(17),
            has_children: Some(has_children),
            parent_ignores_sigchld: Some(false),
        };
        scene.record(Fact::Exiting(exiting(thread, false, Some(2))));
        scene.last_switch_of(Fixture::exited_of(thread, DEAD, 0, false));
        scene.record(Fact::Exiting(exiting(leader, false, nr_threads)));
        scene.actions();
        scene.record(Fact::Exiting(exiting(parent, false, Some(1))));
        assert_eq!(
            scene.actions(),
            ["100:exiting", "101:exited", "101:group_exited", "101:zombie_began", "101:reaped"],
            "{nr_threads:?}"
        );
    }
}

/// A subreaper that ignores SIGCHLD: the dying father releases the zombie, the subreaper ends, then comes the father's last switch.
#[test]
fn children_seen_with_an_heir_that_is_dead_by_then_came_to_it_and_the_zombie_may_have_ended_there() {
    for is_zombie in [true, false] {
        let mut scene = Fixture::new();
        let init = scene.init();
        let subreaper = scene.fork(init, 100);
        let father = scene.fork(subreaper, 101);
        let child = scene.fork(father, 102);
        if is_zombie {
            scene.exiting(child, 0);
            scene.last_switch(child, None);
        }
        scene.exiting_with_children(father);
        scene.exiting(subreaper, 0);
        scene.last_switch(subreaper, None);
        scene.actions();
        scene.last_switch(father, Some(subreaper));
        let handed_on: Vec<_> = scene
            .told()
            .iter()
            .filter_map(|effect| match effect.action {
                Action::Reparented { new_parent, .. } => Some((new_parent.tgid.0, effect.provenance)),
                _ => None,
            })
            .collect();
        if !is_zombie {
            assert_eq!(handed_on, [(100, Provenance::Observed), (1, Provenance::Inferred)]);
            assert_eq!(scene.parent_of(child), Some(1));
            continue;
        }
        assert_eq!(handed_on, [(100, Provenance::Observed)], "whether that one took it is open");
        let mut free = Fixture::released_of(child, None, ReleaseSource::Free);
        free.parent = Some(subreaper);
        scene.record(Fact::Released(Box::new(free)));
        assert_eq!(scene.actions(), ["102:reaped", "102:released"]);
    }
}

/// The parent that ignores SIGCHLD ends after the thread that took the dead leader with it, and before that thread's last switch.
#[test]
fn a_dead_leader_that_is_no_child_any_more_of_who_ignores_sigchld_went_by_itself() {
    let mut scene = Fixture::new();
    let init = scene.init();
    let parent = scene.fork(init, 100);
    let leader = scene.fork(parent, 101);
    let thread = scene.thread(leader, 102);
    for task in [leader, thread] {
        scene.record(Fact::Exiting(Exiting {
            parent_ignores_sigchld: Some(true),
            ..Fixture::exiting_of(task, 0)
        }));
        if task == leader {
            scene.last_switch_of(Fixture::exited_of(leader, ZOMBIE, 3 << 8, false));
        }
    }
    scene.actions();
    scene.record(Fact::Exiting(Exiting { has_children: Some(false), ..Fixture::exiting_of(parent, 0) }));
    assert_eq!(scene.actions(), ["100:exiting", "101:group_exited", "101:autoreaped"]);
    scene.last_switch_of(Fixture::exited_of(thread, DEAD, 0, false));
    assert_eq!(scene.actions(), ["102:exited", "102:autoreaped"]);
    let free = Fixture::released_of(leader, None, ReleaseSource::Free);
    scene.record(Fact::Released(Box::new(free)));
    assert_eq!(scene.actions(), ["102:released", "101:released"]);
}

/// The parent takes the child and ends; before the child's RCU callback all tasks are read.
#[test]
fn a_child_whose_parent_died_after_the_wait_is_not_said_to_be_inits_for_want_of_its_release() {
    let mut scene = Fixture::new();
    let init = scene.init();
    scene.snapshot(&[init]);
    let parent = scene.fork(init, 100);
    let child = scene.fork(parent, 101);
    for task in [child, parent] {
        scene.exiting(task, 0);
        scene.last_switch(task, None);
    }
    scene.told();
    scene.snapshot(&[init, parent]);
    let end = scene.told().into_iter().find(|effect| effect.action.name() == "reaped");
    let Some(Action::Reaped { reaper: Some(reaper), .. }) = end.map(|effect| effect.action) else {
        panic!("nobody took it");
    };
    assert_eq!(reaper.process.tgid, parent.tgid);
}

/// The parent takes the child, and is gone itself before the child's RCU callback: that comes later, or never (some machines
/// hide what runs in soft interrupts).
#[test]
fn a_child_that_was_taken_stays_its_parents_when_that_one_dies_before_it_is_released() {
    for comes in [true, false] {
        let mut scene = Fixture::new();
        let init = scene.init();
        let parent = scene.fork_as(init, 100, "father");
        let child = scene.fork(parent, 101);
        scene.exiting(child, 0);
        scene.last_switch(child, None);
        scene.record(Fact::Exiting(Exiting { has_children: Some(false), ..Fixture::exiting_of(parent, 0) }));
        scene.last_switch(parent, None);
        scene.told();
        if comes {
            for task in [parent, child] {
                let free = Fixture::released_of(task, None, ReleaseSource::Free);
                scene.record(Fact::Released(Box::new(free)));
            }
        } else {
            scene.wait(u64::try_from(Config::default().dead_after.as_nanos()).unwrap());
        }
        let told = scene.told();
        let released =
            told.iter().find(|effect| effect.action.name() == "released" && effect.thread.key == child.key);
        let parents = released.unwrap().process.parent;
        assert_eq!(parents.map(|parents| parents.tgid), Some(parent.tgid), "it comes: {comes}");
        let life = scene.lineage.life(child.tgid, scene.now).unwrap();
        assert_eq!(life.parent_name, Some(comm("father")), "it comes: {comes}");
    }
}
