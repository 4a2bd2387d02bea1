//! Tracers: which one holds a zombie, and which process reaps it in the end.
#![expect(clippy::similar_names, reason = "tracer and tracee are the words of ptrace(2)")]

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{
    life::{Life, forked_by},
    matcher::event,
    observer::shared,
    skipped::attempts,
};

/// Returns the life of a child that ends while it is traced, and that its parent reaps.
fn traced_life(tracer: &str) -> Life {
    forked_by("scenario")
        .does("exiting")
        .does("exited state=EXIT_ZOMBIE")
        .does("group_exited exit=waited")
        .does(&format!("zombie_began tracer={tracer}"))
        .reaped_by("scenario", "parent")
}

#[test]
fn a_child_traced_by_its_parent_is_reaped_by_it() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("traced-child", &[]);
        scenario.pause("zombie");
        // If the last switch comes after the wait, its record has no tracer.
        let child = scenario.facts().role("child");
        observer.view(&scenario).expect(event("zombie_began").of(&child)).soon();
        scenario.go();
        let facts = scenario.finish();
        assert_eq!(facts.proc("child", "traced")["tracer"], facts.role("scenario").pid);
        observer.view(&scenario).is_normal(&facts, &[("child", traced_life("scenario"))]);
    });
}

fn held_by_a_foreign_tracer(name: &str) {
    let observer = shared();
    let mut scenario = scenario(name, &[]);
    scenario.pause("held");
    let view = observer.view(&scenario);
    let (tracee, tracer) = (scenario.facts().role("tracee"), scenario.facts().role("tracer"));
    assert_eq!(scenario.facts().proc("tracee", "held")["tracer"], tracer.pid);
    view.expect(
        event("zombie_began")
            .of(&tracee)
            .field("task.tracer.pid", tracer.pid)
            .field("process.parent_pid", scenario.facts().role("scenario").pid),
    )
    .soon();
    view.never(&event("reaped").of(&tracee));
    scenario.go();
    let facts = scenario.finish();
    let given_back = facts.proc("tracee", "given-back");
    assert_eq!((&given_back["state"], &given_back["tracer"]), (&"Z".into(), &0.into()), "{given_back}");
    view.is_normal(
        &facts,
        &[("tracee", traced_life("tracer")), ("tracer", forked_by("scenario").waited_for_by("scenario"))],
    );
}

#[test]
fn a_zombie_that_its_tracer_has_waited_for_can_be_reaped_by_its_parent() {
    attempts(|| {
        held_by_a_foreign_tracer("foreign-tracer");
    });
}

#[test]
fn a_zombie_whose_tracer_exits_can_be_reaped_by_its_parent() {
    attempts(|| {
        held_by_a_foreign_tracer("tracer-exits-first");
    });
}
