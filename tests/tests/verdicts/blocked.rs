//! Tasks that stay in uninterruptible sleep: a vfork(2) holds its caller there until the child execs or ends.

#[path = "../common/mod.rs"]
mod common;

use std::fs;

use common::scenario;
use taskscope_tests::{
    facts::Facts,
    matcher::event,
    observer::{Observer, shared_with},
    proc,
    service::{self, Service},
    skipped::attempts,
    wait,
};

const FLAG_AFTER_NS: u64 = 300_000_000;

/// Returns the parent of the child that has printed its pid: the caller of vfork(2).
#[track_caller]
fn held(facts: &Facts) -> i64 {
    let parent = facts.all("vforked").next().and_then(|fact| fact["pid"].as_i64()).and_then(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    });
    parent.unwrap_or_else(|| panic!("no process called vfork: {facts}"))
}

/// Waits until /proc shows this letter as a task's state.
#[track_caller]
fn until_state(pid: i64, wanted: char) {
    wait::until(format_args!("{pid} is in state {wanted}"), || proc::state(pid) == Some(wanted));
}

#[test]
fn a_task_that_stays_in_uninterruptible_sleep_is_flagged_with_where_it_waits_and_cleared() {
    attempts(|| {
        let observer = shared_with(&["--blocked-after", "300ms"]);
        let mut scenario = scenario("vfork-held", &[]);
        scenario.pause("held");
        let view = observer.view(&scenario);
        let parent = held(scenario.facts());
        until_state(parent, 'D');
        let flagged = view
            .expect(
                event("blocked_flagged")
                    .pid(parent)
                    .field("task.sleep", "killable")
                    .field("task.blocked_bound", "at_least")
                    .between("task.blocked_ns", FLAG_AFTER_NS, u64::MAX),
            )
            .soon();
        let stack = flagged.get("task.kernel_stack").unwrap().to_string();
        assert!(stack.contains("clone") && stack.contains("do_syscall_64"), "{stack}");
        // The function in which it sleeps, from /proc/PID/wchan; "0" if the kernel hides it.
        let wchan = fs::read_to_string(format!("/proc/{parent}/wchan")).unwrap();
        if wchan != "0" {
            assert_eq!(flagged.text("task.wchan"), Some(wchan.as_str()), "{stack}");
        }
        view.never(&event("blocked_cleared").pid(parent));
        scenario.go();
        let facts = scenario.finish();
        let fact = facts.all("held").next().unwrap();
        let time = |key: &str| fact[key].as_u64().unwrap();
        let longest = time("after_ns") - time("before_ns");
        view.expect(event("blocked_cleared").pid(parent).between("task.blocked_ns", FLAG_AFTER_NS, longest))
            .soon();
        view.fence();
    });
}

/// The message in the log when all tasks are walked over.
const WALK: &str = "walking over all tasks to find those in uninterruptible sleep";

#[test]
fn sleeps_are_found_and_cleared_without_a_second_walk_whenever_they_began() {
    attempts(|| {
        // This one sleeps before the programs are attached.
        let mut before = scenario("vfork-held", &[]);
        before.pause("held");
        let sleeper = held(before.facts());
        until_state(sleeper, 'D');
        let observer = Observer::start(&["--blocked-after", "300ms", "--verbose"]);
        let view = observer.view(&before);
        view.expect(event("blocked_flagged").pid(sleeper)).soon();
        let mut after = scenario("vfork-held", &[]);
        after.pause("held");
        let later = observer.view(&after);
        let other = held(after.facts());
        later.expect(event("blocked_flagged").pid(other)).soon();
        view.never(&event("blocked_cleared").pid(sleeper));
        before.go();
        before.finish();
        view.expect(event("blocked_cleared").pid(sleeper)).soon();
        later.never(&event("blocked_cleared").pid(other));
        after.go();
        after.finish();
        later.expect(event("blocked_cleared").pid(other)).soon();
        let end = observer.stop();
        let walks = end.stderr.iter().filter(|line| line.contains(WALK)).count();
        assert!(end.skipped > 0 || walks == 1, "{walks} walks: {}", end.stderr.join("\n"));
    });
}

#[test]
fn a_service_counts_the_tasks_that_are_blocked_now() {
    let service = Service::start(&["--blocked-after", "300ms"]);
    let mut scenario = scenario("vfork-held", &[]);
    scenario.pause("held");
    until_state(held(scenario.facts()), 'D');
    let killable = r#"taskscope_blocked_tasks{sleep="killable"}"#;
    service.until("a blocked task", |now| now[killable] >= 1.0);
    let now = service.metrics();
    assert!(now["taskscope_longest_blocked_seconds"] >= 0.3, "{now:?}");
    assert!(now["taskscope_blocked_flagged_total"] >= 1.0, "{now:?}");
    scenario.go();
    scenario.finish();
    service.until("no blocked task", |now| now[killable] < 1.0);
    service.stop_clean();
}

#[test]
fn a_new_threshold_counts_at_once_and_none_clears_what_was_flagged() {
    let directory = service::directory();
    let file = directory.join("taskscope.toml");
    let write = |after: &str| {
        fs::write(&file, format!("blocked_after = \"{after}\"\n")).unwrap_or_else(|error| panic!("{error}"));
    };
    write("1h");
    let service = Service::start_in(directory, &["--config", &file.to_string_lossy()]);
    let mut scenario = scenario("vfork-held", &[]);
    scenario.pause("held");
    until_state(held(scenario.facts()), 'D');
    let killable = r#"taskscope_blocked_tasks{sleep="killable"}"#;
    write("300ms");
    service.process().signal(libc::SIGHUP);
    service.until("a blocked task", |now| now[killable] >= 1.0);
    let cleared = service.events("?action=blocked_cleared&limit=1", "");
    write("0s");
    service.process().signal(libc::SIGHUP);
    service.until("no blocked task", |now| now[killable] < 1.0);
    assert_eq!(cleared.rest().len(), 1);
    scenario.go();
    scenario.finish();
    service.stop_clean();
}
