//! Orphans: the right new parent, and what it is.

#[path = "../common/mod.rs"]
mod common;

use std::time::Duration;

use common::scenario;
use taskscope_tests::{
    facts::Role,
    life::{cloned_by, forked_by, thread_below},
    matcher::event,
    normal::Family,
    observer::{Observer, shared},
    scenario::Scenario,
    service::Service,
    skipped::attempts,
    view::View,
};

#[test]
fn an_orphan_goes_to_init_or_the_subreaper_that_the_kernel_chose() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("orphan", &[]);
        scenario.pause("orphaned");
        let view = observer.view(&scenario);
        let ppid = scenario.facts().proc("orphan", "orphaned")["ppid"].as_i64().unwrap();
        let (new_parent, kind) = if ppid == 1 { ("init", "init") } else { ("stranger", "subreaper") };
        let (orphan, middle) = (scenario.facts().role("orphan"), scenario.facts().role("middle"));
        let reparented = view
            .expect(
                event("reparented")
                    .of(&orphan)
                    .field("task.old_parent_pid", middle.pid)
                    .field("task.new_parent_pid", ppid)
                    .field("task.reparent_kind", kind)
                    .field("process.parent_pid", ppid),
            )
            .soon();
        // The tracepoint rung reports it with the last switch of the exiting parent, which can come after the parent was reaped.
        if view.family() != Family::Tracepoint {
            let after_ns = scenario.facts().waited("middle").after_ns;
            assert!(reparented.at_ns <= after_ns, "the kernel had reparented it by then: {reparented}");
        }
        scenario.go();
        let facts = scenario.finish();
        view.is_normal(
            &facts,
            &[
                ("middle", forked_by("scenario").waited_for_by("scenario")),
                (
                    "orphan",
                    forked_by("middle")
                        .does(&format!("reparented old=middle new={new_parent} kind={kind}"))
                        .dies_without_a_wait()
                        .reaped_by(new_parent, "parent"),
                ),
            ],
        );
    });
}

#[test]
fn an_orphan_goes_to_the_inner_and_then_to_the_outer_subreaper() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("nested-subreapers", &[]);
        scenario.pause("with-inner");
        let view = observer.view(&scenario);
        let (orphan, inner) = (scenario.facts().role("orphan"), scenario.facts().role("inner"));
        assert_eq!(scenario.facts().proc("orphan", "with-inner")["ppid"], inner.pid);
        view.expect(event("reparented").of(&orphan).field("task.new_parent_pid", inner.pid)).soon();
        scenario.go();
        scenario.pause("with-outer");
        let outer = scenario.facts().role("outer");
        assert_eq!(scenario.facts().proc("orphan", "with-outer")["ppid"], outer.pid);
        view.expect(event("reparented").of(&orphan).field("task.new_parent_pid", outer.pid)).soon();
        scenario.go();
        let facts = scenario.finish();
        view.is_normal(
            &facts,
            &[
                ("outer", forked_by("scenario").waited_for_by("scenario")),
                ("inner", forked_by("outer").waited_for_by("outer")),
                ("middle", forked_by("inner").waited_for_by("inner")),
                (
                    "orphan",
                    forked_by("middle")
                        .does("reparented old=middle new=inner kind=subreaper")
                        .does("reparented old=inner new=outer kind=subreaper")
                        .waited_for_by("outer"),
                ),
            ],
        );
    });
}

#[test]
fn a_child_of_a_thread_that_ends_goes_to_a_sibling_thread_and_keeps_its_parent_process() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("sibling-thread", &[]);
        scenario.pause("reparented");
        let view = observer.view(&scenario);
        let (group, child) = (scenario.facts().role("group"), scenario.facts().role("child"));
        for when in ["before", "reparented"] {
            assert_eq!(scenario.facts().proc("child", when)["ppid"], group.pid);
        }
        view.expect(event("forked").of(&child).field("process.parent_pid", group.pid)).soon();
        view.expect(event("released").of(&scenario.facts().role("forker"))).soon();
        scenario.go();
        let facts = scenario.finish();
        view.is_normal(
            &facts,
            &[
                ("group", forked_by("scenario").waited_for_by("scenario")),
                ("forker", thread_below("scenario").ends()),
                (
                    "child",
                    forked_by("group")
                        .does("reparented old=group new=group kind=sibling_thread")
                        .waited_for_by("group"),
                ),
            ],
        );
        for event in view.of(&child) {
            assert_eq!(event.number("process.parent_pid"), Some(group.pid), "{event}");
        }
    });
}

#[test]
fn an_orphan_with_another_exit_signal_gets_sigchld_with_its_new_parent() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("orphan-signal", &[]);
        let facts = scenario.finish();
        let (view, orphan) = (observer.view(&scenario), facts.role("orphan"));
        assert_eq!(facts.waited("orphan").status, 19 << 8, "the kernel kept its exit signal");
        view.expect(event("forked").of(&orphan).field("task.exit_signal_name", "SIGUSR1")).soon();
        for action in ["exited", "zombie_began", "reaped"] {
            view.expect(event(action).of(&orphan).field("task.exit_signal_name", "SIGCHLD")).soon();
        }
        view.is_normal(
            &facts,
            &[(
                "orphan",
                cloned_by("middle", "SIGUSR1", "")
                    .does("reparented old=middle new=scenario kind=subreaper")
                    .waited_for_by("scenario"),
            )],
        );
    });
}

/// Orphans of the scenario `orphaned-zombies`.
const ORPHANS: usize = 5;

/// A reparenting of zombies is reported within this time, at the latest by the daemon's next tick.
const REPORTED_WITHIN: Duration = Duration::from_secs(5);

/// Starts the observer first, because it does not see what happens before it is ready.
fn watched(name: &str, args: &[&str]) -> (&'static Observer, Scenario) {
    (shared(), scenario(name, args))
}

fn orphans(scenario: &Scenario) -> Vec<Role> {
    (0..ORPHANS).map(|n| scenario.facts().role(&format!("orphan-{n}"))).collect()
}

/// Waits until the reparenting of each orphan from one parent to the other is reported, and checks that the report comes in time.
#[track_caller]
fn expect_reparented(view: &View<'_>, scenario: &Scenario, [old, new]: [&str; 2]) {
    let (old, new) = (scenario.facts().role(old), scenario.facts().role(new));
    for orphan in orphans(scenario) {
        let reparented = view
            .expect(
                event("reparented")
                    .of(&orphan)
                    .field("task.old_parent_pid", old.pid)
                    .field("task.new_parent_pid", new.pid)
                    .field("task.reparent_kind", "subreaper")
                    .field("process.parent_pid", new.pid),
            )
            .within(REPORTED_WITHIN);
        assert!(reparented.at_ns > 0, "{reparented}");
    }
}

/// Checks that both reparentings of each orphan are reported once, in order, and which task reaped it.
#[track_caller]
fn assert_steps(view: &View<'_>, scenario: &Scenario) {
    let facts = scenario.facts();
    let pids = ["middle", "inner", "scenario"].map(|role| facts.role(role).pid);
    for (n, orphan) in orphans(scenario).iter().enumerate() {
        let steps: Vec<(Option<i64>, Option<i64>)> = view
            .of(orphan)
            .iter()
            .filter(|seen| seen.action == "reparented")
            .map(|seen| (seen.number("task.old_parent_pid"), seen.number("task.new_parent_pid")))
            .collect();
        let [middle, inner, outer] = pids.map(Some);
        assert_eq!(steps, [(middle, inner), (inner, outer)], "orphan-{n}");
        // The fact of waitid(2) names the reaper.
        let status = facts.waited(&format!("orphan-{n}")).status;
        assert_eq!(usize::try_from(status), Ok(n << 8), "orphan-{n}");
        view.expect(
            event("reaped")
                .of(orphan)
                .field("task.reaper.pid", pids[2])
                .field("task.reaper.name", "scenario"),
        )
        .soon();
    }
}

#[test]
fn zombies_of_a_parent_that_is_killed_are_reported_with_each_new_parent_at_once() {
    attempts(|| {
        let (observer, mut scenario) = watched("orphaned-zombies", &[]);
        let view = observer.view(&scenario);
        scenario.pause("zombies");
        scenario.go();
        scenario.pause("with-inner");
        expect_reparented(&view, &scenario, ["middle", "inner"]);
        scenario.go();
        scenario.pause("with-outer");
        expect_reparented(&view, &scenario, ["inner", "scenario"]);
        scenario.go();
        scenario.finish();
        assert_steps(&view, &scenario);
    });
}

#[test]
fn no_step_is_lost_when_the_new_parent_of_zombies_is_killed_too() {
    attempts(|| {
        let (observer, mut scenario) = watched("orphaned-zombies", &["at-once"]);
        let view = observer.view(&scenario);
        scenario.pause("zombies");
        scenario.go();
        scenario.pause("with-outer");
        expect_reparented(&view, &scenario, ["middle", "inner"]);
        expect_reparented(&view, &scenario, ["inner", "scenario"]);
        scenario.go();
        scenario.finish();
        assert_steps(&view, &scenario);
    });
}

#[test]
fn explain_of_a_zombie_that_was_reparented_names_the_process_that_forked_it() {
    let service = Service::start(&[]);
    let mut scenario = scenario("orphaned-zombies", &["at-once"]);
    scenario.pause("zombies");
    scenario.go();
    scenario.pause("with-outer");
    let (middle, outer) = (scenario.facts().role("middle").pid, scenario.facts().role("scenario").pid);
    for orphan in orphans(&scenario) {
        let explained = || service.json(&format!("/v1/explain/{}", orphan.pid));
        service.until("the new parent is reported", |_| explained()["process"]["parent_pid"] == outer);
        let story = explained()["story"].to_string();
        assert!(story.contains(&format!("forked by scenario (pid {middle})")), "{story}");
    }
    scenario.go();
    scenario.finish();
    drop(service.stop());
}
