//! Situations from public threads in which a parent is easily accused: what `explain` says, and that its remedy works.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    cgroup::Cgroup,
    scenario::Scenario,
    service::Service,
    setting,
    verdict::{self, explain, pid, says},
    wait,
};

/// Checks the verdict on a zombie. It must name the parent, and must not advise to kill it, because the parent may still wait.
#[track_caller]
fn owed(name: &str, code: &str, check: impl Fn(&Scenario, &Value, bool)) {
    verdict::both(
        || scenario(name, &[]),
        "owed",
        "child",
        |scenario, verdict, is_watched| {
            assert_eq!(
                (&verdict["code"], &verdict["certainty"]),
                (&code.into(), &"likely".into()),
                "{verdict:#}"
            );
            assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
            assert!(!says(verdict, "remedy", &format!("kill {}", pid(scenario, "parent"))), "{verdict:#}");
            check(scenario, verdict, is_watched);
        },
    );
}

#[test]
fn a_server_that_reaps_after_its_next_connection_is_in_accept() {
    owed("accepts-first", "never_waits", |_, verdict, _| {
        assert!(says(verdict, "evidence", "accept(2)"), "{verdict:#}");
    });
}

#[test]
fn a_log_that_is_not_read_holds_the_sender() {
    owed("sends-first", "blocked_elsewhere", |_, verdict, _| {
        assert!(says(verdict, "summary", "socket") && says(verdict, "remedy", "/dev/log"), "{verdict:#}");
    });
}

#[test]
fn a_fifo_without_its_other_end_holds_the_process_that_opens_it() {
    verdict::both(
        || scenario("opens-fifo", &[]),
        "owed",
        "child",
        |scenario, verdict, _| {
            // If the kernel does not show the function in which a task sleeps (5.10), the task may be opening another file.
            let is_shown = says(verdict, "evidence", "it sleeps in ");
            let code = if is_shown { "blocked_elsewhere" } else { "never_waits" };
            assert_eq!(
                (&verdict["code"], &verdict["certainty"]),
                (&code.into(), &"likely".into()),
                "{verdict:#}"
            );
            assert!(says(verdict, "evidence", "FIFO"), "{verdict:#}");
            assert!(!says(verdict, "remedy", &format!("kill {}", pid(scenario, "parent"))), "{verdict:#}");
        },
    );
}

#[test]
fn a_flag_that_was_set_right_before_the_poll_is_seen_at_the_next_signal() {
    owed("flag-handler", "never_waits", |scenario, verdict, _| {
        let remedy = format!("first: kill -CHLD {}", pid(scenario, "parent"));
        assert!(says(verdict, "remedy", &remedy), "{verdict:#}");
    });
}

#[test]
fn a_signal_blocked_during_a_receive_is_not_reported_as_always_blocked() {
    owed("masked-receive", "sigchld_blocked", |_, verdict, _| {
        assert!(says(verdict, "evidence", "is in read(2)"), "{verdict:#}");
    });
}

#[test]
fn a_parent_that_waits_in_io_uring_may_wait_for_children_there() {
    owed("ring-waits", "never_waits", |_, verdict, _| {
        assert!(says(verdict, "evidence", "IORING_OP_WAITID"), "{verdict:#}");
    });
}

#[test]
fn sa_nocldwait_after_the_death_does_not_help() {
    verdict::both(
        || scenario("nocldwait-later", &[]),
        "owed",
        "child",
        |_, verdict, is_watched| {
            assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
            // Only a daemon that observed the parent knows that later children were released.
            let code = if is_watched { "sigchld_ignored_too_late" } else { "never_waits" };
            assert_eq!(verdict["code"], code, "{verdict:#}");
            assert_eq!(says(verdict, "summary", "SA_NOCLDWAIT"), is_watched, "{verdict:#}");
        },
    );
}

#[test]
fn a_process_that_is_stopped_and_continued_in_turn_gets_no_advice_to_continue_it() {
    let mut scenario = scenario("stopped-in-turn", &[]);
    scenario.pause("owed");
    let (child, parent) = (pid(&scenario, "child"), pid(&scenario, "parent"));
    // It may be running at the first poll.
    wait::until("the parent is stopped", || {
        let verdict = explain(child, None);
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert!(!says(&verdict, "remedy", &format!("kill -CONT {parent}")), "{verdict:#}");
        let is_stopped = verdict["code"] == "parent_stopped";
        assert!(!is_stopped || says(&verdict, "remedy", "cpulimit"), "{verdict:#}");
        is_stopped
    });
    scenario.go();
    scenario.finish();
}

#[test]
fn a_tracer_that_is_stopped_itself_must_be_continued_or_ended_first() {
    verdict::both(
        || scenario("tracer-stopped", &[]),
        "owed",
        "child",
        |scenario, verdict, _| {
            assert_eq!(verdict["code"], "parent_stopped_by_tracer", "{verdict:#}");
            let remedy = format!("kill -9 {}", pid(scenario, "tracer"));
            assert!(says(verdict, "remedy", &remedy), "{verdict:#}");
            assert!(says(verdict, "evidence", "is stopped too"), "{verdict:#}");
        },
    );
}

#[test]
fn a_parent_without_cpu_time_is_distinguished_from_one_that_does_not_wait() {
    let name = format!("taskscope-throttled-{}", std::process::id());
    let Some((cgroup, limit, lift)) = Cgroup::with_cpu_limit(&name) else {
        return setting::skip(format_args!("no cgroup can limit CPU time here"));
    };
    let (procs, limit) = (cgroup.path().join("cgroup.procs"), limit.display().to_string());
    let mut scenario = scenario("throttled", &[&procs.display().to_string(), &limit, lift]);
    if scenario.pause_or_skip("owed") {
        let service = Service::start(&[]);
        let child = pid(&scenario, "child");
        for daemon in [Some(&service), None] {
            // While it uses its share of CPU time, its state is running.
            let verdict = wait::until_answer(
                || explain(child, daemon),
                |verdict| verdict["code"] == "parent_throttled",
            );
            assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
            assert!(says(&verdict, "remedy", &format!("echo {lift} > {limit}")), "{verdict:#}");
        }
        // The scenario applies the remedy of the verdict.
        scenario.go();
        scenario.finish();
        service.stop_clean();
    }
}
