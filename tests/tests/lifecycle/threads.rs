//! Thread groups whose tasks die one by one, all at once, or for an exec.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{
    life::{Life, forked_by, thread_below},
    matcher::event,
    normal::Family,
    observer::shared,
    skipped::attempts,
};

/// Returns the life of a leader that exits while a worker lives, up to the leader's death.
fn dead_leader() -> Life {
    forked_by("scenario").does("exiting").does("exited state=EXIT_ZOMBIE").does("leader_died")
}

fn leader_exits_first(args: &[&str]) {
    let observer = shared();
    let mut scenario = scenario("leader-exits-first", args);
    scenario.pause("dead-leader");
    let view = observer.view(&scenario);
    let group = scenario.facts().role("group");
    let seen = scenario.facts().proc("group", "dead-leader");
    assert_eq!((&seen["state"], &seen["num_threads"]), (&"Z".into(), &2.into()), "{seen}");
    // The exit status is not final yet: a thread may still end the group in another way.
    view.expect(event("leader_died").of(&group).field("task.threads_left", 1).absent("process.exit")).soon();
    view.never(&event("zombie_began").of(&group));
    view.never(&event("group_exited").of(&group));
    scenario.go();
    let facts = scenario.finish();
    let waited = facts.waited("group");
    view.expect(event("group_exited").of(&group).exit_as(&waited)).soon();
    let began = view.expect(event("zombie_began").of(&group).exit_as(&waited)).soon();
    let worker = view.expect(event("exiting").of(&facts.role("worker"))).soon();
    assert!(began.at_ns > worker.at_ns, "a zombie only after the last thread: {began}");
    view.is_normal(
        &facts,
        &[
            (
                "group",
                dead_leader()
                    .does("group_exited exit=waited")
                    .does("zombie_began")
                    .reaped_by("scenario", "parent"),
            ),
            ("worker", thread_below("scenario").ends()),
        ],
    );
}

#[test]
fn a_dead_leader_is_no_zombie_until_its_last_thread_ends() {
    attempts(|| {
        leader_exits_first(&[]);
    });
}

#[test]
fn a_dead_leaders_group_ended_by_a_threads_exit_group_has_that_status() {
    attempts(|| {
        leader_exits_first(&["group"]);
    });
}

#[test]
fn a_dead_leader_whose_parent_ignores_sigchld_goes_with_its_last_thread() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("leader-exits-first", &["ignored"]);
        scenario.pause("dead-leader");
        let view = observer.view(&scenario);
        // The tracepoint rung reports the leader's death at its last switch, which must come before the last thread makes it a
        // group exit.
        view.expect(event("leader_died").of(&scenario.facts().role("group"))).soon();
        scenario.go();
        let facts = scenario.finish();
        assert_eq!(facts.proc("group", "after")["gone"], true, "the kernel has not released the group");
        view.is_normal(
            &facts,
            &[
                (
                    "group",
                    dead_leader().does("group_exited exit=unasked").does("autoreaped").does("released"),
                ),
                ("worker", thread_below("scenario").ends()),
            ],
        );
    });
}

fn whole_group_at_once(name: &str, status: i32) {
    let observer = shared();
    let mut scenario = scenario(name, &[]);
    let facts = scenario.finish();
    let (group, waited) = (facts.role("group"), facts.waited("group"));
    assert_eq!(waited.status, status, "the scenario did not do what this test is about");
    let view = observer.view(&scenario);
    view.expect(event("group_exited").of(&group).exit_as(&waited)).soon();
    view.is_normal(
        &facts,
        &[
            ("group", forked_by("scenario").waited_for_by("scenario")),
            ("worker", thread_below("scenario").ends()),
        ],
    );
    let ends =
        view.events().iter().filter(|event| event.pid == group.pid && event.action == "group_exited").count();
    assert_eq!(ends, 1, "not exactly one group exit");
}

#[test]
fn exit_group_from_a_thread_is_one_group_exit_with_its_code() {
    attempts(|| {
        whole_group_at_once("exit-group-from-thread", 11 << 8);
    });
}

#[test]
fn a_fatal_signal_to_one_thread_is_one_group_exit_by_that_signal() {
    attempts(|| {
        whole_group_at_once("signal-to-thread", libc::SIGTERM);
    });
}

#[test]
fn an_exec_by_a_thread_takes_over_the_leaders_tid_and_one_life_continues() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("exec-from-thread", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        let (group, worker, bystander) = (facts.role("group"), facts.role("worker"), facts.role("bystander"));
        let after = facts.find("execed", "role", "group");
        assert_eq!((&after["pid"], &after["tid"]), (&group.pid.into(), &group.pid.into()), "{after}");
        assert_eq!(after["start_ticks"].as_u64(), group.start_ticks(), "the kernel gave it another start");
        let takeover =
            view.expect(event("exec_takeover").of(&group).field("task.old_tid", worker.tid)).soon();
        let execed = view
            .expect(
                event("execed")
                    .of(&group)
                    .field("process.name", "exe")
                    .field("process.executable.path", after["exe"].clone()),
            )
            .soon();
        assert!(takeover.sequence < execed.sequence);
        view.expect(event("exited").of(&bystander)).soon();
        let waited = facts.waited("group");
        view.expect(event("group_exited").of(&group).exit_as(&waited)).soon();
        view.expect(event("released").of(&group).exit_as(&waited)).soon();
        view.fence();
        let mut entities: Vec<_> = view
            .events()
            .iter()
            .filter(|event| event.pid == group.pid)
            .filter_map(|event| event.text("process.entity_id").map(str::to_owned))
            .collect();
        entities.dedup();
        assert_eq!(entities.len(), 1, "one life: {entities:?}");
        let ends: Vec<u64> = view
            .events()
            .iter()
            .filter(|event| event.pid == group.pid && event.action == "group_exited")
            .map(|event| event.at_ns)
            .collect();
        assert_eq!(ends.len(), 1, "the old leader's death ends no group: {ends:?}");
        view.is_normal(
            &facts,
            &[
                (
                    "group",
                    // The leader dies for the exec; the thread that takes its place continues with its tid.
                    dead_leader().does("exec_takeover old=worker").execs().waited_for_by("scenario"),
                ),
                ("bystander", thread_below("scenario").ends()),
            ],
        );
        // The old leader has the worker's tid now, and is released with it.
        let released = event("released").pid(group.pid).tid(worker.tid);
        let released = match view.family() {
            Family::Full => {
                released.field("task.reaper.kind", "de_thread").field("task.reaper.pid", group.pid)
            }
            Family::Tracepoint => released,
        };
        view.expect(released).soon();
    });
}

#[test]
fn a_detached_thread_that_ends_is_autoreaped_at_once() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("detached-thread", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        assert_eq!(facts.proc("group", "after")["num_threads"], 1, "the kernel kept the thread");
        view.is_normal(
            &facts,
            &[
                ("group", forked_by("scenario").waited_for_by("scenario")),
                ("thread", thread_below("scenario").ends()),
            ],
        );
    });
}
