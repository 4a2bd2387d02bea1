//! Pid namespaces: two ids for one process, an init for every namespace.

#[path = "../common/mod.rs"]
mod common;

use std::time::Duration;

use common::scenario;
use taskscope_tests::{
    facts::{Role, Waited},
    life::{cloned_by, forked_by},
    matcher::{Matcher, event},
    observer::shared,
    setting,
    skipped::attempts,
};

/// Returns the inode of the pid namespace of a living process.
fn namespace(pid: i64) -> i64 {
    let path = format!("/proc/{pid}/ns/pid");
    let link = std::fs::read_link(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    let text = link.to_string_lossy().into_owned();
    let inode = text.strip_prefix("pid:[").and_then(|text| text.strip_suffix(']')?.parse().ok());
    inode.unwrap_or_else(|| panic!("{path} links to {text}"))
}

/// Returns the condition that an event has the ids and the namespace that /proc shows for a role.
fn placed(action: &str, role: &Role, inode: i64) -> Matcher {
    let ids = role.numbers("nspid");
    event(action)
        .of(role)
        .field("process.vpid", ids.last().copied())
        .field("thread.vid", ids.last().copied())
        .field("task.pid_ns.level", ids.len() - 1)
        .field("task.pid_ns.inode", inode)
}

#[test]
fn a_new_pid_namespace_has_an_init_with_vpid_1_that_gets_orphans_and_kills_all_at_its_end() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("pid-namespace", &[]);
        scenario.pause("inside");
        let view = observer.view(&scenario);
        let facts = scenario.facts().clone();
        let (init, orphan) = (facts.role("init"), facts.role("orphan"));
        assert_eq!((init.numbers("nspid").last(), orphan.numbers("nspid").last()), (Some(&1), Some(&3)));
        assert_eq!(facts.proc("orphan", "orphaned")["ppid"], init.pid);
        let inode = namespace(init.pid);
        assert_ne!(inode, namespace(facts.role("scenario").pid));
        for role in ["init", "middle", "orphan"] {
            view.expect(placed("forked", &facts.role(role), inode)).soon();
        }
        view.expect(
            event("reparented")
                .of(&orphan)
                .field("task.new_parent_pid", init.pid)
                .field("task.reparent_kind", "pid_namespace_init"),
        )
        .soon();
        scenario.go();
        let facts = scenario.finish();
        assert_eq!(facts.proc("orphan", "after")["gone"], true);
        let killed = Waited { status: libc::SIGKILL, before_ns: 0, after_ns: 0 };
        view.expect(event("group_exited").of(&orphan).exit_as(&killed)).soon();
        view.is_normal(
            &facts,
            &[
                ("init", cloned_by("scenario", "SIGCHLD", "CLONE_NEWPID").waited_for_by("scenario")),
                ("middle", forked_by("init").dies_without_a_wait().reaped_by("init", "parent")),
                // An exiting namespace init ignores SIGCHLD before it kills the other processes.
                (
                    "orphan",
                    forked_by("middle")
                        .does("reparented old=middle new=init kind=pid_namespace_init")
                        .dies_autoreaped(),
                ),
            ],
        );
    });
}

#[test]
fn a_process_two_namespaces_deep_shows_its_innermost_pid_and_level() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("nested-namespaces", &[]);
        scenario.pause("inside");
        let view = observer.view(&scenario);
        let inner = loop {
            if let Some(role) = scenario.facts().roles().into_iter().find(|role| role.name == "inner-init") {
                break role;
            }
            scenario.until(&["role"]);
        };
        assert_eq!(inner.numbers("nspid").get(1..), Some(&[2, 1][..]), "the kernel numbers it otherwise");
        view.expect(placed("forked", &inner, namespace(inner.pid))).soon();
        scenario.go();
        scenario.finish();
        view.expect(event("released").of(&inner)).soon();
    });
}

#[test]
fn an_init_that_cannot_finish_its_exit_is_neither_dead_nor_a_zombie() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("stuck-exit", &[]);
        scenario.pause("stuck");
        let view = observer.view(&scenario);
        let (init, guest) = (scenario.facts().role("init"), scenario.facts().role("guest"));
        view.expect(event("exiting").of(&init)).soon();
        view.expect(event("zombie_began").of(&guest)).soon();
        for action in ["exited", "group_exited", "zombie_began"] {
            view.never(&event(action).of(&init));
        }
        scenario.go();
        let facts = scenario.finish();
        view.is_normal(
            &facts,
            &[
                ("init", cloned_by("scenario", "SIGCHLD", "CLONE_NEWPID").waited_for_by("scenario")),
                ("guest", forked_by("scenario").waited_for_by("scenario")),
            ],
        );
    });
}

#[test]
fn an_exit_that_hangs_is_reported_as_stuck_with_its_time() {
    attempts(|| {
        // The daemon's threshold for stuck exits.
        const STUCK_AFTER: Duration = Duration::from_secs(10);
        let observer = shared();
        let mut scenario = scenario("stuck-exit", &[]);
        scenario.pause("stuck");
        let view = observer.view(&scenario);
        let init = scenario.facts().role("init");
        let exiting = view.expect(event("exiting").of(&init)).soon();
        let stuck = view.expect(event("exit_stuck").of(&init)).within(STUCK_AFTER + setting::deadline());
        let stuck_ns = stuck.get("task.stuck_ns").and_then(serde_json::Value::as_u64).unwrap();
        assert!(u128::from(stuck_ns) >= STUCK_AFTER.as_nanos(), "too early: {stuck}");
        assert!(stuck_ns <= stuck.at_ns - exiting.at_ns, "longer than it can be: {stuck}");
        // The foreign child is a zombie, so its exit is not stuck.
        view.never(&event("exit_stuck").of(&scenario.facts().role("guest")));
        scenario.go();
        scenario.finish();
        view.expect(event("group_exited").of(&init)).soon();
    });
}
