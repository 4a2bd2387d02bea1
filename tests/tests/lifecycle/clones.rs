//! What clone(2) can do and fork(2) cannot.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{
    life::{cloned_by, forked_by},
    matcher::event,
    observer::shared,
    oracle::signal_name,
    skipped::attempts,
};

/// Checks that a child with another exit signal is a zombie that wait(2) without `__WALL` or `__WCLONE` does not return.
fn exit_signal(signal: i32, option: &str) {
    let observer = shared();
    let mut scenario = scenario("exit-signal", &[&signal.to_string(), option]);
    scenario.pause("zombie");
    let view = observer.view(&scenario);
    let child = scenario.facts().role("child");
    assert_eq!(child.number("exit_signal"), i64::from(signal));
    let plain = scenario.facts().find("waited", "role", "child").clone();
    assert_eq!(plain["errno"], libc::ECHILD, "a wait without `__WALL` returned it: {plain}");
    let named = |action: &str| {
        let matcher = event(action).of(&child).field("task.exit_signal", signal);
        match signal {
            0 => matcher.absent("task.exit_signal_name"),
            _ => matcher.field("task.exit_signal_name", signal_name(signal)),
        }
    };
    view.expect(named("forked")).soon();
    view.expect(named("zombie_began")).soon();
    view.never(&event("reaped").of(&child));
    scenario.go();
    let facts = scenario.finish();
    let name = if signal == 0 { "0" } else { signal_name(signal) };
    view.is_normal(&facts, &[("child", cloned_by("scenario", name, "").waited_for_by("scenario"))]);
}

#[test]
fn a_child_with_exit_signal_sigusr1_is_a_zombie_until_a_wall_wait() {
    attempts(|| {
        exit_signal(libc::SIGUSR1, "wall");
    });
}

#[test]
fn a_child_without_exit_signal_is_a_zombie_until_a_wclone_wait() {
    attempts(|| {
        exit_signal(0, "wclone");
    });
}

#[test]
fn clone_parent_makes_a_sibling_and_not_a_child() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("clone-parent", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        let (child, creator, parent) = (facts.role("child"), facts.role("creator"), facts.role("scenario"));
        assert_eq!(child.number("ppid"), parent.pid);
        view.expect(
            event("forked")
                .of(&child)
                .field("process.parent_pid", parent.pid)
                .field("task.creator.pid", creator.pid),
        )
        .soon();
        view.never(&event("reparented").of(&child));
        view.is_normal(
            &facts,
            &[
                ("creator", forked_by("scenario").waited_for_by("scenario")),
                // The kernel copies the exit signal of the caller of clone(2).
                ("child", cloned_by("scenario", "SIGCHLD", "CLONE_PARENT").waited_for_by("scenario")),
            ],
        );
    });
}

#[test]
fn clone_vm_without_clone_thread_is_a_hybrid_with_a_pid_of_its_own() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("hybrid", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        let child = facts.role("child");
        view.expect(
            event("forked").of(&child).field("task.creation", "hybrid").field("task.kind", "process"),
        )
        .soon();
        view.is_normal(
            &facts,
            &[
                ("parent", forked_by("scenario").waited_for_by("scenario")),
                ("child", cloned_by("parent", "SIGCHLD", "CLONE_VM").waited_for_by("parent")),
            ],
        );
    });
}

#[test]
fn an_exec_after_vfork_reports_how_long_the_child_held_the_parent() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("vfork-held", &[]);
        scenario.pause("held");
        let view = observer.view(&scenario);
        let pid = scenario.facts().all("vforked").next().and_then(|fact| fact["pid"].as_i64()).unwrap();
        let forked = view.expect(event("forked").pid(pid).field("task.creation", "vfork")).soon();
        view.never(&event("execed").pid(pid));
        scenario.go();
        let facts = scenario.finish();
        let child = facts.role("child");
        let held = facts.all("held").next().unwrap();
        let execing = facts.all("execing").next().unwrap()["boottime_ns"].as_u64().unwrap();
        let execed = view.expect(event("execed").of(&child)).soon();
        // The kernel wakes the parent shortly before it reports the exec.
        let longest = execed.at_ns - held["before_ns"].as_u64().unwrap();
        let shortest = execing - forked.at_ns;
        view.expect(event("execed").of(&child).between("task.vfork_held_ns", shortest, longest)).soon();
        view.is_normal(
            &facts,
            &[
                ("parent", forked_by("scenario").waited_for_by("scenario")),
                (
                    "child",
                    cloned_by("parent", "SIGCHLD", "CLONE_VFORK|CLONE_VM").execs().waited_for_by("parent"),
                ),
            ],
        );
    });
}

#[test]
fn a_reused_pid_is_two_lives_with_two_entity_ids() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("pid-reuse", &[]);
        let facts = match scenario.finish_or_skip() {
            Ok(facts) => facts,
            Err(skip) => {
                assert!([libc::ENOSYS, libc::EPERM].contains(&skip.errno), "{skip:?}");
                taskscope_tests::setting::skip(format_args!(
                    "no tid can be chosen here: {} answers {}",
                    skip.call, skip.errno
                ));
                return;
            }
        };
        let view = observer.view(&scenario);
        let (first, second) = (facts.role("first"), facts.role("second"));
        assert_eq!(first.pid, second.pid, "the scenario did not do what this test is about");
        let born = view.expect_many(&event("forked").pid(first.pid).tid(first.pid), 2);
        let gone = view.expect_many(&event("released").pid(first.pid).tid(first.pid), 2);
        let entity = |index: usize| {
            let id = born[index].text("process.entity_id");
            assert!(
                id.is_some() && id == gone[index].text("process.entity_id"),
                "{} {}",
                born[index],
                gone[index]
            );
            id
        };
        assert_ne!(entity(0), entity(1));
        assert!(
            gone[0].sequence < born[1].sequence
                || view.family() == taskscope_tests::normal::Family::Tracepoint
        );
        for (role, status) in
            [(&gone[0], facts.waited("first").status), (&gone[1], facts.waited("second").status)]
        {
            assert_eq!(role.number("process.exit.status"), Some(status.into()), "{role}");
        }
    });
}

#[test]
fn the_effective_user_is_distinguished_from_the_real_one() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("user-ids", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        let forked = event("forked").of(&facts.role("child"));
        view.expect(forked.field("process.user.id", 65_532).field("process.real_user.id", 65_531)).soon();
    });
}
