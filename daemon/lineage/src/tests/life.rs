//! Whole lives of processes with one thread and with several threads.

use super::fixture::{Fixture, comm, zombie_ns};

use crate::config::Config;
use crate::model::effect::Action;
use crate::model::id::{TaskKey, TaskRef, Tid};
use crate::model::kinds::{Provenance, ReaperKind, ReparentKind};
use crate::model::record::{ExitParts, Exiting, Fact, ReleaseSource};

const DEAD: u32 = 16;
const ZOMBIE: u32 = 32;

#[test]
fn fork_exit_and_wait_make_one_life() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    assert_eq!(fixture.actions(), ["100:forked"]);
    fixture.exec(child, "/bin/true");
    let execed = fixture.one("execed");
    assert_eq!(execed.process.executable.unwrap().bytes(), b"/bin/true");
    assert_eq!(execed.thread.name.unwrap().bytes(), b"true");
    fixture.exiting(child, 7 << 8);
    fixture.exited(child, ZOMBIE, 7 << 8, true);
    let effects = fixture.new_effects();
    let names: Vec<_> = effects.iter().map(|effect| effect.action.name()).collect();
    assert_eq!(names, ["exiting", "exited", "group_exited", "zombie_began"]);
    assert_eq!(effects[1].process.status.unwrap().code(), Some(7));
    assert_eq!(effects[1].thread.exit_state, Some(ZOMBIE));
    let began = fixture.now;
    fixture.wait(5_000_000);
    fixture.released(child, init);
    let reaped = fixture.one("reaped");
    assert_eq!(zombie_ns(&reaped), Some(fixture.now.since(began)));
    let Action::Reaped { reaper: Some(by), .. } = reaped.action else { panic!("{reaped:?}") };
    assert_eq!((by.kind, by.process.tgid.0), (ReaperKind::Parent, 1));
}

#[test]
fn the_parents_wait_can_be_quicker_than_the_exit_record() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.exiting(child, 0);
    fixture.actions();
    fixture.released(child, init);
    assert_eq!(
        fixture.actions(),
        ["100:exited", "100:group_exited", "100:zombie_began", "100:reaped", "100:released"]
    );
    fixture.exited(child, ZOMBIE, 0, true);
    assert!(fixture.actions().is_empty());
}

#[test]
fn a_thread_is_autoreaped_by_itself() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let leader = fixture.fork(init, 100);
    let thread = fixture.thread(leader, 101);
    fixture.exiting(thread, 0);
    fixture.actions();
    fixture.released(thread, thread);
    assert_eq!(fixture.actions(), ["101:exited", "101:autoreaped", "101:released"]);
}

#[test]
fn dead_leader_is_not_a_zombie() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let leader = fixture.fork(init, 100);
    let thread = fixture.thread(leader, 101);
    fixture.exiting(leader, 3 << 8);
    fixture.actions();
    fixture.exited(leader, ZOMBIE, 3 << 8, false);
    assert_eq!(fixture.actions(), ["100:exited", "100:leader_died"]);
    fixture.wait(60_000_000_000);
    assert!(fixture.actions().is_empty(), "a dead leader is never flagged as a zombie");
    fixture.exiting(thread, 0);
    fixture.released(thread, thread);
    assert_eq!(
        fixture.actions(),
        ["101:exiting", "101:exited", "100:group_exited", "101:autoreaped", "101:released"]
    );
    let began = fixture.now;
    fixture.wait(20_000_000);
    let zombie = fixture.one("zombie_began");
    assert_eq!((zombie.at, zombie.process.status.unwrap().code()), (began, Some(3)));
}

#[test]
fn a_leader_released_in_the_second_turn_was_never_a_zombie() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let leader = fixture.fork(init, 100);
    let thread = fixture.thread(leader, 101);
    fixture.exiting(leader, 0);
    fixture.exited(leader, ZOMBIE, 0, false);
    fixture.exiting(thread, 0);
    fixture.released(thread, thread);
    fixture.actions();
    let second = Fixture::released_of(leader, Some(thread), ReleaseSource::SecondTurn);
    fixture.record(Fact::Released(second));
    assert_eq!(fixture.actions(), ["100:autoreaped", "100:released"]);
    fixture.wait(60_000_000_000);
    assert!(fixture.actions().is_empty());
}

#[test]
fn an_orphan_goes_where_the_kernel_says() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let father = fixture.fork(init, 100);
    let child = fixture.fork(father, 101);
    fixture.exiting(father, 0);
    fixture.actions();
    fixture.reparented(child, father, init);
    let reparented = fixture.one("reparented");
    assert!(matches!(reparented.action, Action::Reparented { kind: ReparentKind::Init, .. }));
    assert_eq!(fixture.parent_of(child), Some(1));
    fixture.exited(father, ZOMBIE, 0, true);
    assert_eq!(fixture.actions(), ["100:exited", "100:group_exited", "100:zombie_began"]);
}

#[test]
fn a_thread_that_execs_takes_over_its_leaders_tid() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let leader = fixture.fork(init, 100);
    let thread = fixture.thread(leader, 101);
    fixture.exiting(leader, 0);
    fixture.exited(leader, ZOMBIE, 0, false);
    fixture.actions();
    let old_leader = TaskRef { key: TaskKey { tid: Tid(101), start: leader.key.start }, tgid: leader.tgid };
    let mut released = Fixture::released_of(old_leader, Some(leader), ReleaseSource::Entry);
    released.de_thread = true;
    fixture.record(Fact::Released(released));
    assert_eq!(fixture.actions(), ["100:exec_takeover", "101:released"]);
    fixture.exec_from(leader, 101, "/bin/other");
    assert_eq!(fixture.actions(), ["100:execed"]);
    assert_eq!(fixture.lineage.task(thread.key.tid), None, "the thread's own identity is gone");
    fixture.exiting(leader, 0);
    fixture.exited(leader, ZOMBIE, 0, true);
    fixture.released(leader, init);
    assert_eq!(
        fixture.actions(),
        ["100:exiting", "100:exited", "100:group_exited", "100:zombie_began", "100:reaped", "100:released"]
    );
    assert_eq!(fixture.parent_of(leader), None);
}

#[test]
fn the_same_exec_reported_by_the_tracepoints_ends_the_same() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let leader = fixture.fork(init, 100);
    let _thread = fixture.thread(leader, 101);
    fixture.exiting(leader, 0);
    fixture.actions();
    fixture.exec_from(leader, 101, "/bin/other");
    assert_eq!(fixture.actions(), ["100:exited", "100:leader_died", "100:exec_takeover", "100:execed"]);
    let old_leader = TaskRef { key: TaskKey { tid: Tid(101), start: leader.key.start }, tgid: leader.tgid };
    let free = Fixture::released_of(old_leader, None, ReleaseSource::Free);
    fixture.record(Fact::Released(free));
    assert_eq!(fixture.actions(), ["101:released"]);
    assert_eq!(fixture.parent_of(leader), Some(1));
}

#[test]
fn a_zombie_is_flagged_once_and_then_reaped() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.exiting(child, 0);
    fixture.exited(child, ZOMBIE, 0, true);
    fixture.wait(9_000_000_000);
    assert!(!fixture.actions().contains(&"100:zombie_flagged".to_owned()));
    fixture.wait(1_000_000_000);
    assert_eq!(fixture.actions(), ["100:zombie_flagged"]);
    fixture.wait(60_000_000_000);
    assert!(fixture.actions().is_empty());
    fixture.released(child, init);
    assert_eq!(fixture.actions(), ["100:reaped", "100:released"]);
}

#[test]
fn sigchld_ignored_means_no_zombie_ever() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.exiting(child, 0);
    fixture.actions();
    fixture.released(child, child);
    assert_eq!(fixture.actions(), ["100:exited", "100:group_exited", "100:autoreaped", "100:released"]);
    fixture.exited(child, DEAD, 0, true);
    assert!(fixture.actions().is_empty());
}

#[test]
fn an_autoreaped_child_stays_so_when_its_parent_exits_before_its_last_switch() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let parent = fixture.fork(init, 100);
    let child = fixture.fork(parent, 101);
    let exiting = |task, ignores, has_children| Exiting {
        task,
        exit: ExitParts { exit_code: Some(0), group: None },
        task_flags: Some(0x4),
        nr_threads: Some(1),
        exit_signal: Some(17),
        has_children: Some(has_children),
        tracer: None,
        seccomp_mode: None,
        parent_ignores_sigchld: Some(ignores),
    };
    fixture.record(Fact::Exiting(exiting(child, true, false)));
    fixture.actions();
    fixture.record(Fact::Exiting(exiting(parent, false, false)));
    assert_eq!(fixture.actions(), ["100:exiting", "101:exited", "101:group_exited", "101:autoreaped"]);
    fixture.last_switch_of(Fixture::exited_of(child, DEAD, 0, true));
    assert!(fixture.actions().is_empty());
    let free = Fixture::released_of(child, None, ReleaseSource::Free);
    fixture.record(Fact::Released(free));
    assert_eq!(fixture.actions(), ["101:released"]);
}

#[test]
fn a_group_with_a_thread_that_went_before_ends_when_its_parent_is_seen_to_have_taken_it() {
    for nr_threads in [Some(1), Some(2), None] {
        let mut fixture = Fixture::new();
        let init = fixture.init();
        let parent = fixture.fork(init, 100);
        let leader = fixture.fork(parent, 101);
        let thread = fixture.thread(leader, 102);
        let exiting = |task, has_children, nr_threads| Exiting {
            task,
            exit: ExitParts { exit_code: Some(0), group: None },
            task_flags: Some(0x4),
            nr_threads,
            exit_signal: Some(17),
            has_children: Some(has_children),
            tracer: None,
            seccomp_mode: None,
            parent_ignores_sigchld: Some(false),
        };
        fixture.record(Fact::Exiting(exiting(thread, false, Some(2))));
        fixture.last_switch_of(Fixture::exited_of(thread, DEAD, 0, false));
        fixture.record(Fact::Exiting(exiting(leader, false, nr_threads)));
        fixture.actions();
        fixture.record(Fact::Exiting(exiting(parent, false, Some(1))));
        assert_eq!(
            fixture.actions(),
            ["100:exiting", "101:exited", "101:group_exited", "101:zombie_began", "101:reaped"],
            "{nr_threads:?}"
        );
    }
}

/// A subreaper ignores SIGCHLD, so the exiting parent releases the zombie. The subreaper ends, and then the record of the
/// parent's last switch arrives.
#[test]
fn children_shown_with_a_new_reaper_that_has_died_were_reparented_to_it_and_the_zombie_may_have_been_reaped_there()
 {
    for is_zombie in [true, false] {
        let mut fixture = Fixture::new();
        let init = fixture.init();
        let subreaper = fixture.fork(init, 100);
        let father = fixture.fork(subreaper, 101);
        let child = fixture.fork(father, 102);
        if is_zombie {
            fixture.exiting(child, 0);
            fixture.last_switch(child, None);
        }
        fixture.exiting_with_children(father);
        fixture.exiting(subreaper, 0);
        fixture.last_switch(subreaper, None);
        fixture.actions();
        fixture.last_switch(father, Some(subreaper));
        let reparented: Vec<_> = fixture
            .new_effects()
            .iter()
            .filter_map(|effect| match effect.action {
                Action::Reparented { new_parent, .. } => Some((new_parent.tgid.0, effect.provenance)),
                _ => None,
            })
            .collect();
        if !is_zombie {
            assert_eq!(reparented, [(100, Provenance::Observed), (1, Provenance::Inferred)]);
            assert_eq!(fixture.parent_of(child), Some(1));
            continue;
        }
        assert_eq!(reparented, [(100, Provenance::Observed)], "whether that one took it is open");
        let mut free = Fixture::released_of(child, None, ReleaseSource::Free);
        free.parent = Some(subreaper);
        fixture.record(Fact::Released(free));
        assert_eq!(fixture.actions(), ["102:reaped", "102:released"]);
    }
}

/// A parent that ignores SIGCHLD ends after the thread whose `release_task()` released the dead leader, and before that thread's
/// last switch.
#[test]
fn a_dead_leader_whose_parent_ignored_sigchld_and_has_ended_since_was_autoreaped() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let parent = fixture.fork(init, 100);
    let leader = fixture.fork(parent, 101);
    let thread = fixture.thread(leader, 102);
    for task in [leader, thread] {
        fixture.record(Fact::Exiting(Exiting {
            parent_ignores_sigchld: Some(true),
            ..Fixture::exiting_of(task, 0)
        }));
        if task == leader {
            fixture.last_switch_of(Fixture::exited_of(leader, ZOMBIE, 3 << 8, false));
        }
    }
    fixture.actions();
    fixture.record(Fact::Exiting(Exiting { has_children: Some(false), ..Fixture::exiting_of(parent, 0) }));
    assert_eq!(fixture.actions(), ["100:exiting", "101:group_exited", "101:autoreaped"]);
    fixture.last_switch_of(Fixture::exited_of(thread, DEAD, 0, false));
    assert_eq!(fixture.actions(), ["102:exited", "102:autoreaped"]);
    let free = Fixture::released_of(leader, None, ReleaseSource::Free);
    fixture.record(Fact::Released(free));
    assert_eq!(fixture.actions(), ["102:released", "101:released"]);
}

/// The parent reaps the child and ends; a snapshot is read before the child's RCU callback.
#[test]
fn a_child_whose_parent_died_after_the_wait_is_not_reparented_to_init_while_its_release_is_missing() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    fixture.snapshot(&[init]);
    let parent = fixture.fork(init, 100);
    let child = fixture.fork(parent, 101);
    for task in [child, parent] {
        fixture.exiting(task, 0);
        fixture.last_switch(task, None);
    }
    fixture.new_effects();
    fixture.snapshot(&[init, parent]);
    let end = fixture.new_effects().into_iter().find(|effect| effect.action.name() == "reaped");
    let Some(Action::Reaped { reaper: Some(reaper), .. }) = end.map(|effect| effect.action) else {
        panic!("no process reaped it");
    };
    assert_eq!(reaper.process.tgid, parent.tgid);
}

/// The parent reaps the child and is released before the child's RCU callback. That record comes later, or never (some machines
/// hide softirqs from programs).
#[test]
fn a_reaped_child_keeps_its_parent_if_the_parent_dies_before_the_child_is_released() {
    for comes in [true, false] {
        let mut fixture = Fixture::new();
        let init = fixture.init();
        let parent = fixture.fork_as(init, 100, "father");
        let child = fixture.fork(parent, 101);
        fixture.exiting(child, 0);
        fixture.last_switch(child, None);
        fixture
            .record(Fact::Exiting(Exiting { has_children: Some(false), ..Fixture::exiting_of(parent, 0) }));
        fixture.last_switch(parent, None);
        fixture.new_effects();
        if comes {
            for task in [parent, child] {
                let free = Fixture::released_of(task, None, ReleaseSource::Free);
                fixture.record(Fact::Released(free));
            }
        } else {
            fixture.wait(u64::try_from(Config::default().dead_after.as_nanos()).unwrap());
        }
        let effects = fixture.new_effects();
        let released = effects
            .iter()
            .find(|effect| effect.action.name() == "released" && effect.thread.key == child.key);
        let parents = released.unwrap().process.parent;
        assert_eq!(parents.map(|parents| parents.tgid), Some(parent.tgid), "it comes: {comes}");
        let life = fixture.lineage.life(child.tgid, fixture.now).unwrap();
        assert_eq!(life.parent_name, Some(comm("father")), "it comes: {comes}");
    }
}
