//! Jobs that are stopped in the background of their terminal: `explain` gives the remedy that helps, and the scenario tries both.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    scenario::Scenario,
    service::Service,
    verdict::{explain, pid, says},
};

/// Returns the signal in a fact of the scenario.
#[track_caller]
fn signal(scenario: &Scenario, fact: &str, key: &str) -> Value {
    let found = scenario.facts().all(fact).next();
    found.unwrap_or_else(|| panic!("no {fact} in {}", scenario.facts()))[key].clone()
}

/// Checks the verdicts of a daemon and of a client without one on the stopped parent and its zombie, and the effect of the remedy.
#[track_caller]
fn stopped(name: &str, by: i32, again: i32, check: impl Fn(&Scenario, &Value)) {
    let service = Service::start(&[]);
    let mut scenario = scenario(name, &[]);
    if scenario.pause_or_skip("stopped") {
        assert_eq!(signal(&scenario, "stopped", "signal"), by);
        for daemon in [Some(&service), None] {
            for (role, code) in [("parent", "stopped"), ("child", "parent_stopped")] {
                let verdict = explain(pid(&scenario, role), daemon);
                assert_eq!((&verdict["code"], &verdict["certainty"]), (&code.into(), &"certain".into()));
                assert_eq!(verdict["culprit"]["pid"], pid(&scenario, "parent"), "{verdict:#}");
                check(&scenario, &verdict);
            }
        }
        scenario.go();
        let facts = scenario.finish();
        let last =
            |fact: &str| facts.all(fact).next().unwrap_or_else(|| panic!("{facts}"))["stopped_by"].clone();
        assert_eq!(last("continued"), again, "the parent's state after kill -CONT");
        assert!(again == 0 || last("freed") == 0, "{facts}");
    }
    service.stop_clean();
}

#[track_caller]
fn needs_foreground(scenario: &Scenario, verdict: &Value) {
    let parent = pid(scenario, "parent");
    assert!(says(verdict, "remedy", "`fg` in "), "{verdict:#}");
    assert!(says(verdict, "remedy", &format!("(pid {})", pid(scenario, "shell"))), "{verdict:#}");
    assert!(!says(verdict, "remedy", &format!("kill -CONT {parent}")), "{verdict:#}");
    assert!(says(verdict, "evidence", "also after kill -CONT"), "{verdict:#}");
    assert!(says(verdict, "summary", "/dev/pts/"), "{verdict:#}");
}

#[test]
fn a_background_reader_needs_the_foreground_or_no_input() {
    stopped("background-reads", libc::SIGTTIN, libc::SIGTTIN, |scenario, verdict| {
        needs_foreground(scenario, verdict);
        assert!(says(verdict, "summary", "SIGTTIN") && says(verdict, "remedy", "</dev/null"), "{verdict:#}");
    });
}

#[test]
fn a_background_process_that_sets_its_terminal_needs_the_foreground() {
    stopped("background-sets", libc::SIGTTOU, libc::SIGTTOU, |scenario, verdict| {
        needs_foreground(scenario, verdict);
        assert!(says(verdict, "summary", "SIGTTOU"), "{verdict:#}");
    });
}

#[test]
fn a_background_writer_is_continued_after_tostop_is_cleared() {
    stopped("background-writes", libc::SIGTTOU, libc::SIGTTOU, |_, verdict| {
        assert!(
            says(verdict, "summary", "SIGTTOU") && says(verdict, "remedy", "stty -tostop"),
            "{verdict:#}"
        );
    });
}

#[test]
fn a_background_process_stopped_for_another_reason_is_continued() {
    stopped("background-sleeps", libc::SIGSTOP, 0, |scenario, verdict| {
        let remedy = format!("kill -CONT {}", pid(scenario, "parent"));
        assert!(says(verdict, "remedy", &remedy) && !says(verdict, "remedy", "fg"), "{verdict:#}");
    });
}
