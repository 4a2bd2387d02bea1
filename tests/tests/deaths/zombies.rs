//! Dead children: how long they are zombies, because of which parent, and which task reaps them.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{
    event::Event,
    facts::{Facts, Waited},
    life::{Life, forked_by},
    matcher::event,
    normal::Family,
    observer::shared_with,
    scenario::Scenario,
    skipped::attempts,
    view::View,
};

const FLAG_AFTER_NS: u64 = 200_000_000;

/// Starts the observer first, because it does not see what happens before it is ready.
fn watch(name: &str, args: &[&str]) -> (Scenario, View<'static>) {
    let observer = shared_with(&["--zombie-after", "200ms"]);
    let scenario = scenario(name, args);
    let view = observer.view(&scenario);
    (scenario, view)
}

/// Checks a zombie's duration against the times at which /proc and wait(2) showed its states. If its end was not seen, the event
/// must say so.
#[track_caller]
fn assert_duration(reaped: &Event, dead_before_ns: u64, alive_at_ns: u64, waited: &Waited) {
    let duration = reaped.get("task.zombie_duration_ns").and_then(serde_json::Value::as_u64);
    let duration = duration.unwrap_or_else(|| panic!("no duration: {reaped}"));
    assert!(duration >= waited.before_ns.saturating_sub(dead_before_ns), "too short: {reaped}");
    if reaped.text("task.zombie_duration_bound").is_none() {
        assert!(
            duration <= waited.after_ns - alive_at_ns,
            "longer than possible, and marked as exact: {reaped}"
        );
    }
}

#[test]
fn a_zombie_lasts_from_its_death_to_its_parents_wait() {
    attempts(|| {
        let (mut scenario, view) = watch("zombie", &[]);
        scenario.pause("zombie");
        let (child, parent) = (scenario.facts().role("child"), scenario.facts().role("scenario"));
        let peeked = scenario.facts().find("peeked", "role", "child").clone();
        let dead_before_ns = peeked["after_ns"].as_u64().unwrap();
        let began =
            view.expect(event("zombie_began").of(&child).field("process.parent_pid", parent.pid)).soon();
        view.never(&event("reaped").of(&child));
        scenario.go();
        let facts = scenario.finish();
        let waited = facts.waited("child");
        let reaped = view
            .expect(
                event("reaped")
                    .of(&child)
                    .field("task.reaper.pid", parent.pid)
                    .field("task.reaper.kind", "parent"),
            )
            .soon();
        let exiting = view.expect(event("exiting").of(&child)).soon();
        assert_duration(&reaped, dead_before_ns.max(began.at_ns), exiting.at_ns, &waited);
        view.is_normal(&facts, &[("child", forked_by("scenario").waited_for_by("scenario"))]);
    });
}

#[test]
fn a_child_without_a_wait_is_flagged_with_its_parent_and_its_age() {
    attempts(|| {
        let (mut scenario, view) = watch("zombie", &[]);
        scenario.pause("zombie");
        let (child, parent) = (scenario.facts().role("child"), scenario.facts().role("scenario"));
        let began = view.expect(event("zombie_began").of(&child)).soon();
        let flagged = view
            .expect(
                event("zombie_flagged")
                    .of(&child)
                    .field("process.parent_pid", parent.pid)
                    .field("task.parent_name", "scenario")
                    .between("task.zombie_duration_ns", FLAG_AFTER_NS, i64::MAX),
            )
            .soon();
        assert!(flagged.at_ns - began.at_ns >= FLAG_AFTER_NS, "too early: {flagged}");
        // The machine's load decides when the daemon checks the age, but not whether the age at that check is right.
        let age_ns = flagged.number("task.zombie_duration_ns").and_then(|ns| u64::try_from(ns).ok());
        let exiting = view.expect(event("exiting").of(&child)).soon();
        assert!(age_ns <= Some(flagged.at_ns - exiting.at_ns), "older than its death: {flagged}");
        scenario.go();
        scenario.finish();
        view.expect(event("reaped").of(&child).between("task.zombie_duration_ns", FLAG_AFTER_NS, i64::MAX))
            .soon();
        // It is flagged once only.
        view.fence();
        let flags = view.of(&child).iter().filter(|event| event.action == "zombie_flagged").count();
        assert_eq!(flags, 1);
    });
}

#[test]
fn a_dead_leader_with_live_threads_is_not_flagged_as_a_zombie() {
    attempts(|| {
        let (mut leader, view) = watch("leader-exits-first", &[]);
        leader.pause("dead-leader");
        // A younger zombie is flagged in the meantime.
        let (mut zombie, of_zombie) = watch("zombie", &[]);
        zombie.pause("zombie");
        of_zombie.expect(event("zombie_flagged").of(&zombie.facts().role("child"))).soon();
        let group = leader.facts().role("group");
        view.expect(event("leader_died").of(&group)).soon();
        for action in ["zombie_began", "zombie_flagged"] {
            view.never(&event(action).of(&group));
        }
        zombie.go();
        zombie.finish();
        leader.go();
        leader.finish();
        // When the last thread dies, the leader becomes a zombie.
        view.expect(event("zombie_began").of(&group)).soon();
    });
}

#[test]
fn a_wait_with_wnowait_leaves_the_zombie() {
    attempts(|| {
        let (mut scenario, view) = watch("wnowait", &[]);
        scenario.pause("looked-at");
        let child = scenario.facts().role("child");
        for when in ["first", "second", "third"] {
            assert_eq!(scenario.facts().proc("child", when)["state"], "Z");
        }
        view.expect(event("zombie_began").of(&child)).soon();
        view.never(&event("reaped").of(&child));
        view.never(&event("released").of(&child));
        scenario.go();
        let facts = scenario.finish();
        view.is_normal(&facts, &[("child", forked_by("scenario").waited_for_by("scenario"))]);
    });
}

/// Returns kind and name of the new parent that the kernel gave to an orphan: init, or a subreaper above the tests.
fn new_parent(ppid: i64) -> (&'static str, &'static str) {
    if ppid == 1 { ("init", "init") } else { ("stranger", "subreaper") }
}

#[test]
fn a_zombie_whose_parent_is_killed_goes_to_init_and_is_reaped_there() {
    attempts(|| {
        // The kernel chooses the new parent: a living orphan shows it in /proc.
        let (mut orphan, _) = watch("orphan", &[]);
        orphan.pause("orphaned");
        let (new_parent, kind) =
            new_parent(orphan.facts().proc("orphan", "orphaned")["ppid"].as_i64().unwrap());
        orphan.go();
        orphan.finish();
        let (mut scenario, view) = watch("parent-killed", &[]);
        scenario.pause("zombie");
        let (child, parent) = (scenario.facts().role("child"), scenario.facts().role("parent"));
        view.expect(event("zombie_began").of(&child).field("process.parent_pid", parent.pid)).soon();
        scenario.go();
        let facts = scenario.finish();
        view.is_normal(
            &facts,
            &[
                ("parent", forked_by("scenario").waited_for_by("scenario")),
                (
                    "child",
                    forked_by("parent")
                        .dies_without_a_wait()
                        .does(&format!("reparented old=parent new={new_parent} kind={kind}"))
                        .reaped_by(new_parent, "parent"),
                ),
            ],
        );
    });
}

#[test]
fn a_zombie_whose_parent_is_killed_goes_to_the_subreaper_above_and_is_reaped_there() {
    attempts(|| {
        let (mut scenario, view) = watch("parent-killed", &["subreaper"]);
        scenario.pause("zombie");
        let child = scenario.facts().role("child");
        // /proc shows the child dead before the hook reports its death, and that report must come before the parent's death.
        view.expect(event("zombie_began").of(&child)).soon();
        scenario.go();
        let facts = scenario.finish();
        let reaper = facts.role("scenario");
        assert_eq!(facts.proc("child", "reparented")["ppid"], reaper.pid, "the kernel chose another parent");
        view.expect(
            event("reparented")
                .of(&child)
                .field("task.new_parent_pid", reaper.pid)
                .field("process.parent_pid", reaper.pid),
        )
        .soon();
        view.is_normal(
            &facts,
            &[(
                "child",
                forked_by("parent")
                    .dies()
                    .does("reparented old=parent new=scenario kind=subreaper")
                    .reaped_by("scenario", "parent"),
            )],
        );
    });
}

/// Runs a scenario whose parent asks the kernel to autoreap its children.
fn never_a_zombie(name: &str) {
    let (mut scenario, view) = watch(name, &[]);
    let facts: Facts = scenario.finish();
    let child = facts.role("child");
    assert_eq!(facts.find("waited", "role", "child")["errno"], libc::ECHILD, "the kernel kept a zombie");
    let status = Waited { status: 2 << 8, before_ns: 0, after_ns: 0 };
    view.expect(event("exited").of(&child).field("task.exit_state", "EXIT_DEAD").exit_as(&status)).soon();
    let life: Life = forked_by("scenario").dies_autoreaped();
    view.is_normal(&facts, &[("child", life)]);
}

#[test]
fn a_child_of_a_parent_that_ignores_sigchld_is_autoreaped_and_never_a_zombie() {
    attempts(|| {
        never_a_zombie("sigchld-ignored");
    });
}

#[test]
fn a_child_of_a_parent_with_sa_nocldwait_is_autoreaped_and_never_a_zombie() {
    attempts(|| {
        never_a_zombie("nocldwait");
    });
}

#[test]
fn a_zombie_whose_new_parent_ignores_sigchld_is_released_by_the_exiting_parent() {
    attempts(|| {
        let (mut scenario, view) = watch("new-parent-ignores", &[]);
        scenario.pause("zombie");
        view.expect(event("zombie_began").of(&scenario.facts().role("child"))).soon();
        scenario.go();
        let facts = scenario.finish();
        view.is_normal(&facts, &[("parent", forked_by("scenario").dies_autoreaped())]);
        let child = facts.role("child");
        // The tracepoint rung does not report which task reaps it, and assumes the new parent.
        if view.family() == Family::Tracepoint {
            view.expect(
                event("reparented").of(&child).field("task.new_parent_pid", facts.role("scenario").pid),
            )
            .soon();
            view.expect(event("released").of(&child).absent("task.reaper")).soon();
            return;
        }
        view.is_normal(
            &facts,
            &[(
                "child",
                forked_by("parent")
                    .dies_without_a_wait()
                    .does("reparented old=parent new=scenario kind=subreaper")
                    .reaped_by("parent", "dying_father"),
            )],
        );
    });
}
