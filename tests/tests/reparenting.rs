//! Orphans: the right new parent, and what it is.

mod common;

use common::scenario;
use taskscope_tests::{
    life::{cloned_by, forked_by, thread_below},
    matcher::event,
    normal::Family,
    observer::shared,
    skipped::attempts,
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
        // The tracepoint rung reports it with the last switch of the dying parent, which can come after the parent was reaped.
        if view.family() != Family::Tracepoint {
            let after_ns = scenario.facts().waited("middle").after_ns;
            assert!(reparented.at_ns <= after_ns, "the kernel did it before: {reparented}");
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
                        .dies_unasked()
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
        scenario.pause("handed-on");
        let view = observer.view(&scenario);
        let (group, child) = (scenario.facts().role("group"), scenario.facts().role("child"));
        for when in ["before", "handed-on"] {
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
