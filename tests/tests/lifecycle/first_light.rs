//! The simplest lives, compared field by field with what wait(2) and /proc say about them.

#[path = "../common/cgroup.rs"]
mod cgroup;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/wall_clock.rs"]
mod wall_clock;

use std::collections::BTreeMap;

use common::scenario;
use taskscope_tests::{
    facts::{Facts, Waited, pairs},
    life::{cloned_by, forked_by, thread_below},
    matcher::{TICK_NS, event},
    normal::Family,
    observer::{Observer, shared},
    programs,
    setting::report,
    skipped::attempts,
    view::View,
};

fn run(name: &str, args: &[&str]) -> (View<'static>, Facts) {
    let observer = shared();
    let mut scenario = scenario(name, args);
    let facts = scenario.finish();
    (observer.view(&scenario), facts)
}

#[test]
fn a_child_that_exits_and_is_waited_for_is_seen_from_fork_to_release() {
    attempts(|| {
        let (view, facts) = run("fork-exit-wait", &["7"]);
        let (child, parent, waited) = (facts.role("child"), facts.role("scenario"), facts.waited("child"));
        assert_eq!(waited.status, 7 << 8, "the scenario did not do what this test is about");
        let forked = view
            .expect(
                event("forked")
                    .of(&child)
                    .field("process.parent_pid", parent.pid)
                    .field("process.vpid", child.numbers("nspid").last().copied())
                    .field("process.name", "scenario")
                    .field("process.user.id", 0)
                    .field("process.real_user.id", 0)
                    .field("thread.name", "scenario")
                    .field("task.kind", "process")
                    .field("task.exit_signal", child.number("exit_signal"))
                    .field("task.exit_signal_name", "SIGCHLD")
                    .field("task.provenance", "observed")
                    .holds("task.clone_flags", "CLONE_CHILD_SETTID")
                    .holds("task.flags", "PF_FORKNOEXEC")
                    .absent("process.exit")
                    .absent("task.exit_state")
                    .absent("task.exit_code"),
            )
            .soon();
        assert!(forked.at_ns < waited.before_ns, "{forked}");
        view.expect(event("exiting").of(&child).between("boottime_ns", forked.at_ns, waited.after_ns)).soon();
        view.expect(
            event("exited")
                .of(&child)
                .field("process.parent_pid", parent.pid)
                .field("task.exit_signal", 17)
                .field("task.exit_code", waited.status)
                .exit_as(&waited),
        )
        .soon();
        let released = event("released").of(&child).exit_as(&waited);
        let released = match view.family() {
            Family::Full => released
                .field("task.reaper.pid", parent.pid)
                .field("task.reaper.tid", parent.tid)
                .between("boottime_ns", forked.at_ns, waited.after_ns),
            Family::Tracepoint => released.absent("task.reaper"),
        };
        view.expect(released).soon();
        view.is_normal(&facts, &[("child", forked_by("scenario").waited_for_by("scenario"))]);
    });
}

#[test]
fn every_event_of_a_life_carries_one_entity_id_and_no_other_life_has_it() {
    attempts(|| {
        let (view, facts) = run("fork-exit-wait", &[]);
        let child = facts.role("child");
        view.is_normal(&facts, &[("child", forked_by("scenario").waited_for_by("scenario"))]);
        let entity = |role: &str| {
            let mut ids: Vec<String> = view
                .of(&facts.role(role))
                .iter()
                .map(|event| event.text("process.entity_id").unwrap_or("absent").to_owned())
                .collect();
            ids.dedup();
            assert_eq!(ids.len(), 1, "{role}: {ids:?}");
            ids.concat()
        };
        assert_ne!(entity("child"), entity("scenario"));
        // The id consists of boot id, pid and start, so that it stays the same after a restart of the daemon.
        let id = entity("child");
        let parts: Vec<&str> = id.split('-').collect();
        let [boot, pid, start] = parts.as_slice() else { panic!("not three parts: {id}") };
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().replace('-', "");
        assert!(boot.len() >= 8 && boot_id.starts_with(boot), "{boot} does not begin {boot_id}");
        assert_eq!(*pid, child.pid.to_string());
        assert_eq!(start.parse::<u64>().unwrap() / TICK_NS, child.start_ticks().unwrap());
    });
}

#[test]
fn every_event_has_a_wall_clock_time_a_cgroup_and_a_namespace() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("zombie", &[]);
        scenario.pause("zombie");
        let view = observer.view(&scenario);
        let (child, parent) = (scenario.facts().role("child"), scenario.facts().role("scenario").pid);
        // The child has its parent's namespace and cgroup, and the parent lives.
        let link = std::fs::read_link(format!("/proc/{parent}/ns/pid")).unwrap();
        let inode: i64 = link.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        let forked = event("forked").of(&child).field("task.pid_ns.inode", inode);
        let forked = if let Some(id) = cgroup::id_of(parent) {
            forked.field("task.cgroup_id", id)
        } else {
            println!("skipped: no cgroup v2 hierarchy is mounted, so there is no cgroup id to compare");
            forked
        };
        let forked = view.expect(forked).soon();
        let wall_ns = wall_clock::parse(forked.text("@timestamp").unwrap());
        let ahead_ns = wall_ns - i128::from(forked.at_ns);
        let known = wall_clock::minus_boottime_ns();
        let (least, most) = (known.start() - 50_000_000, known.end() + 50_000_000);
        assert!((least..=most).contains(&ahead_ns), "{ahead_ns} ns ahead, not {known:?}: {forked}");
        scenario.go();
        scenario.finish();
    });
}

#[test]
fn an_exec_names_the_new_program_and_the_life_continues() {
    attempts(|| {
        let (view, facts) = run("exec", &[]);
        let child = facts.role("child");
        let execed = facts.find("execed", "role", "child");
        let seen = view
            .expect(
                event("execed")
                    .of(&child)
                    // The comm is the last part of the name that was given to execve: /proc/self/exe.
                    .field("process.name", "exe")
                    .field("process.executable.path", execed["exe"].clone())
                    .field("process.parent_pid", execed["ppid"].clone())
                    .field("process.user.id", 0),
            )
            .soon();
        let flags = seen.get("task.flags").map(ToString::to_string).unwrap_or_default();
        assert!(!flags.contains("PF_FORKNOEXEC"), "execve(2) clears this flag: {seen}");
        view.expect(event("exited").of(&child).field("process.name", "exe").exit_as(&facts.waited("child")))
            .soon();
        view.is_normal(&facts, &[("child", forked_by("scenario").execs().waited_for_by("scenario"))]);
    });
}

#[test]
fn a_thread_that_is_joined_is_a_task_of_its_group_and_not_a_process() {
    attempts(|| {
        let (view, facts) = run("thread-join", &[]);
        let (group, thread) = (facts.role("group"), facts.role("thread"));
        view.expect(
            event("forked")
                .of(&thread)
                .field("task.kind", "thread")
                .field("task.exit_signal", thread.number("exit_signal")),
        )
        .soon();
        view.expect(
            event("exited").of(&thread).field("task.exit_state", "EXIT_DEAD").field("task.exit_code", 0),
        )
        .soon();
        view.expect(event("exited").of(&group).exit_as(&facts.waited("group"))).soon();
        view.is_normal(
            &facts,
            &[
                ("group", forked_by("scenario").waited_for_by("scenario")),
                ("thread", thread_below("scenario").ends()),
            ],
        );
    });
}

#[test]
fn a_child_killed_by_sigkill_has_a_signal_and_no_code() {
    attempts(|| {
        let (view, facts) = run("sigkill", &[]);
        let waited = facts.waited("child");
        assert_eq!(waited.status, libc::SIGKILL, "the scenario did not do what this test is about");
        view.expect(
            event("exited").of(&facts.role("child")).exit_as(&waited).holds("task.flags", "PF_SIGNALED"),
        )
        .soon();
        view.is_normal(&facts, &[("child", forked_by("scenario").waited_for_by("scenario"))]);
    });
}

#[test]
fn a_zombie_is_released_by_the_wait_and_not_before() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("zombie", &[]);
        scenario.pause("zombie");
        let view = observer.view(&scenario);
        let child = scenario.facts().role("child");
        assert_eq!(scenario.facts().proc("child", "zombie")["state"], "Z");
        view.expect(event("exited").of(&child).field("task.exit_state", "EXIT_ZOMBIE")).soon();
        view.never(&event("released").of(&child));
        scenario.go();
        let facts = scenario.finish();
        let Waited { before_ns, after_ns, .. } = facts.waited("child");
        let released = view.expect(event("released").of(&child)).soon();
        assert!(released.at_ns >= before_ns, "released before the wait: {released}");
        if view.family() == Family::Full {
            assert!(released.at_ns <= after_ns, "the wait released it: {released}");
        }
        view.is_normal(&facts, &[("child", forked_by("scenario").waited_for_by("scenario"))]);
    });
}

#[test]
fn a_vfork_child_is_a_process_that_shares_its_parents_memory() {
    attempts(|| {
        let (view, facts) = run("vfork", &[]);
        view.is_normal(
            &facts,
            &[
                ("parent", forked_by("scenario").waited_for_by("scenario")),
                ("child", cloned_by("parent", "SIGCHLD", "CLONE_VFORK|CLONE_VM").waited_for_by("parent")),
            ],
        );
    });
}

#[test]
fn a_kernel_thread_is_seen_as_one() {
    attempts(|| {
        let observer = shared();
        let mut scenario = scenario("kernel-thread", &[]);
        let facts = match scenario.finish_or_skip() {
            Ok(facts) => facts,
            Err(skip) => {
                assert!([libc::ENOENT, libc::EACCES, libc::EROFS].contains(&skip.errno), "{skip:?}");
                taskscope_tests::setting::skip(format_args!(
                    "this kernel has no huge-page daemon to make: {} answers {}",
                    skip.call, skip.errno
                ));
                return;
            }
        };
        let view = observer.view(&scenario);
        let thread = facts.role("kernel-thread");
        view.expect(
            event("forked")
                .of(&thread)
                .field("task.kind", "kernel_thread")
                .field("process.parent_pid", thread.number("ppid"))
                .field("task.exit_signal", thread.number("exit_signal"))
                .holds("task.flags", "PF_KTHREAD"),
        )
        .soon();
        // Older kernels set its name only once it runs.
        let named = view.until(|event| {
            thread.is(event.tid, event.start_ns()) && event.text("thread.name") == Some("khugepaged")
        });
        assert!(named, "no event with its name: {:?}", view.of(&thread));
    });
}

#[test]
fn a_clone_that_fails_is_reported_with_the_errno_that_its_caller_got() {
    attempts(|| {
        let (view, facts) = run("failed-clone", &[]);
        let cloner = facts.role("cloner");
        for (why, errno, flag) in
            [("invalid", libc::EINVAL, Some("CLONE_SIGHAND")), ("limit", libc::EAGAIN, None)]
        {
            let fact = facts.find("clone_failed", "why", why);
            assert_eq!(fact["errno"], errno, "the scenario did not do what this test is about: {fact}");
            let failed = event("clone_failed").of(&cloner).field("task.errno", errno).between(
                "boottime_ns",
                fact["before_ns"].as_u64().unwrap(),
                fact["after_ns"].as_u64().unwrap(),
            );
            let failed = match flag {
                Some(flag) => failed.holds("task.clone_flags", flag),
                None => failed,
            };
            match view.family() {
                Family::Full => drop(view.expect(failed).soon()),
                Family::Tracepoint => view.never(&event("clone_failed").of(&cloner)),
            }
        }
        view.is_normal(
            &facts,
            &[(
                "cloner",
                forked_by("scenario")
                    .does("clone_failed errno=22")
                    .does("clone_failed errno=11")
                    .waited_for_by("scenario"),
            )],
        );
    });
}

#[test]
fn a_burst_of_2000_short_processes_is_seen_whole() {
    attempts(|| {
        let observer = Observer::start(&[]);
        let mut scenario = scenario("burst", &["2000"]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        let parent = facts.role("scenario").pid;
        let crowd = facts.find("crowd", "role", "short");
        let statuses: BTreeMap<i64, i64> = pairs(&crowd["statuses"]).into_iter().collect();
        assert_eq!(statuses.len(), 2000, "the scenario did not do what this test is about");
        let mut seen: BTreeMap<&str, BTreeMap<i64, i64>> = BTreeMap::new();
        let mut records = 0;
        let whole = view.until(|event| {
            let action = match event.action.as_str() {
                "forked" => "forked",
                "exited" => "exited",
                "released" => "released",
                _ => return false,
            };
            if !statuses.contains_key(&event.pid) || event.number("process.parent_pid") != Some(parent) {
                return false;
            }
            records += 1;
            let status = if action == "forked" { None } else { event.number("process.exit.status") };
            let before = seen.entry(action).or_default().insert(event.pid, status.unwrap_or(-1));
            assert_eq!(before, None, "{action} twice: {event}");
            seen.values().map(BTreeMap::len).sum::<usize>() == 3 * statuses.len()
        });
        for action in ["forked", "exited", "released"] {
            let seen = seen.remove(action).unwrap_or_default();
            let missing: Vec<&i64> = statuses.keys().filter(|pid| !seen.contains_key(pid)).collect();
            assert!(missing.is_empty(), "{} not seen {action}: {missing:?}", missing.len());
            if action == "exited" {
                assert_eq!(seen, statuses, "status by pid, seen against wait(2)");
            }
        }
        assert!(whole);
        let millis = (crowd["after_ns"].as_u64().unwrap() - crowd["before_ns"].as_u64().unwrap()) / 1_000_000;
        report("burst_programs_skipped", programs::skipped(observer.pid()));
        let end = observer.stop();
        report("burst_processes", statuses.len());
        report("burst_events", records);
        report("burst_millis", millis);
        report("burst_lost", taskscope_tests::observer::lost(end.summary().unwrap_or_default()).unwrap());
    });
}

#[test]
fn two_observers_side_by_side_see_the_same() {
    attempts(|| {
        let (one, other) = (Observer::start(&[]), Observer::start(&[]));
        let mut scenario = scenario("exec", &[]);
        let facts = scenario.finish();
        let expected = forked_by("scenario").execs().waited_for_by("scenario");
        for observer in [&one, &other] {
            observer.view(&scenario).is_normal(&facts, &[("child", expected.clone())]);
        }
        let ids = |observer: &Observer| {
            let events = observer.view(&scenario).of(&facts.role("child"));
            events
                .iter()
                .map(|event| event.text("process.entity_id").unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&one), ids(&other), "an entity id does not depend on who observes");
        one.stop();
        other.stop();
    });
}
